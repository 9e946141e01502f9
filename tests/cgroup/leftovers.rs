//! L5: no cgroup is left, whatever ended the run or its host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kernel::sandbox::{Exit, NamespaceIsolator, SandboxConfig};
use neuroflow_tests::need;

use crate::again::{command, plays};
use crate::{config, run, text};

/// The cgroups of this kind anywhere, by the host's pid.
fn parents_of(host: u32) -> Vec<PathBuf> {
    fn walk(directory: &Path, name: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            let is_one = entry.file_name().to_str().is_some_and(|entry| {
                entry == name || entry.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
            });
            if is_one {
                found.push(entry.path());
            }
            walk(&entry.path(), name, found);
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &format!("neuroflow-{host}"), &mut found);
    found
}

#[test]
fn l5_no_cgroup_is_left_when_a_run_has_ended() {
    need!(Cgroup2);
    let outcome = run("print('hello')");
    assert_eq!(outcome.exit, Exit::Exited(0), "{}", text(&outcome));

    // Where the tests run one after the other, nothing else is live.
    if std::env::var_os("NEUROFLOW_ONE_BY_ONE").is_some() {
        assert_eq!(parents_of(std::process::id()), [] as [PathBuf; 0]);
    }
}

#[test]
fn l5_what_a_killed_host_leaves_the_next_one_removes() {
    const TEST: &str = "leftovers::l5_what_a_killed_host_leaves_the_next_one_removes";
    // Before anything else is run: its first cgroup is that of this guest.
    if plays("host") {
        run("import time\ntime.sleep(60)");
        return;
    }
    need!(Cgroup2);
    let mut host = command(TEST, "host", "exec @host").stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let live = loop {
        let parents = parents_of(host.id());
        if parents.iter().any(|parent| populated(parent)) {
            break parents;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{parents:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    // Others look as well, and let the cgroups of the living be.
    run("pass");
    assert_eq!(parents_of(host.id()), live);

    host.kill().unwrap();
    host.wait().unwrap();
    let start = Instant::now();
    while parents_of(host.id()).iter().any(|parent| populated(parent)) {
        assert!(start.elapsed() < Duration::from_secs(5), "the guest goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    run("pass");

    assert_eq!(parents_of(host.id()), [] as [PathBuf; 0]);
}

fn populated(cgroup: &Path) -> bool {
    let events = fs::read_to_string(cgroup.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "populated 1")
}

#[test]
fn l5_no_cgroup_is_left_by_a_run_that_could_not_start_or_was_dropped() {
    need!(Cgroup2);
    let dir = tempfile::tempdir().unwrap();
    let isolator = NamespaceIsolator::new(SandboxConfig {
        timeout: Some(Duration::from_millis(300)),
        ..config(dir.path().into())
    });
    let mut sleep = kernel::sandbox::Command::new("sleep");
    sleep.arg("60");

    assert!(isolator.execute("no-such-program", &[]).is_err());
    drop(isolator.start(sleep.clone()).unwrap());
    assert!(isolator.run(sleep).unwrap().timed_out());

    if std::env::var_os("NEUROFLOW_ONE_BY_ONE").is_some() {
        assert_eq!(parents_of(std::process::id()), [] as [PathBuf; 0]);
    }
}
