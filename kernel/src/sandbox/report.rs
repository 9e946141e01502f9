//! The public JSON of a run: what `neuroflow run --json` prints, what
//! `--report` writes, and what Python's `SandboxResult` is made from.
//!
//! Its keys are a promise: they are added to, never renamed. The committed
//! schema is `docs/reference/report.schema.json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::outcome::{Enforcement, Exit, Outcome, Usage, Violation};

/// How a run ended, as one object for every ending: also those in which nothing
/// was started, so that a caller has one thing to read.
///
/// ```
/// use kernel::sandbox::{Error, Outcome, report::{EndingKind, Report}};
///
/// let missing = Error::NotFound { program: "pyhton3".into() };
/// let report = Report::new(&Err(missing), false);
/// assert_eq!(report.exit_code, None);
/// assert_eq!(report.ending.kind, EndingKind::Refused);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(description = "How a run of NeuroFlow Sandbox ended."))]
pub struct Report {
    /// The guest's own exit code; `-n` where signal `n` ended it, `-9` where a
    /// limit did; null if nothing ran.
    pub exit_code: Option<i32>,
    /// How it ended.
    pub ending: Ending,
    /// Whether the wall clock ended it.
    pub timed_out: bool,
    /// What went wrong, in one sentence; null where the guest ended by itself.
    pub error: Option<String>,
    /// What to change, where the sandbox refused and something can be changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
    /// Wall-clock milliseconds from start to end; 0 if nothing ran.
    pub execution_time_ms: f64,
    /// Peak memory of the guest in bytes; 0 if nothing ran.
    pub max_memory_bytes: u64,
    /// What the guest used.
    pub usage: Usage,
    /// The receipt: each protection with the mechanism that held it. Empty if
    /// nothing ran.
    pub enforcement: Enforcement,
    /// What the guest was refused, and the limits it ran into.
    pub violations: Vec<Violation>,
    /// Standard output, if it was asked for and is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stdout: Option<String>,
    /// Standard output in base64, if it was asked for and is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stdout_base64: Option<String>,
    /// Standard error, if it was asked for and is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stderr: Option<String>,
    /// Standard error in base64, if it was asked for and is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stderr_base64: Option<String>,
    /// Whether output past the cap was thrown away.
    pub output_truncated: bool,
}

/// The ending: its kind, and what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ending {
    /// Which ending it was.
    pub kind: EndingKind,
    /// The exit code, where the guest ended by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<i32>,
    /// The signal that ended it, where one of its own making did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signal: Option<i32>,
    /// The limit that was reached, the trap's message, the imports that are
    /// missing, the reason of the refusal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// Every way a run can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndingKind {
    /// The guest ended by itself.
    Exited,
    /// A signal of its own making ended it.
    Signalled,
    /// The wall clock ran out.
    TimedOut,
    /// The CPU-time limit was reached.
    CpuTime,
    /// The memory limit was reached.
    OutOfMemory,
    /// The process limit was reached.
    Processes,
    /// A file grew to the limit.
    FileSize,
    /// It wrote far past the output cap.
    Output,
    /// A WASM guest used up its fuel.
    OutOfFuel,
    /// A WASM guest trapped.
    Trap,
    /// A WASM module imports what is not allowed. Nothing ran.
    ImportRefused,
    /// The policy, the config or this host does not allow it. Nothing ran.
    Refused,
    /// Setting the sandbox up failed. Nothing of the guest ran, or nothing is
    /// known of how it ended.
    SetupFailed,
}

impl Report {
    /// Tells `result` as a report; the captured output is left out unless
    /// `with_output`.
    ///
    /// An error of ours is a report too: `refused` where the caller or the
    /// administrator can act on it, `setup_failed` otherwise.
    #[must_use]
    pub fn new(result: &Result<Outcome>, with_output: bool) -> Self {
        match result {
            Ok(outcome) => Self::of_outcome(outcome, with_output),
            Err(error) => Self::of_error(error, with_output),
        }
    }

    /// The captured standard output; `None` if it was not asked for, or if a
    /// report from elsewhere holds base64 that is none.
    #[must_use]
    pub fn stdout_bytes(&self) -> Option<Vec<u8>> {
        bytes_of(self.stdout.as_deref(), self.stdout_base64.as_deref())
    }

    /// The captured standard error, under the same terms as
    /// [`stdout_bytes`](Self::stdout_bytes).
    #[must_use]
    pub fn stderr_bytes(&self) -> Option<Vec<u8>> {
        bytes_of(self.stderr.as_deref(), self.stderr_base64.as_deref())
    }

    /// The JSON Schema of a report, draft 2020-12.
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn schema() -> schemars::Schema {
        // What is written, not what would be read: a key that is always there,
        // be it null, is required.
        schemars::generate::SchemaSettings::draft2020_12()
            .for_serialize()
            .into_generator()
            .into_root_schema_for::<Self>()
    }

    fn of_outcome(outcome: &Outcome, with_output: bool) -> Self {
        let mut report = Self {
            exit_code: outcome.exit.guest_ran().then(|| outcome.exit_code()),
            ending: Ending::of_exit(&outcome.exit),
            timed_out: outcome.timed_out(),
            error: outcome.error(),
            fix: None,
            execution_time_ms: outcome.usage.wall_ms.rounded(),
            max_memory_bytes: outcome.usage.max_memory_bytes,
            usage: outcome.usage.clone(),
            enforcement: outcome.enforcement.clone(),
            violations: outcome.violations.clone(),
            stdout: None,
            stdout_base64: None,
            stderr: None,
            stderr_base64: None,
            output_truncated: outcome.output_truncated,
        };
        if with_output {
            (report.stdout, report.stdout_base64) = text_or_base64(&outcome.stdout);
            (report.stderr, report.stderr_base64) = text_or_base64(&outcome.stderr);
        }
        report
    }

    fn of_error(error: &Error, with_output: bool) -> Self {
        let output = with_output.then(String::new);
        Self {
            exit_code: None,
            ending: Ending::of_error(error),
            timed_out: false,
            error: Some(error.to_string()),
            fix: error.fix().map(str::to_owned),
            execution_time_ms: 0.0,
            max_memory_bytes: 0,
            usage: Usage::default(),
            enforcement: Enforcement::default(),
            violations: Vec::new(),
            stdout: output.clone(),
            stdout_base64: None,
            stderr: output,
            stderr_base64: None,
            output_truncated: false,
        }
    }
}

impl Ending {
    /// How `exit` is told.
    #[must_use]
    pub fn of_exit(exit: &Exit) -> Self {
        let (kind, detail) = match exit {
            Exit::Exited(code) => {
                return Self { code: Some(*code), ..Self::bare(EndingKind::Exited) };
            }
            Exit::Signalled(signal) => {
                return Self { signal: Some(*signal), ..Self::bare(EndingKind::Signalled) };
            }
            Exit::TimedOut(limit) => {
                (EndingKind::TimedOut, format!("timeout is {}s", limit.as_secs_f64()))
            }
            Exit::CpuTime(limit) => (EndingKind::CpuTime, format!("cpu_time_limit is {limit}s")),
            Exit::OutOfMemory(limit) => {
                (EndingKind::OutOfMemory, format!("the memory limit is {limit} bytes"))
            }
            Exit::Processes(limit) => (EndingKind::Processes, format!("max_processes is {limit}")),
            Exit::FileSize(limit) => {
                (EndingKind::FileSize, format!("file_size_limit is {limit} bytes"))
            }
            Exit::Output(limit) => (EndingKind::Output, format!("max_output is {limit} bytes")),
            Exit::OutOfFuel(limit) => (EndingKind::OutOfFuel, format!("max_fuel is {limit}")),
            Exit::Trap(message) => (EndingKind::Trap, message.clone()),
            Exit::ImportRefused(imports) => (EndingKind::ImportRefused, imports.join(", ")),
            Exit::Refused(reason) => (EndingKind::Refused, reason.clone()),
        };
        Self { detail: Some(detail), ..Self::bare(kind) }
    }

    fn of_error(error: &Error) -> Self {
        let kind = match error {
            Error::Config { .. }
            | Error::Unsupported { .. }
            | Error::NotFound { .. }
            | Error::NotExecutable { .. } => EndingKind::Refused,
            Error::Setup { .. } | Error::Internal { .. } => EndingKind::SetupFailed,
        };
        Self { detail: Some(error.code().to_owned()), ..Self::bare(kind) }
    }

    fn bare(kind: EndingKind) -> Self {
        Self { kind, code: None, signal: None, detail: None }
    }
}

/// `(text, base64)`, of which exactly one is there.
fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64.encode(bytes))),
    }
}

fn bytes_of(text: Option<&str>, base64: Option<&str>) -> Option<Vec<u8>> {
    match (text, base64) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(base64)) => BASE64.decode(base64).ok(),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sandbox::outcome::Protection;

    fn outcome(exit: Exit) -> Outcome {
        Outcome { stdout: b"hello\n".to_vec(), stderr: vec![0xff, 0], ..Outcome::refused(exit) }
    }

    #[test]
    fn output_is_left_out_unless_it_is_asked_for() {
        let result = Ok(outcome(Exit::Exited(0)));

        let json = serde_json::to_value(Report::new(&result, false)).unwrap();

        for key in ["stdout", "stdout_base64", "stderr", "stderr_base64"] {
            assert!(json.get(key).is_none(), "{key} is in {json}");
        }
    }

    #[test]
    fn output_that_is_not_text_comes_as_base64_and_reads_back_the_same() {
        let report = Report::new(&Ok(outcome(Exit::Exited(0))), true);

        let json = serde_json::to_string(&report).unwrap();
        let read: Report = serde_json::from_str(&json).unwrap();

        assert_eq!(read.stdout.as_deref(), Some("hello\n"));
        assert_eq!(read.stderr, None);
        assert_eq!(read.stderr_base64.as_deref(), Some("/wA="));
        assert_eq!(read.stdout_bytes().unwrap(), b"hello\n");
        assert_eq!(read.stderr_bytes().unwrap(), [0xff, 0]);
        assert_eq!(read, report);
    }

    #[test]
    fn report_kind_is_the_kind_of_the_exit_for_every_exit() {
        let exits = [
            Exit::Exited(3),
            Exit::Signalled(11),
            Exit::TimedOut(Duration::from_millis(1500)),
            Exit::CpuTime(2),
            Exit::OutOfMemory(1 << 20),
            Exit::Processes(4),
            Exit::FileSize(10),
            Exit::Output(5),
            Exit::OutOfFuel(6),
            Exit::Trap("unreachable".into()),
            Exit::ImportRefused(vec!["env.log".into()]),
            Exit::Refused("Command 'x' not in allowed list".into()),
        ];
        for exit in exits {
            let kind = exit.kind();
            let ran = exit.guest_ran();

            let json = serde_json::to_value(Report::new(&Ok(outcome(exit)), false)).unwrap();

            assert_eq!(json["ending"]["kind"], kind);
            assert_eq!(json["exit_code"].is_null(), !ran, "{json}");
            assert_eq!(json["timed_out"], kind == "timed_out");
        }
    }

    #[test]
    fn exit_code_and_signal_stand_in_the_ending() {
        let exited = Report::new(&Ok(outcome(Exit::Exited(3))), false);
        let signalled = Report::new(&Ok(outcome(Exit::Signalled(11))), false);

        assert_eq!((exited.exit_code, exited.ending.code), (Some(3), Some(3)));
        assert_eq!(exited.error, None);
        assert_eq!((signalled.exit_code, signalled.ending.signal), (Some(-11), Some(11)));
        assert!(signalled.error.is_some());
    }

    #[test]
    fn error_of_ours_is_a_report_in_which_nothing_ran() {
        let unsupported = Error::unsupported("memory", "no controller", "use systemd-run");
        let setup = Error::setup("mount proc", std::io::Error::from_raw_os_error(1));

        let refused = serde_json::to_value(Report::new(&Err(unsupported), true)).unwrap();
        let failed = serde_json::to_value(Report::new(&Err(setup), true)).unwrap();

        assert_eq!(refused["ending"]["kind"], "refused");
        assert_eq!(refused["ending"]["detail"], "unsupported");
        assert_eq!(refused["fix"], "use systemd-run");
        assert_eq!(refused["stdout"], "");
        assert_eq!(failed["ending"]["kind"], "setup_failed");
        for json in [refused, failed] {
            assert!(json["exit_code"].is_null());
            assert!(json["violations"].as_array().is_some_and(Vec::is_empty));
            assert!(json["enforcement"].is_object());
            assert!(json["error"].as_str().is_some_and(|text| !text.is_empty()));
        }
    }

    #[test]
    fn receipt_is_an_object_by_the_name_of_the_protection() {
        let mut run = outcome(Exit::Exited(0));
        run.enforcement.degraded(Protection::Memory, "RLIMIT_AS", "no memory controller");

        let json = serde_json::to_value(Report::new(&Ok(run), false)).unwrap();

        assert_eq!(json["enforcement"]["memory"]["state"], "degraded");
        assert_eq!(json["enforcement"]["memory"]["by"], "RLIMIT_AS");
        assert_eq!(json["enforcement"]["memory"]["why"], "no memory controller");
    }

    #[test]
    fn times_are_milliseconds_with_microsecond_precision() {
        let mut run = outcome(Exit::Exited(0));
        run.usage.wall_ms = Duration::from_nanos(12_345_678).into();

        let json = serde_json::to_value(Report::new(&Ok(run), false)).unwrap();

        assert_eq!(json["execution_time_ms"], 12.346);
        assert_eq!(json["usage"]["wall_ms"], 12.346);
    }
}
