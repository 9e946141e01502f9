//! The namespace back end on real programs.
#![cfg(all(target_os = "linux", not(neuroflow_portable)))]

use std::thread;

use kernel::sandbox::config::Isolation;
use kernel::sandbox::{Exit, NamespaceIsolator, SandboxConfig};

fn isolator(work_dir: &std::path::Path) -> NamespaceIsolator {
    NamespaceIsolator::new(SandboxConfig { work_dir: work_dir.into(), ..SandboxConfig::default() })
}

#[test]
fn hello_from_python() {
    let dir = tempfile::tempdir().unwrap();

    let outcome = isolator(dir.path()).execute("python3", &["-c", "print('hello')"]).unwrap();

    assert_eq!(outcome.exit, Exit::Exited(0), "{}", String::from_utf8_lossy(&outcome.stderr));
    assert_eq!(outcome.stdout, b"hello\n");
}

#[test]
fn l8_runs_at_once_do_not_take_each_others_endings() {
    let dir = tempfile::tempdir().unwrap();
    let isolator = isolator(dir.path());
    let echo = &|number: i32| {
        let outcome = isolator.execute("echo", &[&number.to_string()]).unwrap();
        (outcome.exit, String::from_utf8(outcome.stdout).unwrap())
    };

    // Enough at once that inits are cloned while others are reaped.
    for round in 0..4 {
        thread::scope(|scope| {
            let runs: Vec<_> = (0..64).map(|number| scope.spawn(move || echo(number))).collect();
            for (number, run) in runs.into_iter().enumerate() {
                let ended = run.join().unwrap();
                assert_eq!(ended, (Exit::Exited(0), format!("{number}\n")), "round {round}");
            }
        });
    }
}

#[test]
fn isolation_that_is_not_there_yet_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = SandboxConfig {
        work_dir: dir.path().into(),
        isolation: Isolation::Contained,
        ..SandboxConfig::default()
    };

    let error = NamespaceIsolator::new(config).execute("true", &[]).unwrap_err();

    assert_eq!(error.code(), "unsupported");
    assert!(error.to_string().starts_with("isolation: contained is not supported"), "{error}");
}
