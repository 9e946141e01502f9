//! This program once more, as a host of another kind.

use std::process::{Command, Output, Stdio};

/// Says to this program that it plays another part in a test.
const ROLE: &str = "NEUROFLOW_CGROUP_ROLE";

/// Whether this process plays that part.
pub(crate) fn plays(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|played| played == role)
}

/// A shell that runs `script`, in which `@host` stands for this program as it runs
/// `test` as `role`. What a host lacks on purpose is not required of it.
pub(crate) fn command(test: &str, role: &str, script: &str) -> Command {
    // Not the path of the file, which may lie where an ordinary user cannot go.
    let program = format!("/proc/{}/exe", std::process::id());
    let host = format!("{program} --exact {test} --nocapture --test-threads=1");
    let mut command = Command::new("sh");
    command.args(["-euc", &script.replace("@host", &host)]).env(ROLE, role).stdin(Stdio::null());
    command.env_remove("NEUROFLOW_REQUIRE").env_remove("NEUROFLOW_SKIPS");
    command
}

/// Runs it to its end.
///
/// # Panics
///
/// The test did not pass there.
#[track_caller]
pub(crate) fn passes(mut command: Command) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && stdout.contains("1 passed"), "{status}\n{stdout}\n{stderr}");
}
