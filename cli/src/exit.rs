//! The exit code of `neuroflow`, from how the run ended.
//!
//! | code | meaning |
//! |---|---|
//! | the guest's own | it ended by itself |
//! | 124 | the wall clock ended it |
//! | 125 | the sandbox refused, or failed; also a mistake on the command line |
//! | 126, 127 | the program cannot be executed; was not found |
//! | 128 + *n* | signal *n* ended it; 130, 143: you ended it by Ctrl-C or SIGTERM |
//! | 134 | a WASM module trapped, as if by SIGABRT |
//! | 137 | another limit ended it, as if by SIGKILL |
//! | 141 | whoever read our output went away |

use kernel::sandbox::{Error, Exit, Outcome, Result};

/// The wall clock ended the guest; what `timeout(1)` returns.
pub const TIMED_OUT: u8 = 124;
/// The sandbox refused or failed; what `env(1)`, `docker run` and others return
/// for a failure of their own.
pub const SANDBOX_FAILED: u8 = 125;
/// The program exists and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The program was not found.
pub const NOT_FOUND: u8 = 127;
/// What a shell adds to the number of a signal.
const SIGNALLED: u8 = 128;
/// A trap, as if by SIGABRT (6).
const TRAPPED: u8 = SIGNALLED + 6;
/// A limit other than the wall clock, as if by SIGKILL (9).
const LIMIT_REACHED: u8 = SIGNALLED + 9;
/// The reader of our output went away (SIGPIPE is 13).
pub const READER_GONE: u8 = SIGNALLED + 13;

/// The exit code for what `result` tells.
#[must_use]
pub fn code(result: &Result<Outcome>) -> u8 {
    match result {
        Ok(outcome) => of_exit(&outcome.exit),
        Err(error) => of_error(error),
    }
}

/// The exit code where there is no outcome.
#[must_use]
pub fn of_error(error: &Error) -> u8 {
    match error {
        Error::NotFound { .. } => NOT_FOUND,
        Error::NotExecutable { .. } => NOT_EXECUTABLE,
        _ => SANDBOX_FAILED,
    }
}

/// The exit code for an end by `signal`; 255 for one that no system has.
#[must_use]
pub fn of_signal(signal: i32) -> u8 {
    u8::try_from(signal).ok().and_then(|signal| SIGNALLED.checked_add(signal)).unwrap_or(u8::MAX)
}

fn of_exit(exit: &Exit) -> u8 {
    match exit {
        // A POSIX exit code has eight bits; WASM's has 32, of which a non-zero
        // one must not come out as success.
        Exit::Exited(code) => u8::try_from(*code).unwrap_or(u8::MAX),
        Exit::Signalled(signal) => of_signal(*signal),
        Exit::TimedOut(_) => TIMED_OUT,
        Exit::Trap(_) => TRAPPED,
        Exit::ImportRefused(_) | Exit::Refused(_) => SANDBOX_FAILED,
        // CPU time, memory, processes, file size, output, fuel, and what comes.
        _ => LIMIT_REACHED,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_ending_has_the_code_of_the_table() {
        for (exit, code) in [
            (Exit::Exited(0), 0),
            (Exit::Exited(7), 7),
            (Exit::Exited(255), 255),
            (Exit::Exited(256), 255),
            (Exit::Exited(-1), 255),
            (Exit::Signalled(11), 139),
            (Exit::TimedOut(Duration::from_secs(1)), 124),
            (Exit::CpuTime(1), 137),
            (Exit::OutOfMemory(1), 137),
            (Exit::Processes(1), 137),
            (Exit::FileSize(1), 137),
            (Exit::Output(1), 137),
            (Exit::OutOfFuel(1), 137),
            (Exit::Trap("unreachable".into()), 134),
            (Exit::ImportRefused(Vec::new()), 125),
            (Exit::Refused(String::new()), 125),
        ] {
            assert_eq!(of_exit(&exit), code, "{exit:?}");
        }
    }

    #[test]
    fn errors_of_ours_are_told_apart_from_the_program_that_is_missing() {
        let missing = Error::NotFound { program: "x".into() };
        let barred = Error::NotExecutable {
            program: "x".into(),
            source: io::Error::from(io::ErrorKind::PermissionDenied),
        };
        let config = Error::Config { problems: Vec::new() };

        assert_eq!(of_error(&missing), 127);
        assert_eq!(of_error(&barred), 126);
        assert_eq!(of_error(&config), 125);
    }

    #[test]
    fn signal_that_no_system_has_is_no_success() {
        assert_eq!(of_signal(9), 137);
        assert_eq!(of_signal(-1), 255);
        assert_eq!(of_signal(1000), 255);
    }
}
