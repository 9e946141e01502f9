//! One module a command, and the way from a command line to an exit code.

pub mod completions;
pub mod wasm;

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;
use kernel::sandbox::{Error, Result};

use crate::args::{Cli, Command};
use crate::exit;
use crate::printer::Printer;

/// Does what `args` ask for; returns the exit code.
pub fn main(args: impl Iterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(usage) => return usage_code(&usage),
    };
    match cli.command {
        Command::Run(_) => not_yet("`neuroflow run`"),
        Command::Explain(_) => not_yet("`neuroflow explain`"),
        Command::Check(_) => not_yet("`neuroflow check`"),
        Command::Wasm(args) => code(wasm::wasm(&args)),
        Command::Completions(args) => code(completions::completions(args.shell)),
    }
}

/// Prints help, the version or the mistake. A mistake is 125, not clap's 2,
/// which could be a guest's own.
fn usage_code(usage: &clap::Error) -> u8 {
    // To a stream that is gone there is nothing more to say.
    let _ = usage.print();
    match usage.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ => exit::SANDBOX_FAILED,
    }
}

fn code(result: Result<()>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> u8 {
    Printer::new(false).error(error);
    exit::of_error(error)
}

fn not_yet(feature: &str) -> u8 {
    failed(&Error::Unsupported {
        feature: feature.to_owned(),
        reason: "this version does not have it yet".to_owned(),
        fix: String::new(),
    })
}
