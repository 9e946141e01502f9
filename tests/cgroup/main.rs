//! Limits that only a cgroup can hold, on a host that delegates one, and hosts that
//! do not.
//!
//! `cargo xtask ci` runs this program in a throw-away virtual machine with cgroup
//! v2, as root and as an ordinary user, since few development machines have it.
#![cfg(all(target_os = "linux", not(neuroflow_portable)))]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "hosts of other kinds are processes of their own")]

mod again;
mod hosts;
mod leftovers;
mod limits;

use std::path::PathBuf;

use kernel::sandbox::{NamespaceIsolator, Outcome, SandboxConfig};

const LIMIT: u64 = 96 << 20;

/// A memory limit and a process limit that the user named, so that anything weaker
/// than a cgroup would be refused.
fn config(work_dir: PathBuf) -> SandboxConfig {
    let mut config = SandboxConfig {
        work_dir,
        memory_limit: Some(LIMIT),
        max_processes: Some(8),
        file_size_limit: None,
        ..SandboxConfig::default()
    };
    config.named.insert("memory_limit");
    config
}

/// Runs a Python program under those limits.
fn run(program: &str) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    NamespaceIsolator::new(config(dir.path().into())).execute("python3", &["-c", program]).unwrap()
}

fn text(outcome: &Outcome) -> String {
    format!(
        "{:?}\n{}{}",
        outcome.exit,
        String::from_utf8_lossy(&outcome.stdout),
        String::from_utf8_lossy(&outcome.stderr)
    )
}
