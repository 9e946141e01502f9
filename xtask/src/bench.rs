//! `cargo xtask bench`: the only source of a speed claim.
//!
//! Builds what is measured, optimised, and runs `kernel/benches/start.rs`, which
//! says how the comparison is made. Not part of `ci`: a timing asserted on a
//! shared machine tests the neighbours.

use std::process::ExitCode;

use crate::step::{Result, Workspace, show};
use crate::tally::Tally;

/// Runs it; `options` go to the measuring program.
pub(crate) fn run(workspace: &Workspace, options: &[&str]) -> Result<ExitCode> {
    let mut tally = Tally::default();
    let build = ["build", "--release", "--quiet", "--package", "neuroflow-cli"];
    show(&mut workspace.cargo(&build), &mut tally)?;
    let neuroflow = workspace.target.join("release/neuroflow");
    let bench = ["bench", "--quiet", "--package", "neuroflow-kernel", "--no-default-features"];
    let mut command = workspace.cargo(&bench);
    command.args(["--bench", "start", "--", "--neuroflow"]).arg(&neuroflow).args(options);
    show(&mut command, &mut tally)?;
    Ok(ExitCode::SUCCESS)
}
