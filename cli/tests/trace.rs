//! `neuroflow seccomp trace`: a profile comes out, and the program runs under it.
#![cfg(all(target_os = "linux", not(neuroflow_portable)))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Bench, told, told_with_input};
use neuroflow_tests::need;

/// Reads a number and makes a directory of that name.
const SCRIPT: &str = "import os, sys; name = sys.stdin.read(); os.mkdir(name); print('made', name)";

#[test]
fn recorded_program_runs_under_its_profile_and_can_do_no_more() {
    need!(UserNamespaces);
    need!(Seccomp);
    let bench = Bench::new();
    let work = bench.path("work");
    let work = work.to_str().unwrap();
    let profile = bench.path("profile.json");
    let profile = profile.to_str().unwrap();
    let traced = ["seccomp", "trace", "--work-dir", work, "--output", profile, "--", "python3"];

    let trace = told_with_input(bench.neuroflow(traced).args(["-c", SCRIPT]), b"1");

    assert_eq!(trace.code, Some(0), "{}", trace.stderr);
    assert_eq!(trace.stdout, "");
    assert!(trace.stderr.contains("made 1"), "{}", trace.stderr);
    let lint = told(&mut bench.neuroflow(["seccomp", "lint", profile]));
    assert_eq!(lint.code, Some(0), "{}", lint.stdout);

    let mut again = bench.run("namespace");
    let again = told_with_input(again.args(["--seccomp", profile, "python3", "-c", SCRIPT]), b"2");
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "made 2\n"), "{}", again.stderr);

    let more = "import os; os.symlink('a', 'b')";
    let mut confined = bench.run("namespace");
    let confined = told(confined.args(["--seccomp", profile, "python3", "-c", more]));
    let unconfined = told(bench.run("namespace").args(["python3", "-c", more]));
    assert_eq!((confined.code, unconfined.code), (Some(1), Some(0)));
    assert!(confined.stderr.contains("[Errno 1] Operation not permitted"), "{}", confined.stderr);
}

#[test]
fn profile_goes_to_standard_output_and_the_exit_code_is_the_programs() {
    need!(UserNamespaces);
    need!(Seccomp);
    let bench = Bench::new();

    let told =
        told(&mut bench.neuroflow(["seccomp", "trace", "--", "sh", "-c", "echo out; exit 7"]));

    assert_eq!(told.code, Some(7), "{}", told.stderr);
    assert!(told.stderr.contains("out\n"), "{}", told.stderr);
    let profile: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    let names = profile["syscalls"][0]["names"].as_array().unwrap();
    assert!(names.iter().any(|name| name == "execve"), "{names:?}");
    assert!(names.iter().all(|name| name != "clone3"), "{names:?}");
}

#[test]
fn program_that_does_not_end_or_start_leaves_no_profile() {
    need!(UserNamespaces);
    need!(Seccomp);
    let bench = Bench::new();

    let endless =
        told(&mut bench.neuroflow(["seccomp", "trace", "--timeout", "1s", "sleep", "60"]));
    let missing = told(&mut bench.neuroflow(["seccomp", "trace", "no-such-program"]));

    assert_eq!((endless.code, endless.stdout.as_str()), (Some(124), ""));
    assert!(endless.stderr.contains("no profile was written"), "{}", endless.stderr);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(127), ""));
    assert!(missing.stderr.contains("`no-such-program` was not found"), "{}", missing.stderr);
}

#[test]
fn options_that_contradict_a_recording_are_refused_together() {
    let bench = Bench::new();
    let args = [
        "seccomp",
        "trace",
        "--seccomp",
        "off",
        "--backend",
        "process",
        "--allow-command",
        "ls",
        "ls",
    ];

    let told = told(&mut bench.neuroflow(args));

    assert_eq!(told.code, Some(125));
    for part in
        ["`--seccomp` contradicts", "namespace sandbox only", "`allowed_commands` contradicts"]
    {
        assert!(told.stderr.contains(part), "{part}: {}", told.stderr);
    }
}
