//! What the tests of the process back end share.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::sandbox::{Command, Outcome, ProcessIsolator, SandboxConfig};

/// A work dir of its own for one test, removed with it.
pub(crate) struct WorkDir(PathBuf);

impl WorkDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("neuroflow-process-test-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The default config, in this work dir.
    pub(crate) fn config(&self) -> SandboxConfig {
        SandboxConfig { work_dir: self.0.clone(), ..SandboxConfig::default() }
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Runs `sh -c script`.
pub(crate) fn sh(config: SandboxConfig, script: &str) -> Outcome {
    run(config, &["sh", "-c", script])
}

/// Runs `python3 -c code`.
pub(crate) fn python(config: SandboxConfig, code: &str) -> Outcome {
    run(config, &["python3", "-c", code])
}

/// Runs a program with its arguments.
pub(crate) fn run(config: SandboxConfig, argv: &[&str]) -> Outcome {
    ProcessIsolator::new(config).run(command(argv)).unwrap()
}

/// The command of an argument list.
pub(crate) fn command(argv: &[&str]) -> Command {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]);
    command
}

/// What a guest printed, as text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The processes, zombies included, that belong to runs in `work`: the work dir
/// is the guest's HOME, which whatever it starts inherits.
///
/// The environment of a process that another user runs is not readable; as root
/// every one is.
pub(crate) fn left_running(work: &WorkDir) -> Vec<String> {
    let home = format!("HOME={}", work.path().display());
    let belongs = |pid: &str| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == home.as_bytes())
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && belongs(name))
        .map(|pid| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            format!("{pid}: {}", line.replace('\0', " "))
        })
        .collect()
}

/// Fails unless nothing of the runs in `work` is left at this moment.
#[track_caller]
pub(crate) fn assert_nothing_left(work: &WorkDir) {
    let left = left_running(work);
    assert!(left.is_empty(), "still running: {left:?}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*work.path().to_string_lossy()), "{mounts}");
}

/// Returns from the test, loudly, on a system where a guest is a process like
/// any other: what it starts can get away.
macro_rules! need_linux {
    () => {
        if cfg!(not(all(target_os = "linux", not(neuroflow_portable)))) {
            eprintln!("SKIPPED: a process group is all that this system has");
            return;
        }
    };
}
pub(crate) use need_linux;
