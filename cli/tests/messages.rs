//! The words of what we say, as snapshots.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use common::{Bench, told};
use insta::assert_snapshot;

fn said(bench: &Bench, args: &[&str]) -> String {
    told(&mut bench.neuroflow(args)).stderr
}

#[test]
fn mistakes_on_the_command_line() {
    let bench = Bench::new();

    assert_snapshot!(said(&bench, &["run"]), @r"
    error: the following required arguments were not provided:
      <PROGRAM>...

    Usage: neuroflow run [OPTIONS] [--] PROGRAM [ARGS]...

    For more information, try '--help'.
    ");
    assert_snapshot!(said(&bench, &["run", "--memory", "5x", "true"]), @r"
    error: invalid value '5x' for '--memory <SIZE>': `5x` is not a size; write bytes or a unit, as in `256MB`

    For more information, try '--help'.
    ");
    assert_snapshot!(said(&bench, &["run", "--backend", "proces", "true"]), @r"
    error: invalid value 'proces' for '--backend <NAME>'
      [possible values: auto, namespace, process, wasm]

      tip: a similar value exists: 'process'

    For more information, try '--help'.
    ");
}

#[test]
fn refusals() {
    let bench = Bench::new();

    let missing = said(&bench, &["run", "-q", "--backend=process", "no-such-program"]);
    assert_snapshot!(missing, @"error: `no-such-program` was not found on the sandbox's PATH");
    assert_snapshot!(said(&bench, &["run", "--backend=wasm", "--level=strict", "a.wasm"]), @"error: `--level` says nothing about the wasm sandbox");
    let twice = ["run", "--backend=process", "--timeout=0", "--max-processes=0", "true"];
    assert_snapshot!(said(&bench, &twice), @"
    error: 2 problems with what was asked:
      - `timeout` is 0; nothing could run (`none` is no limit)
      - `max_processes` is 0; the program itself is one (`none` is no limit)
    ");
}

#[test]
fn messages_have_no_colour_where_nobody_sees_it() {
    let bench = Bench::new();

    let plain = said(&bench, &["run", "--backend=process", "no-such-program"]);

    assert!(!plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn warning_about_a_default_that_is_degraded_is_one_line_and_can_be_kept_back() {
    let bench = Bench::new();
    let work_dir = bench.path("work").display().to_string();
    let line = ["--backend=process", "--work-dir", &work_dir, "--json", "true"];

    let loud = told(&mut bench.neuroflow(["run"].iter().chain(&line)));
    let quiet = told(&mut bench.neuroflow(["run", "--quiet"].iter().chain(&line)));

    let degraded = loud.report().enforcement;
    let degraded = degraded.iter().any(|(_, held)| held.state == kernel::sandbox::State::Degraded);
    assert_eq!(loud.stderr.lines().count(), usize::from(degraded), "{}", loud.stderr);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn verbose_tells_the_receipt_that_the_report_holds() {
    let bench = Bench::new();
    let work_dir = bench.path("work").display().to_string();

    let told = told(&mut bench.neuroflow([
        "run",
        "--verbose",
        "--backend=process",
        "--work-dir",
        &work_dir,
        "--json",
        "true",
    ]));

    for (protection, held) in told.report().enforcement.iter() {
        let line =
            told.stderr.lines().find(|line| line.trim_start().starts_with(protection.name()));
        assert!(
            line.is_some_and(|line| line.contains(&held.by)),
            "{protection:?}: {}",
            told.stderr
        );
    }
}
