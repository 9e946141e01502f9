//! Flags, variables and the file: which one is heard, and what is refused.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use common::{Bench, told};

/// The soft limit of the file size is one that a guest can read off itself.
const FILE_SIZE: [&str; 4] = ["--", "sh", "-c", "ulimit -f"];

#[test]
fn flag_goes_before_variable_before_file_before_default() {
    let bench = Bench::new();
    let file = bench.file("neuroflow.yaml", "sandbox:\n  file_size_limit: 3MB\n");

    let default = told(bench.run("process").args(FILE_SIZE));
    let filed = told(bench.run("process").arg("--config").arg(&file).args(FILE_SIZE));
    let named = told(bench.run("process").env("NEUROFLOW_CONFIG", &file).args(FILE_SIZE));
    let variable = told(
        bench
            .run("process")
            .env("NEUROFLOW_CONFIG", &file)
            .env("NEUROFLOW_FILE_SIZE_LIMIT", "2MB")
            .args(FILE_SIZE),
    );
    let flag = told(
        bench
            .run("process")
            .env("NEUROFLOW_FILE_SIZE_LIMIT", "2MB")
            .args(["--file-size", "1MB"])
            .args(FILE_SIZE),
    );

    // In blocks of 512 bytes.
    assert_eq!(default.stdout, "20480\n", "{}", default.stderr);
    assert_eq!(filed.stdout, "6144\n", "{}", filed.stderr);
    assert_eq!(named.stdout, "6144\n", "{}", named.stderr);
    assert_eq!(variable.stdout, "4096\n", "{}", variable.stderr);
    assert_eq!(flag.stdout, "2048\n", "{}", flag.stderr);
}

#[test]
fn none_lifts_a_limit() {
    let bench = Bench::new();

    let told = told(bench.run("process").args(["--file-size", "none"]).args(FILE_SIZE));

    assert_eq!(told.stdout, "unlimited\n", "{}", told.stderr);
}

#[test]
fn config_file_that_cannot_be_read_starts_nothing() {
    let bench = Bench::new();

    let told =
        told(bench.run("process").args(["--config", "missing.yaml", "--", "echo", "started"]));

    assert_eq!(told.code, Some(125));
    assert_eq!(told.stdout, "");
    assert!(told.stderr.contains("missing.yaml"), "{}", told.stderr);
}

#[test]
fn unknown_key_and_unknown_variable_are_refused_with_the_nearest_known() {
    let bench = Bench::new();
    let file = bench.file("neuroflow.yaml", "sandbox:\n  memory_limt: 3MB\n");

    let key = told(bench.run("process").arg("--config").arg(&file).args(["--", "true"]));
    let variable = told(bench.run("process").env("NEUROFLOW_TIMEOT", "3").args(["--", "true"]));

    assert_eq!(key.code, Some(125));
    assert!(
        key.stderr.contains("memory_limt") && key.stderr.contains("memory_limit"),
        "{}",
        key.stderr
    );
    assert_eq!(variable.code, Some(125));
    assert!(variable.stderr.contains("NEUROFLOW_TIMEOUT"), "{}", variable.stderr);
}

#[test]
fn contradictions_are_told_all_at_once_and_nothing_starts() {
    let bench = Bench::new();

    let told = told(bench.run("process").args([
        "--timeout=0",
        "--max-processes=0",
        "--",
        "echo",
        "started",
    ]));

    assert_eq!(told.code, Some(125));
    assert_eq!(told.stdout, "");
    assert!(told.stderr.starts_with("error: 2 problems"), "{}", told.stderr);
    assert!(
        told.stderr.contains("timeout") && told.stderr.contains("max_processes"),
        "{}",
        told.stderr
    );
}

#[test]
fn network_all_and_a_list_of_hosts_contradict_each_other() {
    let bench = Bench::new();

    let told = told(bench.run("process").args([
        "--network=all",
        "--allow-host=example.org",
        "--",
        "true",
    ]));

    assert_eq!(told.code, Some(125));
    assert!(told.stderr.contains("`--network all` and `--allow-host`"), "{}", told.stderr);
}

#[test]
fn cpu_time_is_counted_in_whole_seconds() {
    let bench = Bench::new();

    let told = told(bench.run("process").args(["--cpu-time=500ms", "--", "true"]));

    assert_eq!(told.code, Some(125));
    assert!(told.stderr.contains("whole number of seconds"), "{}", told.stderr);
}
