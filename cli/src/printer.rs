//! What we say, as opposed to what the guest says: on standard error, in words
//! that are understood without colour.

use std::io::{self, IsTerminal, Write};

use kernel::sandbox::{Enforcement, Error, Exit, Outcome, State, Violation};

use crate::terminal::visible;

/// Writes messages to standard error. What cannot be written there is lost:
/// there is nowhere left to say so.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    color: bool,
    quiet: bool,
}

impl Printer {
    /// In colour on a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { color: io::stderr().is_terminal() && !set("NO_COLOR") && !dumb, quiet }
    }

    /// `error: …`, and `hint: …` below where something can be done.
    pub fn error(&self, error: &Error) {
        match error {
            Error::Config { problems } if problems.len() > 1 => {
                let list: String =
                    problems.iter().map(|problem| format!("\n  - {problem}")).collect();
                self.say(
                    RED,
                    "error",
                    &format!("{} problems with what was asked:{list}", problems.len()),
                );
            }
            _ => self.say(RED, "error", &error.to_string()),
        }
        if let Some(fix) = error.fix().filter(|fix| !fix.is_empty()) {
            self.hint(fix);
        }
    }

    /// How a guest ended that did not end by itself.
    pub fn ending(&self, outcome: &Outcome) {
        let Some(sentence) = outcome.error() else { return };
        self.say(RED, "error", &sentence);
        let fix = outcome.violations.iter().map(|violation| &violation.fix);
        match (flag_that_raises(&outcome.exit), fix.into_iter().find(|fix| !fix.is_empty())) {
            (Some(flag), _) => self.hint(&format!("`{flag}` sets this limit")),
            (None, Some(fix)) => self.hint(&format!("in the config: `{fix}`")),
            (None, None) => {}
        }
    }

    /// `warning: …`, unless they are not wanted.
    pub fn warning(&self, sentence: &str) {
        if !self.quiet {
            self.say(YELLOW, "warning", sentence);
        }
    }

    /// A sentence as it is.
    pub fn note(&self, sentence: &str) {
        self.write(&format!("{}\n", visible(sentence)));
    }

    /// The receipt, a line for each protection.
    pub fn receipt(&self, enforcement: &Enforcement) {
        let mut text = String::new();
        for (protection, held) in enforcement.iter() {
            let state = match held.state {
                State::Enforced => "enforced",
                State::Degraded => "degraded",
                State::Off => "off",
                State::Missing => "missing",
            };
            let by = if held.by.is_empty() { String::new() } else { format!("  by {}", held.by) };
            let why = if held.why.is_empty() { String::new() } else { format!("  ({})", held.why) };
            text.push_str(&format!("  {:16}  {state:8}{by}{why}\n", protection.name()));
        }
        self.write(&visible(&text));
    }

    /// What was refused, a line each, with the config that would allow it.
    pub fn violations(&self, violations: &[Violation]) {
        let line = |Violation { kind, what, rule: _, fix }: &Violation| {
            let fix = if fix.is_empty() { String::new() } else { format!("  (fix: {fix})") };
            format!("  {kind:16}  {what}{fix}\n")
        };
        self.write(&visible(&violations.iter().map(line).collect::<String>()));
    }

    fn hint(&self, sentence: &str) {
        let hint = self.paint(CYAN, "hint");
        self.write(&format!("\n{hint} {}\n", visible(sentence)));
    }

    fn say(&self, color: &str, what: &str, sentence: &str) {
        let what = self.paint(color, what);
        // A name, a trap or an argument in it may come from a guest.
        self.write(&format!("{what} {}\n", visible(sentence)));
    }

    fn paint(&self, color: &str, what: &str) -> String {
        if self.color { format!("\x1b[1;{color}m{what}:\x1b[0m") } else { format!("{what}:") }
    }

    fn write(&self, text: &str) {
        // One write a message, so that it does not mix with the guest's.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

const RED: &str = "31";
const YELLOW: &str = "33";
const CYAN: &str = "36";

fn flag_that_raises(exit: &Exit) -> Option<&'static str> {
    match exit {
        Exit::TimedOut(_) => Some("--timeout"),
        Exit::CpuTime(_) => Some("--cpu-time"),
        Exit::OutOfMemory(_) => Some("--memory"),
        Exit::Processes(_) => Some("--max-processes"),
        Exit::FileSize(_) => Some("--file-size"),
        Exit::Output(_) => Some("--max-output"),
        Exit::OutOfFuel(_) => Some("--fuel"),
        _ => None,
    }
}
