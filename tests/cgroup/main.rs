//! Limits that only a cgroup can hold, on a host that delegates one.
//!
//! `cargo xtask ci` runs this program in a throw-away virtual machine with cgroup
//! v2, as root and as an ordinary user, since few development machines have it.
#![cfg(all(target_os = "linux", not(neuroflow_portable)))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use kernel::sandbox::{Exit, NamespaceIsolator, Outcome, Protection, SandboxConfig, State};
use neuroflow_tests::{Need, have};

const LIMIT: u64 = 96 << 20;

/// Runs a Python program with a memory limit and a process limit that the user
/// named, so that anything weaker than a cgroup would be refused.
fn run(program: &str) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let mut config = SandboxConfig {
        work_dir: dir.path().into(),
        memory_limit: Some(LIMIT),
        max_processes: Some(8),
        file_size_limit: None,
        ..SandboxConfig::default()
    };
    config.named.insert("memory_limit");
    NamespaceIsolator::new(config).execute("python3", &["-c", program]).unwrap()
}

fn text(outcome: &Outcome) -> String {
    format!(
        "{:?}\n{}{}",
        outcome.exit,
        String::from_utf8_lossy(&outcome.stdout),
        String::from_utf8_lossy(&outcome.stderr)
    )
}

#[test]
fn r1_limit_that_was_named_is_enforced_by_the_cgroup() {
    if !have(Need::Cgroup2) {
        return;
    }
    let outcome = run("print(open('/proc/self/cgroup').read())");

    let held = outcome.enforcement.get(Protection::Memory).unwrap();
    assert_eq!(held.state, State::Enforced, "{held:?}");
    assert!(held.by.contains("memory.max"), "{held:?}");
    // Inside, the run's cgroup is the root of what can be seen.
    assert_eq!(String::from_utf8_lossy(&outcome.stdout).trim(), "0::/", "{}", text(&outcome));
}

#[test]
fn r2_guest_over_its_memory_is_ended_and_reported_as_out_of_memory() {
    if !have(Need::Cgroup2) {
        return;
    }
    let outcome = run("x = b''\nwhile True: x += b'x' * 1000000");

    assert_eq!(outcome.exit, Exit::OutOfMemory(LIMIT), "{}", text(&outcome));
    assert!(outcome.usage.max_memory_bytes <= LIMIT, "{:?}", outcome.usage);
    assert!(outcome.usage.max_memory_bytes > LIMIT / 2, "{:?}", outcome.usage);
}

#[test]
fn r1_memory_of_no_process_counts_too() {
    if !have(Need::Cgroup2) {
        return;
    }
    for program in [
        // A memfd, which is in nobody's address space.
        "import os\nf = os.memfd_create('m')\nfor _ in range(300): os.write(f, b'x' * 1000000)",
        // A file on the private tmpfs.
        "f = open('/dev/shm/f', 'wb')\ng = open('/tmp/g', 'wb')\n\
         for _ in range(60): f.write(b'x' * 1000000); g.write(b'x' * 1000000); f.flush(); g.flush()",
        // Many processes, each of them below the limit.
        "import os, time\n\
         for _ in range(6):\n  if os.fork() == 0: x = b'x' * 30000000; time.sleep(5); os._exit(0)\n\
         time.sleep(5)",
    ] {
        let outcome = run(program);

        assert_eq!(outcome.exit, Exit::OutOfMemory(LIMIT), "{program}\n{}", text(&outcome));
    }
}

#[test]
fn r1_what_stays_below_the_limit_is_let_be() {
    if !have(Need::Cgroup2) {
        return;
    }
    // More address space than memory: the cgroup counts what is used.
    let outcome = run("import mmap\nm = mmap.mmap(-1, 1 << 30)\nx = b'x' * 40000000\nprint('ok')");

    assert_eq!(outcome.exit, Exit::Exited(0), "{}", text(&outcome));
    assert!(outcome.usage.max_memory_bytes > 40_000_000, "{:?}", outcome.usage);
}

#[test]
fn r3_processes_never_exceed_the_limit() {
    if !have(Need::Cgroup2) {
        return;
    }
    let outcome = run("import os, time\nn = 1\n\
         while True:\n  try: pid = os.fork()\n  except OSError as e: print(n, e.errno); break\n  \
         if pid == 0: time.sleep(5); os._exit(0)\n  n += 1");

    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "8 11\n", "{}", text(&outcome));
}

/// Named to run last, alone: see the harness' order in `xtask`'s `vm` step.
#[test]
fn zz_l5_no_cgroup_is_left() {
    if !have(Need::Cgroup2) {
        return;
    }
    let outcome = run("print('hello')");
    assert_eq!(outcome.exit, Exit::Exited(0), "{}", text(&outcome));

    // The tests run one after the other here, so nothing else is live.
    if std::env::var_os("NEUROFLOW_ONE_BY_ONE").is_some() {
        assert_eq!(cgroups_named(&format!("neuroflow-{}", std::process::id())), [] as [PathBuf; 0]);
    }
}

fn cgroups_named(name: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, name: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            if entry.file_name().to_str() == Some(name) {
                found.push(entry.path());
            }
            walk(&entry.path(), name, found);
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), name, &mut found);
    found
}

/// CPU and wall-clock time of a guest that is busy for a second by its own clock.
fn busy_second(cpu_quota: Option<f64>) -> (Outcome, f64) {
    let dir = tempfile::tempdir().unwrap();
    let config = SandboxConfig {
        work_dir: dir.path().into(),
        cpu_quota,
        allow_degraded: vec!["memory".into()],
        ..SandboxConfig::default()
    };
    let program = "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass";
    let outcome = NamespaceIsolator::new(config).execute("python3", &["-c", program]).unwrap();
    assert_eq!(outcome.exit, Exit::Exited(0), "{}", text(&outcome));
    let usage = &outcome.usage;
    let cpu = usage.cpu_user_ms.as_f64() + usage.cpu_system_ms.as_f64();
    let share = cpu / usage.wall_ms.as_f64();
    (outcome, share)
}

#[test]
fn a_busy_guest_gets_its_share_of_the_cpu_and_no_more() {
    if !have(Need::Cgroup2) {
        return;
    }
    let (outcome, share) = busy_second(Some(0.25));
    let held = outcome.enforcement.get(Protection::CpuQuota).unwrap();
    assert_eq!((held.state, held.by.as_str()), (State::Enforced, "cgroup cpu.max"));
    // One slice may be begun and not used up.
    assert!(share < 0.4, "{share}");

    let (outcome, free) = busy_second(None);
    assert_eq!(outcome.enforcement.get(Protection::CpuQuota).unwrap().state, State::Off);
    assert!(free > 2.0 * share, "{free} without the quota, {share} with it");
}

#[test]
fn a_cpu_quota_that_nothing_holds_is_refused() {
    if have(Need::Cgroup2) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut config = SandboxConfig {
        work_dir: dir.path().into(),
        cpu_quota: Some(0.5),
        ..SandboxConfig::default()
    };
    let error = NamespaceIsolator::new(config.clone()).execute("true", &[]).unwrap_err();
    assert_eq!(error.code(), "unsupported");
    assert!(error.to_string().starts_with("cpu_quota is not supported here"), "{error}");
    assert!(error.fix().unwrap().contains("[cpu_quota]"), "{:?}", error.fix());

    config.allow_degraded.push("cpu_quota".into());
    let outcome = NamespaceIsolator::new(config).execute("true", &[]).unwrap();
    assert_eq!(outcome.enforcement.get(Protection::CpuQuota).unwrap().state, State::Missing);
}
