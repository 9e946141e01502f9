//! Hostile programs, told right: the ending, the output so far, and nothing left.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use std::time::{Duration, Instant};

use common::{Bench, backends, told};
use kernel::sandbox::Report;
use kernel::sandbox::report::EndingKind;
use neuroflow_tests::need;

/// Runs a Python program and returns its report.
fn report(bench: &Bench, backend: &str, options: &[&str], program: &str) -> Report {
    let mut run = bench.run(backend);
    told(run.arg("--json").args(options).args(["--", "python3", "-c", program])).report()
}

#[test]
fn program_that_sleeps_too_long_is_timed_out_and_its_output_kept() {
    for backend in backends() {
        let bench = Bench::new();
        let program = "import time; print('early', flush=True); time.sleep(60)";

        let report = report(&bench, backend, &["--timeout=1s"], program);

        assert_eq!(report.ending.kind, EndingKind::TimedOut, "{backend}: {report:?}");
        assert_eq!(report.exit_code, Some(-9), "{backend}");
        assert!(report.timed_out, "{backend}");
        assert_eq!(report.error.as_deref(), Some("Command timed out after 1s"), "{backend}");
        assert_eq!(report.stdout.as_deref(), Some("early\n"), "{backend}");
        assert!((1000.0..4000.0).contains(&report.execution_time_ms), "{backend}: {report:?}");
    }
}

#[test]
fn program_that_takes_memory_is_out_of_memory_and_its_output_kept() {
    for backend in backends() {
        let bench = Bench::new();
        let program =
            "print('early', flush=True); l = []\nwhile True: l.append(bytearray(1 << 20))";
        let options = ["--memory=64MB", "--allow-degraded=memory"];

        let report = report(&bench, backend, &options, program);

        assert_eq!(report.ending.kind, EndingKind::OutOfMemory, "{backend}: {report:?}");
        assert_eq!(report.exit_code, Some(-9), "{backend}");
        assert_eq!(report.stdout.as_deref(), Some("early\n"), "{backend}");
        assert_eq!(report.violations[0].kind, "memory", "{backend}: {report:?}");
    }
}

#[test]
fn fork_bomb_ends_with_the_run_and_never_has_more_processes_than_the_limit() {
    for backend in backends() {
        let bench = Bench::new();
        let program = "
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
";
        let before = Instant::now();

        let report = report(&bench, backend, &["--timeout=1s", "--max-processes=20"], program);

        assert!(
            matches!(report.ending.kind, EndingKind::TimedOut | EndingKind::Processes),
            "{backend}: {report:?}"
        );
        assert!(before.elapsed() < Duration::from_secs(6), "{backend}: {:?}", before.elapsed());
        let most = report.usage.max_processes.unwrap_or(0);
        assert!(most <= 20, "{backend}: {most} at once");
    }
}

#[test]
fn daemon_that_forked_twice_is_gone_when_the_run_is() {
    for backend in backends() {
        let bench = Bench::new();
        let mark = bench.path("mark").display().to_string();
        let script = format!(
            "(setsid sh -c 'setsid sh -c \"sleep 600 # $0\" {mark} & exit' &); echo main is done"
        );
        let before = Instant::now();

        let told = told(bench.run(backend).args(["--json", "--", "sh", "-c", &script]));

        let report = told.report();
        assert_eq!(report.ending.kind, EndingKind::Exited, "{backend}: {report:?}");
        assert_eq!(report.stdout.as_deref(), Some("main is done\n"), "{backend}");
        assert!(before.elapsed() < Duration::from_secs(5), "{backend}: {:?}", before.elapsed());
        assert_eq!(with_mark(&mark), Vec::<String>::new(), "{backend}");
    }
}

/// The command lines on this host in which `mark` stands.
fn with_mark(mark: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let lines = processes.filter_map(|process| {
        let line = std::fs::read(process.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(mark)).collect()
}

#[test]
fn shadow_cannot_be_read_inside_and_the_receipt_says_by_what() {
    need!(UserNamespaces);
    need!(Root);
    let bench = Bench::new();
    let program = "print(len(open('/etc/shadow').read()))";

    let inside = report(&bench, "namespace", &[], program);
    let outside = told(std::process::Command::new("python3").args(["-c", program]));

    assert_eq!(outside.code, Some(0), "root reads it outside: {}", outside.stderr);
    assert_eq!(inside.ending.code, Some(1), "{inside:?}");
    assert!(inside.stderr.unwrap().contains("FileNotFoundError"));
    let receipt = serde_json::to_value(inside.enforcement).unwrap();
    assert_eq!(receipt["filesystem"]["state"], "enforced");
}

#[test]
fn program_that_prints_without_end_is_ended_and_the_beginning_kept() {
    for backend in backends() {
        let bench = Bench::new();
        let program = "import sys\nwhile True: sys.stdout.write('0123456789' * 1000)";

        let report = report(&bench, backend, &["--max-output=1MB"], program);

        assert_eq!(report.ending.kind, EndingKind::Output, "{backend}: {report:?}");
        assert!(report.output_truncated, "{backend}");
        let kept = report.stdout.unwrap();
        assert_eq!(kept.len(), 1 << 20, "{backend}");
        assert!(kept.starts_with("0123456789"), "{backend}");
    }
}
