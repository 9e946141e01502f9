//! After a run of the process back end nothing is left, whatever the ending.
//!
//! Alone in its binary: it looks at the descriptors and children of the whole
//! process.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use kernel::sandbox::{Command, Exit, ProcessIsolator, SandboxConfig, SandboxSecurityLevel};
use neuroflow_tests::{Leftovers, need};

fn sh(config: SandboxConfig, script: &str) -> Exit {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    ProcessIsolator::new(config).run(command).unwrap().exit
}

#[test]
fn l5_nothing_is_left_whatever_the_ending() {
    need!(UserNamespaces);
    let work = tempfile::tempdir().unwrap();
    let config = SandboxConfig {
        work_dir: work.path().into(),
        timeout: Some(Duration::from_secs(1)),
        cpu_time_limit: Some(1),
        max_output: 1000,
        file_size_limit: Some(1000),
        memory_limit: Some(64 << 20),
        // PARANOID insists on a cgroup otherwise.
        allow_degraded: vec!["memory".into()],
        ..SandboxConfig::default()
    };
    let folders = [work.path()];
    // What is made once and kept, the probe of the host for one, is no leftover.
    sh(config.clone(), "true");
    let before = Leftovers::look(&folders);

    for level in SandboxSecurityLevel::ALL {
        for script in [
            "exit 3",
            "kill -9 $$",
            "sleep 100",
            "while :; do :; done",
            "yes",
            "head -c 5000 /dev/zero > big",
            "python3 -c 'x = b\"x\" * (200 << 20)'",
            "setsid sleep 100 & setsid sh -c 'kill -STOP $$' &",
            "ipcmk -M 1000 -Q -S 3 >&2; exit 0",
            "exec >&- 2>&- <&-; sleep 0.1",
        ] {
            sh(SandboxConfig { security_level: level, ..config.clone() }, script);
            let _ = std::fs::remove_file(work.path().join("big"));
            before.assert_none_since(&folders);
        }
        let isolator =
            ProcessIsolator::new(SandboxConfig { security_level: level, ..config.clone() });
        let mut sleep = Command::new("sleep");
        sleep.arg("100");
        drop(isolator.start(sleep).unwrap());
        isolator.execute("no-such-program", &[]).unwrap_err();
        drop(isolator);
        before.assert_none_since(&folders);
    }
}
