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
            format!("raise timeout_seconds above {}", settings.timeout.as_secs_f64()),
        ),
        Stop::Fuel => {
            let given = settings.max_fuel.unwrap_or(u64::MAX);
            ("fuel", "max_fuel", format!("raise max_fuel above {given}"))
        }
        Stop::Memory { wanted } => {
            ("memory", "max_memory_bytes", format!("raise max_memory_bytes to {wanted} or more"))
        }
        Stop::Tables { .. } => {
            ("tables", "tables", "build the module with smaller tables: the limit is fixed".into())
        }
        Stop::Output => {
            ("output", "max_output", format!("raise max_output above {}", settings.max_output))
        }
    };
    Some(Violation { kind: kind.to_owned(), what: stop.to_string(), rule: rule.to_owned(), fix })
}
