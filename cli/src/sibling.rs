//! Hands over to `neuroflow-wasm`, the program that has the WASM engine in it.
//!
//! Two programs, because one that links the engine pays for it at every start,
//! also when it runs no module.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use kernel::sandbox::{Error, Result};

/// The program that runs modules.
const PROGRAM: &str = "neuroflow-wasm";

/// Becomes `neuroflow-wasm` with these arguments; returns only if it cannot.
///
/// # Errors
///
/// [`Error::Unsupported`] if the program is not there, with the command that
/// builds it; [`Error::NotExecutable`] if it does not start.
pub fn hand_over(args: &[OsString]) -> Result<Infallible> {
    let Some(program) = find() else {
        return Err(Error::Unsupported {
            feature: "the wasm sandbox".to_owned(),
            reason: format!(
                "the program `{PROGRAM}` is neither beside `neuroflow` nor on the PATH"
            ),
            fix: format!("`cargo build --release -p {PROGRAM}` builds it"),
        });
    };
    let source = become_program(&program, args);
    Err(Error::NotExecutable { program: program.display().to_string(), source })
}

/// Beside our own executable, then on the PATH. A relative entry of the PATH
/// would let whoever wrote the current directory choose the program.
fn find() -> Option<PathBuf> {
    let name = format!("{PROGRAM}{}", env::consts::EXE_SUFFIX);
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
    let path = env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(env::split_paths(&path).filter(|directory| directory.is_absolute()))
        .map(|directory| directory.join(&name))
        .find(|program| program.is_file())
}

#[cfg(unix)]
#[allow(clippy::disallowed_methods, reason = "a part of ours takes over; no guest is started")]
fn become_program(program: &std::path::Path, args: &[OsString]) -> std::io::Error {
    use std::os::unix::process::CommandExt;

    std::process::Command::new(program).args(args).exec()
}

/// There is no exec: runs it and ends with its code.
#[cfg(not(unix))]
#[allow(clippy::disallowed_methods, reason = "a part of ours takes over; no guest is started")]
#[allow(clippy::exit, reason = "the other program has taken over, and has ended")]
fn become_program(program: &std::path::Path, args: &[OsString]) -> std::io::Error {
    match std::process::Command::new(program).args(args).status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
