//! What is told about a run, to whom, and which exit code comes of it; the same
//! for `neuroflow run` and `neuroflow wasm`.

use std::io::{self, IsTerminal, Write};

use kernel::sandbox::{Error, Exit, Outcome, Report, Result, State};

use crate::args::TellingArgs;
use crate::exit;
use crate::printer::Printer;
use crate::relay::Delivery;
use crate::report_file::ReportFile;
use crate::terminal::visible;

/// Tells how a run went, as `--report`, `--json`, `-v` and `-q` ask for it.
#[derive(Debug)]
pub struct Telling {
    /// Where messages go.
    pub printer: Printer,
    json: bool,
    verbose: bool,
    report: Option<ReportFile>,
}

/// What there is to tell besides the result itself.
#[derive(Debug)]
pub struct Circumstances {
    /// What became of the streamed output.
    pub delivery: Delivery,
    /// The signal that we were sent meanwhile.
    pub interrupted_by: Option<i32>,
    /// The protections that may be degraded without a warning, by name.
    pub allow_degraded: Vec<String>,
}

impl Default for Circumstances {
    fn default() -> Self {
        Self { delivery: Delivery::Done, interrupted_by: None, allow_degraded: Vec::new() }
    }
}

impl Telling {
    /// Makes sure that the report can be written before anything runs.
    ///
    /// # Errors
    ///
    /// Those of [`ReportFile::prepare`].
    pub fn prepare(args: &TellingArgs) -> Result<Self> {
        let report = args.report.as_deref().map(ReportFile::prepare).transpose()?;
        Ok(Self { report, ..Self::without_file(args) })
    }

    /// Tells a run whose report has no place to be written to.
    #[must_use]
    pub fn without_file(args: &TellingArgs) -> Self {
        Self {
            printer: Printer::new(args.quiet),
            json: args.json,
            verbose: args.verbose,
            report: None,
        }
    }

    /// Whether the output is wanted in the report instead of streamed.
    #[must_use]
    pub fn wants_json(&self) -> bool {
        self.json
    }

    /// Writes the reports, says what is to be said, returns the exit code.
    #[must_use]
    pub fn tell(&self, result: &Result<Outcome>, circumstances: &Circumstances) -> u8 {
        let reported = match &self.report {
            Some(file) => file.write(&Report::new(result, false)),
            None => Ok(()),
        };
        let printed =
            if self.json { print_json(&Report::new(result, true)) } else { Delivery::Done };

        let code = self.say(result, circumstances);
        match (reported, printed) {
            (Err(error), _) => {
                self.printer.error(&error);
                exit::SANDBOX_FAILED
            }
            (Ok(()), Delivery::Failed(source)) => self.output_lost(source),
            (Ok(()), Delivery::ReaderGone) => exit::READER_GONE,
            (Ok(()), Delivery::Done | Delivery::Stuck) => code,
        }
    }

    fn say(&self, result: &Result<Outcome>, circumstances: &Circumstances) -> u8 {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                self.printer.error(error);
                return exit::of_error(error);
            }
        };
        self.warn(outcome, &circumstances.allow_degraded);
        if self.verbose {
            self.printer.receipt(&outcome.enforcement);
            self.printer.violations(&outcome.violations);
        }
        if let Some(signal) = circumstances.interrupted_by
            && !matches!(outcome.exit, Exit::Exited(_))
        {
            self.printer.note("interrupted: the guest was ended");
            return exit::of_signal(signal);
        }
        match &circumstances.delivery {
            // As quiet as a program that SIGPIPE ends.
            Delivery::ReaderGone => return exit::READER_GONE,
            Delivery::Failed(source) => return self.output_lost(copy(source)),
            Delivery::Stuck => {
                self.printer.warning("nobody read the rest of the output");
            }
            Delivery::Done => {}
        }
        self.printer.ending(outcome);
        exit::code(result)
    }

    /// At most one line about protections and one about output.
    fn warn(&self, outcome: &Outcome, allow_degraded: &[String]) {
        let degraded: Vec<String> = outcome
            .enforcement
            .iter()
            .filter(|(_, held)| held.state == State::Degraded)
            .filter(|(protection, _)| !allow_degraded.iter().any(|name| name == protection.name()))
            .map(|(protection, held)| format!("`{}` ({})", protection.name(), held.why))
            .collect();
        if !degraded.is_empty() {
            self.printer.warning(&format!("degraded on this host: {}", degraded.join(", ")));
        }
        if outcome.output_truncated && !matches!(outcome.exit, Exit::Output(_)) {
            // Not only a warning: whoever reads the output lacks a part of it.
            self.printer.note("warning: the output was cut at its limit; `--max-output` sets it");
        }
    }

    fn output_lost(&self, source: io::Error) -> u8 {
        self.printer.error(&Error::Setup { step: "write the output".to_owned(), source });
        exit::SANDBOX_FAILED
    }
}

/// Prints the report on standard output.
fn print_json(report: &Report) -> Delivery {
    let mut stdout = io::stdout().lock();
    let written = serde_json::to_string_pretty(report)
        .map_err(io::Error::from)
        // JSON spells out most of what a terminal obeys, and not all.
        .map(|json| if stdout.is_terminal() { visible(&json) } else { json })
        .and_then(|json| stdout.write_all(json.as_bytes()))
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Delivery::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Delivery::ReaderGone,
        Err(error) => Delivery::Failed(error),
    }
}

/// An `io::Error` cannot be cloned; its errno and its words are what counts.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
