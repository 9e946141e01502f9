//! What the cgroup of a run holds, and what it counts.

use kernel::sandbox::{Exit, NamespaceIsolator, Outcome, Protection, SandboxConfig, State};
use neuroflow_tests::need;

use crate::{LIMIT, config, run, text};

#[test]
fn r1_limit_that_was_named_is_enforced_by_the_cgroup() {
    need!(Cgroup2);
    let outcome = run("print(open('/proc/self/cgroup').read())");

    let held = outcome.enforcement.get(Protection::Memory).unwrap();
    assert_eq!(held.state, State::Enforced, "{held:?}");
    assert!(held.by.contains("memory.max"), "{held:?}");
    // Inside, the run's cgroup is the root of what can be seen.
    assert_eq!(String::from_utf8_lossy(&outcome.stdout).trim(), "0::/", "{}", text(&outcome));
}

#[test]
fn r2_guest_over_its_memory_is_ended_and_reported_as_out_of_memory() {
    need!(Cgroup2);
    let outcome = run("x = b''\nwhile True: x += b'x' * 1000000");

    assert_eq!(outcome.exit, Exit::OutOfMemory(LIMIT), "{}", text(&outcome));
    assert!(outcome.usage.max_memory_bytes <= LIMIT, "{:?}", outcome.usage);
    assert!(outcome.usage.max_memory_bytes > LIMIT / 2, "{:?}", outcome.usage);
}

#[test]
fn r1_memory_of_no_process_counts_too() {
    need!(Cgroup2);
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
    need!(Cgroup2);
    // More address space than memory: the cgroup counts what is used.
    let outcome = run("import mmap\nm = mmap.mmap(-1, 1 << 30)\nx = b'x' * 40000000\nprint('ok')");

    assert_eq!(outcome.exit, Exit::Exited(0), "{}", text(&outcome));
    assert!(outcome.usage.max_memory_bytes > 40_000_000, "{:?}", outcome.usage);
}

#[test]
fn r3_processes_never_exceed_the_limit() {
    need!(Cgroup2);
    let outcome = run("import os, time\nn = 1\n\
         while True:\n  try: pid = os.fork()\n  except OSError as e: print(n, e.errno); break\n  \
         if pid == 0: time.sleep(5); os._exit(0)\n  n += 1");

    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "8 11\n", "{}", text(&outcome));
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
    need!(Cgroup2);
    let (outcome, share) = busy_second(Some(0.25));
    let held = outcome.enforcement.get(Protection::CpuQuota).unwrap();
    assert_eq!((held.state, held.by.as_str()), (State::Enforced, "cgroup cpu.max"));
    // One slice may be begun and not used up.
    assert!(share < 0.4, "{share}");

    let (outcome, free) = busy_second(None);
    assert_eq!(outcome.enforcement.get(Protection::CpuQuota).unwrap().state, State::Off);
    assert!(free > 2.0 * share, "{free} without the quota, {share} with it");
}

/// A user may have 64 MiB in pipes by default (pipe(7), `pipe-user-pages-soft`).
const SMALL: u64 = 40 << 20;

#[test]
fn r1_kernel_memory_that_a_guest_causes_counts_too() {
    need!(Cgroup2);
    for program in [
        // Pipes of a megabyte each, full, all within its number of open files.
        "import fcntl, os
for _ in range(400):
    r, w = os.pipe()
    try: fcntl.fcntl(w, 1031, 1 << 20)
    except OSError: pass
    os.set_blocking(w, False)
    try:
        while True: os.write(w, b'x' * 65536)
    except BlockingIOError: pass",
        // Socket buffers, whose messages nobody reads.
        "import socket
keep = []
for _ in range(400):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    a.setblocking(False)
    keep.append((a, b))
    try:
        while True: a.send(b'x' * 65536)
    except BlockingIOError: pass",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let under = |limit| {
            let config = SandboxConfig { memory_limit: Some(limit), ..config(dir.path().into()) };
            NamespaceIsolator::new(config).execute("python3", &["-c", program]).unwrap()
        };

        let outcome = under(SMALL);
        assert_eq!(outcome.exit, Exit::OutOfMemory(SMALL), "{program}\n{}", text(&outcome));
        assert!(outcome.usage.max_memory_bytes <= SMALL, "{:?}", outcome.usage);

        // With room enough the same program comes to its end, its own memory being
        // the least of it.
        let outcome = under(1 << 30);
        assert_eq!(outcome.exit, Exit::Exited(0), "{program}\n{}", text(&outcome));
        assert!(outcome.usage.max_memory_bytes > SMALL, "{:?}", outcome.usage);
    }
}

#[test]
fn r2_other_runs_of_the_same_isolator_go_on() {
    need!(Cgroup2);
    let dir = tempfile::tempdir().unwrap();
    let isolator = NamespaceIsolator::new(config(dir.path().into()));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            isolator.execute("python3", &["-c", "import time\ntime.sleep(4)\nprint('still here')"])
        });
        let bomb = "x = b''\nwhile True: x += b'x' * 1000000";
        for _ in 0..2 {
            let outcome = isolator.execute("python3", &["-c", bomb]).unwrap();
            assert_eq!(outcome.exit, Exit::OutOfMemory(LIMIT), "{}", text(&outcome));
        }
        let other = other.join().unwrap().unwrap();
        assert_eq!(other.stdout, b"still here\n", "{}", text(&other));
    });
}

#[test]
fn figures_are_those_of_the_whole_guest() {
    need!(Cgroup2);
    // Two children that their parent does not wait for, each busy for a while.
    let outcome = run("import os, time
for _ in range(2):
    if os.fork() == 0:
        while time.process_time() < 0.4: pass
        time.sleep(20)
time.sleep(3)");

    let usage = &outcome.usage;
    let cpu = usage.cpu_user_ms.as_f64() + usage.cpu_system_ms.as_f64();
    assert!((700.0..6000.0).contains(&cpu), "{usage:?}");
    assert!(usage.wall_ms.as_f64() >= 3000.0, "{usage:?}");
    assert!(usage.max_memory_bytes > 4 << 20, "{usage:?}");
    // Linux 6.12 counts the peak; before, nobody does.
    assert!(usage.max_processes.is_none_or(|most| most == 3), "{usage:?}");
}

#[test]
fn pressure_is_told_of_a_guest_that_waits_for_its_share() {
    need!(Cgroup2);
    if !std::path::Path::new("/proc/pressure/cpu").exists() {
        return;
    }
    let (outcome, _) = busy_second(Some(0.1));

    let pressure = outcome.usage.pressure.expect("this kernel measures it");
    // Nine tenths of a second it had nothing to run on; much less would be none.
    assert!(pressure.cpu.some_ms.as_f64() > 200.0, "{pressure:?}");
    let (outcome, _) = busy_second(None);
    let free = outcome.usage.pressure.unwrap();
    assert!(free.cpu.full_ms < pressure.cpu.full_ms, "{free:?} {pressure:?}");
}
