//! Life and death: what a guest starts ends with it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process;
use std::time::{Duration, Instant};

use kernel::sandbox::{Exit, ProcessIsolator, SandboxConfig};

use crate::support::{
    WorkDir, assert_nothing_left, command, left_running, need_linux, python, run, sh, text,
};

/// A daemon as in the textbooks, which then waits for ever.
const DAEMON: &str = "
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in range(3): os.close(fd)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
        open('daemon', 'w').close()
        time.sleep(1000)
    os._exit(0)
while not os.path.exists('daemon'): time.sleep(0.01)
";

#[test]
fn l3_daemon_in_a_session_of_its_own_ends_with_the_run() {
    need_linux!();
    let work = WorkDir::new();

    let outcome = python(work.config(), &format!("{DAEMON}\nprint('main ends')"));

    assert_eq!(outcome.exit, Exit::Exited(0), "{}", text(&outcome.stderr));
    assert!(work.path().join("daemon").exists(), "it ran");
    assert_nothing_left(&work);
}

#[test]
fn l1_daemon_in_a_session_of_its_own_ends_at_the_deadline() {
    need_linux!();
    let work = WorkDir::new();
    let config = SandboxConfig { timeout: Some(Duration::from_secs(2)), ..work.config() };

    let outcome = python(config, &format!("{DAEMON}\ntime.sleep(1000)"));

    assert!(outcome.timed_out(), "{:?}", outcome.exit);
    assert!(work.path().join("daemon").exists(), "it ran");
    assert_nothing_left(&work);
}

#[test]
fn l3_orphans_that_are_stopped_or_deaf_end_with_the_run() {
    need_linux!();
    let work = WorkDir::new();

    let outcome = sh(
        work.config(),
        "(trap '' TERM; sleep 100) & setsid sh -c 'kill -STOP $$' & setsid nohup sleep 100 & sleep 0.2",
    );

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert_nothing_left(&work);
}

#[test]
fn l3_processes_that_fork_faster_than_they_can_be_listed_end_with_the_run() {
    need_linux!();
    let work = WorkDir::new();
    let config = SandboxConfig {
        timeout: Some(Duration::from_secs(2)),
        max_processes: Some(20),
        allow_degraded: vec!["max_processes".into()],
        ..work.config()
    };

    let outcome = python(
        config,
        "
import os, time
while True:
    try:
        if os.fork(): os._exit(0) if os.getpid() % 2 else None
    except OSError: time.sleep(0.001)
",
    );

    let ends = [Exit::Exited(0), Exit::TimedOut(Duration::from_secs(2)), Exit::Processes(20)];
    assert!(ends.contains(&outcome.exit), "{:?}", outcome.exit);
    assert_nothing_left(&work);
}

#[test]
fn l1_deadline_ends_a_guest_that_never_stops_executing_itself_anew() {
    let work = WorkDir::new();
    let config = SandboxConfig { timeout: Some(Duration::from_millis(700)), ..work.config() };
    let start = Instant::now();
    let again = r#"exec "$0" -c "$1" "$0" "$1""#;
    let outcome = run(config, &["sh", "-c", again, "sh", again]);

    assert!(outcome.timed_out(), "{:?}", outcome.exit);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_nothing_left(&work);
}

#[test]
fn l4_nothing_of_the_guest_goes_on_when_the_host_is_killed() {
    need_linux!();
    const WORK: &str = "NEUROFLOW_TEST_WORK";
    if let Some(work) = std::env::var_os(WORK) {
        // The host that will be killed.
        let config = SandboxConfig { work_dir: work.into(), ..SandboxConfig::default() };
        drop(ProcessIsolator::new(config).run(command(&[
            "python3",
            "-c",
            &format!("{DAEMON}\ntime.sleep(1000)"),
        ])));
        return;
    }
    let work = WorkDir::new();
    #[expect(clippy::disallowed_methods, reason = "a host of its own, to be killed")]
    let mut host = process::Command::new(std::env::current_exe().unwrap());
    host.args(["--exact", "life::l4_nothing_of_the_guest_goes_on_when_the_host_is_killed"]);
    host.env(WORK, work.path()).stdout(process::Stdio::null()).process_group(0);
    let mut host = host.spawn().unwrap();
    let start = Instant::now();
    while !work.path().join("daemon").exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "the guest did not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!left_running(&work).is_empty(), "the daemon runs");

    host.kill().unwrap();
    host.wait().unwrap();

    let killed = Instant::now();
    while !left_running(&work).is_empty() {
        assert!(killed.elapsed() < Duration::from_secs(3), "{:?}", left_running(&work));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn dropping_a_run_ends_the_guest() {
    need_linux!();
    let work = WorkDir::new();
    let isolator = ProcessIsolator::new(work.config());
    let running =
        isolator.start(command(&["sh", "-c", "touch started; sleep 100 & sleep 100"])).unwrap();
    while !work.path().join("started").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }

    drop(running);

    assert_nothing_left(&work);
}

#[test]
fn l7_crash_is_a_crash_and_leaves_no_core_file() {
    let work = WorkDir::new();

    let outcome = python(work.config(), "import os; os.abort()");

    assert_eq!(outcome.exit, Exit::Signalled(6));
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
}

#[test]
fn l8_eight_runs_at_once_behave_like_one_after_the_other() {
    let work = WorkDir::new();
    let isolator = ProcessIsolator::new(work.config());

    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8_u8)
            .map(|number| {
                let isolator = &isolator;
                scope.spawn(move || {
                    let mut cat = command(&["sh", "-c", &format!("cat; exit {number}")]);
                    cat.input(vec![number; 200_000]);
                    isolator.run(cat).unwrap()
                })
            })
            .collect();
        for (number, run) in (0..8_u8).zip(runs) {
            let outcome = run.join().unwrap();
            assert_eq!(outcome.exit, Exit::Exited(number.into()));
            assert!(outcome.stdout == vec![number; 200_000]);
        }
    });
    assert_nothing_left(&work);
}
