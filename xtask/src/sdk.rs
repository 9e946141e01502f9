//! The Python package: built, tested, type-checked, and its stub compared.
//!
//! Built in the profile and the target folder of the Rust tests, so that wasmtime
//! is compiled once for both.

use crate::python;
use crate::step::{Result, Workspace, show};
use crate::tally::Tally;

/// Builds the package into the virtual environment and runs all its checks.
pub(crate) fn check(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let bin = python::environment(workspace, tally)?;
    let folder = workspace.target.join("venv");
    let sdk = workspace.root.join("sdk");
    let tool = |name: &str, args: &[&str]| {
        let mut command = workspace.command(bin.join(name));
        command.args(args).current_dir(&sdk).env("VIRTUAL_ENV", &folder);
        command
    };

    let requirements = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    show(tool("python", &requirements).arg("requirements-dev.txt"), tally)?;
    show(&mut tool("maturin", &["develop", "--quiet"]), tally)?;
    show(&mut tool("ruff", &["check", "--quiet", "."]), tally)?;
    show(&mut tool("mypy", &[]), tally)?;
    show(&mut tool("stubtest", &["neuroflow.sandbox._native"]), tally)?;
    show(&mut tool("pytest", &["."]), tally)?;
    Ok(())
}
