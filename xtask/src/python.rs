//! The virtual environment in `target/venv` that holds our Python tools.

use std::path::PathBuf;

use crate::step::{Result, Workspace, capture, show};
use crate::tally::Tally;

/// Tools by version and hash, so that every machine runs the same ones.
const TOOLS: &str = "xtask/python-tools.txt";

/// The environment's folder of programs, made at the first call.
///
/// # Errors
///
/// `python3` is missing, has no `venv` module, or the tools cannot be fetched.
pub(crate) fn environment(workspace: &Workspace, tally: &mut Tally) -> Result<PathBuf> {
    let folder = workspace.target.join("venv");
    let bin = folder.join("bin");
    let made_from = folder.join("made-from.txt");
    let wanted = format!(
        "{}\n{}",
        interpreter(workspace)?.display(),
        std::fs::read_to_string(workspace.root.join(TOOLS))?,
    );
    if std::fs::read_to_string(&made_from).is_ok_and(|had| had == wanted) {
        return Ok(bin);
    }

    let mut venv = workspace.command(interpreter(workspace)?);
    show(venv.args(["-m", "venv", "--clear"]).arg(&folder), tally).map_err(|problem| {
        format!("{problem}; on Debian and Ubuntu: apt-get install python3-venv")
    })?;
    let mut pip = workspace.command(bin.join("python"));
    show(
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args([
            "--require-hashes",
            "-r",
            TOOLS,
        ]),
        tally,
    )?;
    std::fs::write(made_from, wanted)?;
    Ok(bin)
}

/// The interpreter itself: `python3` on the PATH may be a version manager's shim,
/// whose path says nothing to a build that embeds it.
pub(crate) fn interpreter(workspace: &Workspace) -> Result<PathBuf> {
    let python = std::env::var_os("PYO3_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = workspace.command(python);
    let path = capture(command.args(["-c", "import sys; print(sys.executable)"]))?;
    Ok(PathBuf::from(path.trim_end()))
}

/// The environment's Python, if `neuroflow.sandbox` can be imported there.
pub(crate) fn with_sdk(workspace: &Workspace) -> Option<PathBuf> {
    let python = workspace.target.join("venv/bin/python");
    let mut import = workspace.command(&python);
    let output = import.args(["-c", "import neuroflow.sandbox"]).output().ok()?;
    output.status.success().then_some(python)
}
