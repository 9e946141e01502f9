//! The tests that need cgroup v2, in a throw-away virtual machine.
//!
//! Most machines that build this project have no cgroup v2 controllers to give.
//! The machine is booted by a script that stands beside the checkout
//! (`../shared/vm/run-in-vm`); `NEUROFLOW_VM` names another one with the same
//! options. The files of this machine are those of the virtual one, so the test
//! program that was built here runs there.

use std::path::PathBuf;

use crate::step::{Result, Workspace, capture, show};
use crate::tally::Tally;

/// The script, if there is one.
pub(crate) fn script(workspace: &Workspace) -> Option<PathBuf> {
    let named = std::env::var_os("NEUROFLOW_VM").map(PathBuf::from);
    let beside = workspace.root.join("../shared/vm/run-in-vm");
    named.or(Some(beside)).filter(|path| path.is_file())
}

/// Runs the test program as root and as an ordinary user.
pub(crate) fn run(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let script = script(workspace).ok_or("there is no script that boots a machine")?;
    let tests = test_program(workspace)?;
    for user in [None, Some("1000")] {
        println!("-- in a virtual machine, as {}", user.unwrap_or("root"));
        let mut command = workspace.command(&script);
        command.args(["--timeout", "600"]);
        if let Some(user) = user {
            command.args(["--user", user]);
        }
        command.arg("--").arg(&tests).args(["--test-threads", "1"]);
        command.env("NEUROFLOW_REQUIRE", "userns,seccomp,landlock,cgroup2");
        command.env("NEUROFLOW_ONE_BY_ONE", "1");
        command.env_remove("NEUROFLOW_SKIPS");
        show(&mut command, tally)?;
    }
    Ok(())
}

/// The test program, built if need be. All of the workspace is named, so that it
/// has the features it had in the step before.
fn test_program(workspace: &Workspace) -> Result<PathBuf> {
    let args = ["test", "--workspace", "--no-run", "--quiet", "--message-format", "json"];
    let messages = capture(&mut workspace.cargo(&args))?;
    let message = messages.lines().find(|line| line.contains("\"name\":\"cgroup\""));
    let path = message.and_then(|line| line.split_once("\"executable\":\"")?.1.split_once('"'));
    path.map(|(path, _)| path.into()).ok_or_else(|| "cargo names no test program".into())
}
