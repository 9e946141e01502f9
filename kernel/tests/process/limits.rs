//! Limits hold, hold for the whole guest, and hold nobody else up.

use std::time::Duration;

use kernel::sandbox::{Exit, Protection, SandboxConfig, State};

use neuroflow_tests::need;

use crate::support::{WorkDir, need_linux, python, text};

/// Takes memory, page by page, until it is stopped.
const BOMB: &str = "
blocks = []
while True: blocks.append(b'x' * (1 << 20))
";

#[test]
fn r2_guest_over_its_memory_limit_ends_as_out_of_memory() {
    need_linux!();
    let work = WorkDir::new();
    let config = SandboxConfig { memory_limit: Some(64 << 20), ..work.config() };

    let outcome = python(config, BOMB);

    assert_eq!(outcome.exit, Exit::OutOfMemory(64 << 20), "{}", text(&outcome.stderr));
    assert_eq!(outcome.exit_code(), -9);
    let peak = outcome.usage.max_memory_bytes;
    assert!((64 << 20..160 << 20).contains(&peak), "{peak}");
}

#[test]
fn r2_same_amount_can_be_taken_below_the_limit() {
    need_linux!();
    let work = WorkDir::new();
    let config = SandboxConfig { memory_limit: Some(256 << 20), ..work.config() };

    let outcome = python(config, "x = b'x' * (100 << 20); print(len(x))");

    assert_eq!(outcome.exit, Exit::Exited(0), "{}", text(&outcome.stderr));
    assert!(outcome.usage.max_memory_bytes > 100 << 20);
}

#[test]
fn r1_memory_of_many_processes_counts_together() {
    need_linux!();
    let work = WorkDir::new();
    let config = SandboxConfig {
        memory_limit: Some(100 << 20),
        timeout: Some(Duration::from_secs(10)),
        ..work.config()
    };

    let outcome = python(
        config,
        "
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = b'x' * (30 << 20)
        time.sleep(100)
time.sleep(100)
",
    );

    assert_eq!(outcome.exit, Exit::OutOfMemory(100 << 20));
}

#[test]
fn r1_pages_that_processes_share_count_once() {
    need_linux!();
    let work = WorkDir::new();
    let config = SandboxConfig { memory_limit: Some(150 << 20), ..work.config() };

    let outcome = python(
        config,
        "
import os, time
x = b'x' * (60 << 20)
children = []
for _ in range(6):
    pid = os.fork()
    if pid == 0:
        time.sleep(0.5)
        os._exit(0)
    children.append(pid)
for pid in children: os.waitpid(pid, 0)
print('done')
",
    );

    assert_eq!(text(&outcome.stdout), "done\n", "{:?}", outcome.exit);
}

#[test]
fn r3_processes_and_threads_never_exceed_the_limit() {
    need!(UserNamespaces);
    let work = WorkDir::new();
    let config = SandboxConfig { max_processes: Some(12), ..work.config() };

    let outcome = python(
        config,
        "
import os, threading, time
alive = 1
try:
    for number in range(50):
        if number % 2:
            threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
        elif os.fork() == 0:
            if number % 4: os.setsid()
            time.sleep(2)
            os._exit(0)
        alive += 1
except (OSError, RuntimeError): pass
print(alive, flush=True)
os._exit(0)
",
    );

    assert_eq!(text(&outcome.stdout), "12\n", "{:?} {}", outcome.exit, text(&outcome.stderr));
}

#[test]
fn r3_without_namespaces_too_many_end_the_run() {
    need_linux!();
    if kernel::sandbox::host::Host::get().namespaces.is_ok() {
        return; // There the limit is never passed.
    }
    let work = WorkDir::new();
    let config = SandboxConfig {
        max_processes: Some(12),
        allow_degraded: vec!["max_processes".into()],
        ..work.config()
    };

    let outcome = python(
        config,
        "
import os, time
for _ in range(20):
    if os.fork() == 0: time.sleep(10); os._exit(0)
time.sleep(10)
",
    );

    assert_eq!(outcome.exit, Exit::Processes(12), "{}", text(&outcome.stderr));
}

#[test]
fn r3_so_many_can_be_started_without_the_limit() {
    let work = WorkDir::new();
    // Each thread reserves 8 MiB of address space for its stack, and 64 for its heap.
    let config = SandboxConfig { max_processes: None, memory_limit: None, ..work.config() };

    let outcome = python(
        config,
        "
import threading, time
for _ in range(70): threading.Thread(target=time.sleep, args=(0.2,)).start()
print('started')
",
    );

    assert_eq!(text(&outcome.stdout), "started\n", "{}", text(&outcome.stderr));
}

#[test]
fn r5_cpu_time_of_children_counts_together() {
    need_linux!();
    let work = WorkDir::new();
    let config = SandboxConfig { cpu_time_limit: Some(1), ..work.config() };

    let outcome = python(
        config,
        "
import os
for _ in range(3):
    if os.fork() == 0:
        while True: pass
os.wait()
while True: pass
",
    );

    assert_eq!(outcome.exit, Exit::CpuTime(1));
}

#[test]
fn h2_receipt_says_how_each_limit_is_held() {
    need!(UserNamespaces);
    let work = WorkDir::new();

    let outcome = python(work.config(), "pass");

    let held = |protection| outcome.enforcement.get(protection).unwrap().clone();
    assert_eq!(held(Protection::Memory).state, State::Enforced);
    assert!(held(Protection::Memory).by.contains("per process"));
    for protection in [
        Protection::CpuTime,
        Protection::Timeout,
        Protection::MaxProcesses,
        Protection::FileSize,
        Protection::Output,
        Protection::Cleanup,
        Protection::Descriptors,
        Protection::Environment,
    ] {
        assert_eq!(held(protection).state, State::Enforced, "{}", protection.name());
    }
    assert_eq!(held(Protection::AllowedCommands).state, State::Off);
}
