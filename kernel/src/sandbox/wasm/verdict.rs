//! What a limit that ended a run is called, and what would raise it.

use super::Settings;
use super::drive::Stop;
use crate::sandbox::outcome::{Exit, Violation};

/// SIGKILL, which a run that was killed is reported as on every back end.
const KILLED: i32 = 9;

/// The typed ending of a run that was stopped.
pub(super) fn exit_of(stop: &Stop, settings: &Settings) -> Exit {
    match stop {
        Stop::Deadline => Exit::TimedOut(settings.timeout),
        Stop::Killed => Exit::Signalled(KILLED),
        Stop::Fuel => Exit::OutOfFuel(settings.max_fuel.unwrap_or(u64::MAX)),
        Stop::Memory { .. } => Exit::OutOfMemory(settings.max_memory),
        Stop::Tables { .. } => Exit::Trap(stop.to_string()),
        Stop::Output => Exit::Output(settings.max_output),
    }
}

/// The limit that was reached; none for a run that was killed.
pub(super) fn violation(stop: &Stop, settings: &Settings) -> Option<Violation> {
    let (kind, rule, fix) = match stop {
        Stop::Killed => return None,
        Stop::Deadline => (
            "timeout",
            "timeout_seconds",
            format!("timeout_seconds: {}", settings.timeout.as_secs_f64() * 2.0),
        ),
        Stop::Fuel => {
            let more = settings.max_fuel.unwrap_or(u64::MAX).saturating_mul(10);
            ("fuel", "max_fuel", format!("max_fuel: {more}"))
        }
        Stop::Memory { wanted } => {
            ("memory", "max_memory_bytes", format!("max_memory_bytes: {wanted}"))
        }
        Stop::Tables { .. } => ("tables", "tables", String::new()),
        Stop::Output => (
            "output",
            "max_output",
            format!("max_output: {}", settings.max_output.saturating_mul(10)),
        ),
    };
    Some(Violation { kind: kind.to_owned(), what: stop.to_string(), rule: rule.to_owned(), fix })
}
