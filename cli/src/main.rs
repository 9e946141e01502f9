//! `neuroflow`: parse, run, map to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    neuroflow_cli::commands::main(std::env::args_os()).into()
}
