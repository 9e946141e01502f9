//! Every ending is told apart from every other.

use std::time::{Duration, Instant};

use kernel::sandbox::{
    Command, Exit, ProcessIsolator, Protection, SandboxConfig, SandboxExecutor, State,
};

use crate::support::{WorkDir, command, python, run, sh, text};

#[test]
fn exit_code_is_the_guests_own() {
    let work = WorkDir::new();

    for code in [0, 1, 42, 124, 255] {
        let outcome = sh(work.config(), &format!("exit {code}"));

        assert_eq!(outcome.exit, Exit::Exited(code));
        assert_eq!(outcome.exit_code(), code);
        assert_eq!(outcome.success(), code == 0);
    }
}

#[test]
fn signal_of_the_guests_own_making_is_told_by_its_number() {
    let work = WorkDir::new();

    for signal in [6, 9, 11, 15] {
        let outcome = sh(work.config(), &format!("kill -{signal} $$"));

        assert_eq!(outcome.exit, Exit::Signalled(signal));
        assert_eq!(outcome.exit_code(), -signal);
    }
}

#[test]
fn l1_deadline_ends_a_guest_that_ignores_signals_and_keeps_its_output() {
    let work = WorkDir::new();
    let config = SandboxConfig { timeout: Some(Duration::from_millis(400)), ..work.config() };
    let start = Instant::now();

    let outcome = sh(config, "trap '' TERM INT HUP; echo so far; while :; do sleep 1; done");

    assert_eq!(outcome.exit, Exit::TimedOut(Duration::from_millis(400)));
    assert_eq!(outcome.exit_code(), -9);
    assert_eq!(outcome.error().unwrap(), "Command timed out after 0.4s");
    assert_eq!(text(&outcome.stdout), "so far\n");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn wall_clock_limit_of_a_command_stands_in_for_that_of_the_config() {
    let work = WorkDir::new();
    let mut command = Command::new("sleep");
    command.arg("0.6").timeout(Duration::from_millis(200));
    let endless = SandboxExecutor::new_process(SandboxConfig { timeout: None, ..work.config() });
    let short = SandboxConfig { timeout: Some(Duration::from_millis(200)), ..work.config() };
    let short = SandboxExecutor::new_process(short);

    let ended = endless.run(command.clone()).unwrap();
    command.timeout(Duration::from_secs(20));
    let finished = short.run(command.clone()).unwrap();

    assert_eq!(ended.exit, Exit::TimedOut(Duration::from_millis(200)));
    let held = ended.enforcement.get(Protection::Timeout).unwrap();
    assert_eq!(held.state, State::Enforced);
    assert_eq!(finished.exit, Exit::Exited(0));
}

#[test]
fn l1_deadline_ends_a_guest_that_stopped_itself() {
    let work = WorkDir::new();
    let config = SandboxConfig { timeout: Some(Duration::from_millis(300)), ..work.config() };

    let outcome = sh(config, "kill -STOP $$");

    assert!(outcome.timed_out());
}

#[test]
fn l2_call_returns_with_the_main_program_though_a_child_holds_stdout() {
    let work = WorkDir::new();
    let start = Instant::now();

    let outcome = sh(work.config(), "sleep 20 & echo done");

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert_eq!(text(&outcome.stdout), "done\n");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn r5_busy_guest_ends_at_its_cpu_limit_long_before_the_deadline() {
    let work = WorkDir::new();
    let config = SandboxConfig { cpu_time_limit: Some(1), ..work.config() };
    let start = Instant::now();

    let outcome = sh(config, "while :; do :; done");

    assert_eq!(outcome.exit, Exit::CpuTime(1));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(outcome.violations[0].rule, "cpu_time_limit");
}

#[test]
fn r5_busy_guest_that_ignores_the_signal_ends_too() {
    let work = WorkDir::new();
    let config = SandboxConfig { cpu_time_limit: Some(1), ..work.config() };

    let outcome = python(
        config,
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
    );

    assert_eq!(outcome.exit, Exit::CpuTime(1));
}

#[test]
fn r4_no_file_grows_past_the_limit_and_the_signal_is_told() {
    let work = WorkDir::new();
    let config = SandboxConfig { file_size_limit: Some(64 << 10), ..work.config() };

    let outcome = run(config, &["dd", "if=/dev/zero", "of=big", "bs=1k", "count=200"]);

    assert_eq!(outcome.exit, Exit::FileSize(64 << 10));
    assert_eq!(work.path().join("big").metadata().unwrap().len(), 64 << 10);
}

#[test]
fn r4_file_of_that_size_can_be_written_without_the_limit() {
    let work = WorkDir::new();
    let config = SandboxConfig { file_size_limit: None, ..work.config() };

    let outcome = run(config, &["dd", "if=/dev/zero", "of=big", "bs=1k", "count=200"]);

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert_eq!(work.path().join("big").metadata().unwrap().len(), 200 << 10);
}

#[test]
fn l7_program_that_cannot_start_is_an_error_with_the_reason() {
    let work = WorkDir::new();
    let isolator = ProcessIsolator::new(work.config());
    std::fs::write(work.path().join("plain"), "text").unwrap();

    let code = |program| isolator.run(command(&[program])).unwrap_err().code();

    assert_eq!(code("no-such-program"), "not_found");
    assert_eq!(code("./plain"), "not_executable");
    assert_eq!(code("/"), "not_executable");
}

#[test]
fn killer_ends_a_run_from_another_thread() {
    let work = WorkDir::new();
    let running = ProcessIsolator::new(work.config()).start(command(&["sleep", "60"])).unwrap();
    let killer = running.killer();
    let start = Instant::now();

    let waiter = std::thread::spawn(move || running.wait().unwrap());
    std::thread::sleep(Duration::from_millis(50));
    killer.kill();
    let outcome = waiter.join().unwrap();

    assert_eq!(outcome.exit, Exit::Signalled(9));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
