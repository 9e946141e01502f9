//! `cargo xtask soak`: thousands of runs with random kills of hosts, launchers and
//! guests, then a count of what is left. The program is `tests/soak`.

use std::process::ExitCode;

use crate::step::{Result, Workspace, show};
use crate::tally::Tally;

/// Runs it with these options.
pub(crate) fn run(workspace: &Workspace, options: &[&str]) -> Result<ExitCode> {
    let mut args = vec!["test", "--quiet", "--package", "neuroflow-tests", "--test", "soak", "--"];
    args.extend(options);
    show(&mut workspace.cargo(&args), &mut Tally::default())?;
    Ok(ExitCode::SUCCESS)
}
