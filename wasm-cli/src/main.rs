//! `neuroflow-wasm`: what `neuroflow wasm` becomes.
//!
//! A program of its own, so that `neuroflow` does not pay at every start for an
//! engine that it seldom needs. Options, reports and exit codes are shared with
//! `neuroflow run`, through the library of `neuroflow-cli`.

mod args;
mod module_file;
mod run;

use std::process::ExitCode;

use clap::Parser;
use neuroflow_cli::exit;

fn main() -> ExitCode {
    match args::Cli::try_parse() {
        Ok(cli) => run::run(&cli.run).into(),
        Err(error) => {
            // Help and version are what was asked for; a mistake is ours to refuse.
            let code = if error.use_stderr() { exit::SANDBOX_FAILED } else { 0 };
            let _ = error.print();
            code.into()
        }
    }
}
