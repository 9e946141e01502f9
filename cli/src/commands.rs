//! One module a command, and the way from a command line to an exit code.

pub mod check;
pub mod completions;
pub mod explain;
pub mod run;
pub mod seccomp;
#[cfg(target_os = "linux")]
pub mod selftest;
pub mod trace;
pub mod wasm;

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;
use kernel::sandbox::Result;

use crate::args::{Cli, Command};
use crate::exit;
use crate::printer::Printer;

/// Does what `args` ask for; returns the exit code.
pub fn main(args: impl Iterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(usage) => return usage_code(&usage),
    };
    let done = match cli.command {
        Command::Run(args) => Ok(run::run(&args)),
        Command::Explain(args) => succeeded(explain::explain(&args)),
        Command::Check(args) => succeeded(check::check(&args)),
        Command::Wasm(args) => succeeded(wasm::wasm(&args)),
        #[cfg(target_os = "linux")]
        Command::Selftest(args) => selftest::selftest(&args),
        #[cfg(target_os = "linux")]
        Command::SelftestGuest { act } => Ok(crate::selftest::acts::act(&act)),
        Command::Seccomp(command) => seccomp::seccomp(&command),
        Command::Completions(args) => succeeded(completions::completions(args.shell)),
    };
    done.unwrap_or_else(|error| {
        Printer::new(false).error(&error);
        exit::of_error(&error)
    })
}

/// Prints help, the version or the mistake; returns the exit code. A mistake is
/// 125, not clap's 2, which could be a guest's own.
pub fn usage_code(usage: &clap::Error) -> u8 {
    // To a stream that is gone there is nothing more to say.
    let _ = usage.print();
    match usage.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ => exit::SANDBOX_FAILED,
    }
}

fn succeeded(result: Result<()>) -> Result<u8> {
    result.map(|()| 0)
}
