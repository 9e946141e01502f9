//! The promises, tried on the user's own host.
//!
//! # Theory of operation
//!
//! The guest is our own program, started inside the sandbox with the name of one
//! act ([`acts`]); so nothing has to be installed, and it can make any system
//! call. What must come of the act is in [`checks`]. An act that must be refused
//! is done a second time outside the sandbox: only if it is not refused there,
//! or not in the same way, the refusal proves something. All acts are such that
//! they do no harm outside.

pub mod acts;
mod bench;
mod checks;
mod sys;

use std::fmt;
use std::fs;
use std::io;

use kernel::sandbox::host::Host;
use kernel::sandbox::report::{EndingKind, Report};
use kernel::sandbox::{Backend, Error, Outcome, Result};
use serde::Serialize;

use bench::{Answer, Bench, answer};
use checks::{Check, Expected};

/// The hidden command that makes our program a guest of the self-test.
pub const GUEST: &str = "selftest-guest";

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The sandbox that was tried.
    pub backend: &'static str,
    /// The number of the promise.
    pub promise: &'static str,
    /// What was tried.
    pub what: String,
    /// What was promised.
    pub expected: String,
    /// What happened.
    pub observed: String,
    /// What happened without a sandbox, where that was tried.
    pub outside: Option<String>,
    /// Whether the promise was kept.
    pub kept: bool,
    /// Whether that was the sandbox's doing: false where the act is refused
    /// outside as well.
    pub proved: bool,
}

/// A sandbox that this host does not have, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The sandbox.
    pub backend: &'static str,
    /// Why it was not tried.
    pub why: String,
}

/// What the self-test came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Each check on each sandbox.
    pub findings: Vec<Finding>,
    /// The sandboxes that were not tried.
    pub skipped: Vec<Skipped>,
}

impl Findings {
    /// Whether every promise that was tried was kept.
    #[must_use]
    pub fn all_kept(&self) -> bool {
        self.findings.iter().all(|finding| finding.kept)
    }
}

/// Tries every promise on every sandbox that this host has.
///
/// # Errors
///
/// [`Error::Setup`] if the directory or the listeners of the self-test cannot be
/// made. A run that fails is a finding.
pub fn run() -> Result<Findings> {
    let bench = Bench::new()?;
    let failed = |source| Error::Setup { step: "set the self-test up".to_owned(), source };
    let checks = checks::checks(&bench).map_err(failed)?;
    let mut findings = Findings::default();
    for backend in [Backend::Namespace, Backend::Process] {
        if backend == Backend::Namespace
            && let Err(gate) = &Host::get().namespaces
        {
            let why = gate.reason.clone();
            findings.skipped.push(Skipped { backend: backend.name(), why });
            continue;
        }
        let here = checks.iter().filter(|check| check.on.contains(&backend));
        findings.findings.extend(here.map(|check| try_out(&bench, backend, check)));
    }
    Ok(findings)
}

fn try_out(bench: &Bench, backend: Backend, check: &Check) -> Finding {
    let mut config = bench.config();
    (check.config)(&mut config);
    let result = bench
        .clean()
        .map_err(|source| Error::Setup { step: "empty the work dir".to_owned(), source })
        .and_then(|()| bench.inside(backend, config, &check.act));
    let observed = observed(&check.expected, &result);
    let kept = kept(&check.expected, &result);
    let outside = (check.expected == Expected::Refused).then(|| bench.outside(&check.act));
    Finding {
        backend: backend.name(),
        promise: check.promise,
        what: check.what.clone(),
        expected: check.expected.to_string(),
        observed,
        kept,
        proved: match (&outside, refusal(&result)) {
            (None, _) => true,
            (Some(Ok(Err(outside))), Some(inside)) => *outside != inside,
            (Some(Ok(Ok(_))), _) => true,
            (Some(_), _) => false,
        },
        outside: outside.map(|answer| match answer {
            Ok(answer) => in_words(&answer),
            Err(error) => error.to_string(),
        }),
    }
}

/// The number of the error that the guest met.
fn refusal(result: &Result<Outcome>) -> Option<i32> {
    answer(&result.as_ref().ok()?.stdout)?.err()
}

fn kept(expected: &Expected, result: &Result<Outcome>) -> bool {
    let ending = Report::new(result, false).ending.kind;
    let Ok(outcome) = result else {
        return *expected == Expected::NothingRan && ending == EndingKind::Refused;
    };
    let answer = answer(&outcome.stdout);
    match expected {
        Expected::Refused => matches!(answer, Some(Err(_))),
        Expected::NotOnHost(path) => answer.is_some() && !fs::exists(path).unwrap_or(true),
        Expected::Answer(text) => answer.is_some_and(|answer| answer.as_ref() == Ok(text)),
        Expected::AtMost(most) => answer
            .and_then(|answer| answer.ok()?.parse::<u64>().ok())
            .is_some_and(|number| (1..=*most).contains(&number)),
        Expected::Ending(kind) => ending == *kind,
        Expected::NothingRan => ending == EndingKind::Refused,
        Expected::NothingLeft(mark) => {
            ending == EndingKind::Exited && lingering(mark).is_ok_and(|left| left == 0)
        }
    }
}

fn observed(expected: &Expected, result: &Result<Outcome>) -> String {
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(error) => return error.to_string(),
    };
    match (expected, answer(&outcome.stdout)) {
        (Expected::Ending(_) | Expected::NothingRan, _) | (_, None) => match outcome.error() {
            Some(error) => error,
            None => outcome.exit.to_string(),
        },
        (Expected::NotOnHost(path), Some(_)) => {
            let there = fs::exists(path).unwrap_or(true);
            if there { "the host has it" } else { "the host has no such file" }.to_owned()
        }
        (Expected::NothingLeft(mark), _) => match lingering(mark) {
            Ok(left) => format!("{left} processes left"),
            Err(error) => error.to_string(),
        },
        (_, Some(answer)) => in_words(&answer),
    }
}

fn in_words(answer: &Answer) -> String {
    match answer {
        Ok(text) if text.is_empty() => "done".to_owned(),
        Ok(text) => text.clone(),
        Err(number) => io::Error::from_raw_os_error(*number).to_string(),
    }
}

/// How many processes of the host have `mark` on their command line.
fn lingering(mark: &str) -> io::Result<usize> {
    let mut left = 0;
    for entry in fs::read_dir("/proc")? {
        // A process that went away meanwhile is not left.
        let line = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        left += usize::from(line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()));
    }
    Ok(left)
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::NotOnHost(_) => f.write_str("the host has no such file"),
            Self::Answer(text) if text.is_empty() => f.write_str("done"),
            Self::Answer(text) => f.write_str(text),
            Self::AtMost(most) => write!(f, "1 to {most}"),
            Self::Ending(kind) => {
                // The name that reports spell.
                let name = serde_json::to_string(kind).map_err(|_| fmt::Error)?;
                write!(f, "ended: {}", name.trim_matches('"'))
            }
            Self::NothingRan => f.write_str("nothing ran"),
            Self::NothingLeft(_) => f.write_str("0 processes left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kernel::sandbox::{Enforcement, Exit, Usage};

    use super::*;

    fn ended(exit: Exit, stdout: &str) -> Result<Outcome> {
        Ok(Outcome {
            exit,
            usage: Usage::default(),
            enforcement: Enforcement::default(),
            violations: Vec::new(),
            stdout: stdout.into(),
            stderr: Vec::new(),
            output_truncated: false,
            files: BTreeMap::new(),
            skipped: Vec::new(),
        })
    }

    #[test]
    fn act_that_was_to_be_refused_and_was_done_breaks_the_promise() {
        let expected = Expected::Refused;

        assert!(kept(&expected, &ended(Exit::Exited(0), "errno 1\n")));
        assert!(!kept(&expected, &ended(Exit::Exited(0), "done \n")));
    }

    #[test]
    fn guest_that_gave_no_answer_proves_nothing() {
        let silent = ended(Exit::Signalled(11), "");
        let failed = Err(Error::NotFound { program: "x".into() });

        for expected in
            [Expected::Refused, Expected::AtMost(3), Expected::NotOnHost("/no/such".into())]
        {
            assert!(!kept(&expected, &silent), "{expected}");
            assert!(!kept(&expected, &failed), "{expected}");
        }
        assert!(kept(&Expected::Ending(EndingKind::Signalled), &silent));
        assert!(!kept(&Expected::Ending(EndingKind::OutOfMemory), &silent));
    }

    #[test]
    fn answer_counts_word_for_word_and_a_number_by_its_bounds() {
        let descriptors = ended(Exit::Exited(0), "done 0 1 2\n");
        let more = ended(Exit::Exited(0), "done 0 1 2 3\n");
        let number = |number| ended(Exit::Exited(0), &format!("done {number}\n"));

        assert!(kept(&Expected::Answer("0 1 2".into()), &descriptors));
        assert!(!kept(&Expected::Answer("0 1 2".into()), &more));
        assert!(kept(&Expected::AtMost(20), &number(20)));
        assert!(!kept(&Expected::AtMost(20), &number(21)));
        assert!(!kept(&Expected::AtMost(20), &number(0)));
    }

    #[test]
    fn file_that_the_host_has_breaks_the_promise() {
        let made = ended(Exit::Exited(0), "done \n");
        let here = std::env::current_exe().unwrap().display().to_string();

        assert!(kept(&Expected::NotOnHost("/no/such/file".into()), &made));
        assert!(!kept(&Expected::NotOnHost(here), &made));
    }

    #[test]
    fn process_that_has_the_mark_is_found() {
        let own = std::env::args().next().unwrap();

        assert!(lingering(&own).unwrap() >= 1);
        assert_eq!(lingering("a mark that nobody has").unwrap(), 0);
    }
}
