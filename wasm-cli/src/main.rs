//! `neuroflow-wasm`: what `neuroflow wasm` becomes.
//!
//! A program of its own, so that `neuroflow` does not pay at every start for an
//! engine that it seldom needs. Options, reports and exit codes are shared with
//! `neuroflow run`, through the library of `neuroflow-cli`.

mod args;
mod cache;
mod inspect;
mod module_file;
mod run;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use kernel::sandbox::Result;
use neuroflow_cli::exit;
use neuroflow_cli::printer::Printer;

use args::Command;

fn main() -> ExitCode {
    kernel::sandbox::wasm::expect_one_run();
    match args::Cli::try_parse() {
        Ok(cli) => match &cli.command {
            None => run::run(&cli.run),
            Some(Command::Inspect(args)) => or_told(inspect::inspect(args)),
            Some(Command::Verify(args)) => or_told(verify::verify(args)),
            Some(Command::Cache(args)) => or_told(cache::cache(args)),
            Some(Command::CompileModule) => compile(),
        }
        .into(),
        Err(error) => {
            // Help and version are what was asked for; a mistake is ours to refuse.
            let code = if error.use_stderr() { exit::SANDBOX_FAILED } else { 0 };
            let _ = error.print();
            code.into()
        }
    }
}

/// The exit code of a command that tells its own errors nowhere else.
fn or_told(done: Result<u8>) -> u8 {
    done.unwrap_or_else(|error| {
        Printer::new(false).error(&error);
        exit::of_error(&error)
    })
}

/// The other half of what `run` starts for a large module.
fn compile() -> u8 {
    match kernel::sandbox::wasm::compile_for_parent(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => 0,
        Err((code, error)) => {
            // A sentence for the parent, which tells it to the user.
            let _ = write!(io::stderr(), "{error}");
            code
        }
    }
}
