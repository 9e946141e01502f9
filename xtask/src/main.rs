//! The project's own commands, as `cargo xtask NAME`.
//!
//! | command | does |
//! |---|---|
//! | `ci` | everything a change must pass, step by step |
//! | `test` | only the steps of `ci` that run tests |
//! | `docs` | runs the code blocks of the README and of `docs/` |
//! | `bench` | starts a guest in every sandbox installed here, and compares |
//! | `soak` | thousands of runs with random kills, then a count of what is left |
//! | `gen` | writes the generated files; `--check` compares instead |
//!
//! One file a command; [`step`] runs and times, [`tally`] counts tests.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program that starts compilers and tells a person what they said"
)]

mod bench;
mod ci;
mod dependencies;
mod docs;
mod gen_files;
mod python;
mod sdk;
mod soak;
mod step;
mod tally;
mod vm;

use std::process::ExitCode;

use step::{Result, Workspace};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci    [--list] [--only STEP]…   everything a change must pass
  test  [--list] [--only STEP]…   only the steps that run tests
  docs  [FILE]…                   run the code blocks of the pages
  bench [--rounds N] [--seconds N]   compare the start with that of the peers
  soak  [--runs N] [--seconds N] [--seed N]   run and kill at random, and count what is left
  gen   [--check]                 write the generated files, or compare them
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match args {
        ["ci", options @ ..] => ci::run(&workspace, ci::Selection::All, options),
        ["test", options @ ..] => ci::run(&workspace, ci::Selection::Tests, options),
        ["docs", files @ ..] => docs::run(&workspace, files),
        ["bench", options @ ..] => bench::run(&workspace, options),
        ["soak", options @ ..] => soak::run(&workspace, options),
        ["gen", options @ ..] => gen_files::run(&workspace, options),
        [] | ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(format!("`{}` is not a command\n\n{USAGE}", args.join(" ")).into()),
    }
}
