//! Many runs at once, counted and ended together.

use std::thread;
use std::time::{Duration, Instant};

use kernel::sandbox::{Exit, SandboxExecutor, SandboxManager};

use crate::support::{WorkDir, command};

/// Waits until `manager` has that many sandboxes.
fn until_active(manager: &SandboxManager, count: usize) {
    let start = Instant::now();
    while manager.get_stats().active_sandboxes != count {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", manager.get_stats());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn runs_are_counted_and_averaged_and_refused_ones_are_not() {
    let work = WorkDir::new();
    let config = work.config();
    let manager = SandboxManager::new(config.clone());
    let refusing = kernel::sandbox::SandboxConfig { allowed_commands: vec!["sh".into()], ..config };

    manager.execute("sleep", &["0.1"]).unwrap();
    manager.execute("false", &[]).unwrap();
    manager.execute_with_config(refusing, "sleep", &["9"]).unwrap();
    manager.execute("no-such-program", &[]).unwrap_err();

    let stats = manager.get_stats();
    assert_eq!((stats.active_sandboxes, stats.total_executions), (0, 2));
    assert!((50.0..5000.0).contains(&stats.avg_execution_time), "{stats:?}");
}

#[test]
fn cleanup_ends_what_runs_longer_and_leaves_the_rest() {
    let work = WorkDir::new();
    let manager = SandboxManager::new(work.config());
    let start = Instant::now();

    thread::scope(|scope| {
        let long = scope.spawn(|| manager.execute("sleep", &["60"]).unwrap());
        until_active(&manager, 1);
        thread::sleep(Duration::from_millis(300));
        let short = scope.spawn(|| manager.execute("sleep", &["0.5"]).unwrap());
        until_active(&manager, 2);

        let ended = manager.cleanup_longer_than(Duration::from_millis(250));

        assert_eq!((ended, manager.get_stats().active_sandboxes), (1, 1));
        assert_eq!(long.join().unwrap().exit, Exit::Signalled(9));
        assert_eq!(short.join().unwrap().exit, Exit::Exited(0));
    });
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn named_sandbox_lives_until_it_is_idle_for_too_long() {
    let work = WorkDir::new();
    let manager = SandboxManager::default();
    let executor = SandboxExecutor::new_process(work.config());
    manager.create_sandbox("one", executor.clone()).unwrap();
    assert_eq!(manager.create_sandbox("one", executor).unwrap_err().code(), "config");

    thread::scope(|scope| {
        let busy = scope.spawn(|| manager.run_in("one", command(&["sleep", "0.4"])).unwrap());
        thread::sleep(Duration::from_millis(200));
        assert_eq!(manager.cleanup_idle(Duration::from_millis(100)), 0, "it is busy");
        assert!(busy.join().unwrap().success());
    });

    assert_eq!(manager.get_stats().active_sandboxes, 1);
    assert_eq!(manager.cleanup_idle(Duration::from_secs(60)), 0, "it was used just now");
    assert_eq!(manager.cleanup_idle(Duration::ZERO), 1);
    assert_eq!(manager.run_in("one", command(&["true"])).unwrap_err().code(), "config");
}

#[test]
fn destroying_a_sandbox_ends_its_runs() {
    let work = WorkDir::new();
    let manager = SandboxManager::default();
    manager.create_sandbox("one", SandboxExecutor::new_process(work.config())).unwrap();

    thread::scope(|scope| {
        let run = scope.spawn(|| manager.run_in("one", command(&["sleep", "60"])).unwrap());
        thread::sleep(Duration::from_millis(200));

        assert!(manager.destroy_sandbox("one"));
        assert!(!manager.destroy_sandbox("one"));
        assert_eq!(run.join().unwrap().exit, Exit::Signalled(9));
    });
}

#[test]
fn cleanup_ends_everything() {
    let work = WorkDir::new();
    let manager = SandboxManager::new(work.config());
    manager.create_sandbox("idle", SandboxExecutor::new_process(work.config())).unwrap();

    thread::scope(|scope| {
        let runs: Vec<_> =
            (0..3).map(|_| scope.spawn(|| manager.execute("sleep", &["60"]).unwrap())).collect();
        until_active(&manager, 4);

        assert_eq!(manager.cleanup(), 4);
        assert_eq!(manager.get_stats().active_sandboxes, 0);
        for run in runs {
            assert_eq!(run.join().unwrap().exit, Exit::Signalled(9));
        }
    });
}
