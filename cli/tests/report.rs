//! `--json` and `--report`: the public account of a run.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};

use common::{Bench, backends, report_in, told};
use kernel::sandbox::report::EndingKind;

/// Every key there may be, in the order of the report.
const KEYS: [&str; 16] = [
    "exit_code",
    "ending",
    "timed_out",
    "error",
    "fix",
    "execution_time_ms",
    "max_memory_bytes",
    "usage",
    "enforcement",
    "violations",
    "stdout",
    "stdout_base64",
    "stderr",
    "stderr_base64",
    "output_truncated",
    "",
];

#[test]
fn json_has_the_promised_keys_and_the_output_in_it() {
    for backend in backends() {
        let bench = Bench::new();

        let told =
            told(bench.run(backend).args(["--json", "--", "sh", "-c", "echo out; echo err >&2"]));

        let json: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert!(keys.iter().all(|key| KEYS.contains(&key.as_str())), "{backend}: {keys:?}");
        for key in KEYS.iter().filter(|key| !key.is_empty() && !key.ends_with("base64")) {
            assert!(*key == "fix" || json.get(key).is_some(), "{backend}: no {key} in {json}");
        }
        assert_eq!(json["exit_code"], 0, "{backend}");
        assert_eq!(json["ending"]["kind"], "exited", "{backend}");
        assert_eq!(json["stdout"], "out\n", "{backend}");
        assert_eq!(json["stderr"], "err\n", "{backend}");
        assert!(json["error"].is_null(), "{backend}");
        assert!(json["execution_time_ms"].as_f64().unwrap() > 0.0, "{backend}");
        assert_eq!(told.stderr, "", "{backend}");
    }
}

#[test]
fn json_holds_output_that_is_not_text_as_base64() {
    for backend in backends() {
        let bench = Bench::new();

        let told = told(bench.run(backend).args(["--json", "--", "printf", "\\377\\000"]));

        let report = told.report();
        assert_eq!(report.stdout, None, "{backend}");
        assert_eq!(report.stdout_bytes().unwrap(), [0xff, 0], "{backend}: {report:?}");
    }
}

#[test]
fn report_is_written_beside_the_streamed_output() {
    for backend in backends() {
        let bench = Bench::new();
        let file = bench.path("report.json");

        let told = told(bench.run(backend).arg("--report").arg(&file).args([
            "--",
            "sh",
            "-c",
            "echo out; exit 3",
        ]));

        assert_eq!(told.stdout, "out\n", "{backend}");
        assert_eq!(told.code, Some(3), "{backend}");
        let report = report_in(&file);
        assert_eq!((report.exit_code, report.ending.code), (Some(3), Some(3)), "{backend}");
        assert_eq!(report.stdout, None, "{backend}");
        assert_eq!(report.usage.stdout_bytes, 4, "{backend}");
        assert_eq!(bench.names(), ["report.json", "work"], "{backend}");
    }
}

#[test]
fn report_of_a_run_that_was_refused_says_so_and_nothing_ran() {
    for backend in backends() {
        let bench = Bench::new();
        let file = bench.path("report.json");

        let told = told(bench.run(backend).arg("--report").arg(&file).args([
            "--json",
            "--",
            "no-such-program",
        ]));

        assert_eq!(told.code, Some(127), "{backend}: {}", told.stderr);
        assert!(told.stderr.starts_with("error: "), "{backend}: {}", told.stderr);
        for report in [told.report(), report_in(&file)] {
            assert_eq!(report.exit_code, None, "{backend}");
            assert_eq!(report.ending.kind, EndingKind::Refused, "{backend}");
            assert!(report.error.unwrap().contains("no-such-program"), "{backend}");
        }
    }
}

#[test]
fn old_report_is_replaced_whole() {
    let bench = Bench::new();
    let file = bench.file("report.json", "an old report");

    let told = told(bench.run("process").arg("--report").arg(&file).args(["--", "true"]));

    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_eq!(report_in(&file).exit_code, Some(0));
}

#[test]
fn report_does_not_go_where_a_symlink_points() {
    let bench = Bench::new();
    let precious = bench.file("precious", "precious");
    let link = bench.path("report.json");
    symlink(&precious, &link).unwrap();

    let told = told(bench.run("process").arg("--report").arg(&link).args(["--", "echo", "ran"]));

    assert_eq!(told.code, Some(125), "{}", told.stderr);
    assert_eq!(told.stdout, "", "nothing runs if its report has no place");
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "precious");
    assert!(link.is_symlink());
}

#[test]
fn report_does_not_replace_a_device() {
    let bench = Bench::new();

    let told = told(bench.run("process").args(["--report", "/dev/null", "--", "true"]));

    assert_eq!(told.code, Some(125), "{}", told.stderr);
    assert!(told.stderr.contains("not an ordinary file"), "{}", told.stderr);
}

#[test]
fn report_that_has_no_directory_is_refused_before_anything_runs() {
    let bench = Bench::new();
    let file = bench.path("missing/report.json");

    let told =
        told(bench.run("process").arg("--report").arg(file).args(["--json", "--", "echo", "ran"]));

    assert_eq!(told.code, Some(125));
    let report = told.report();
    assert_eq!(report.ending.kind, EndingKind::SetupFailed);
    assert_eq!(report.stdout.as_deref(), Some(""));
}

#[test]
fn guest_that_replaces_the_directory_of_the_report_gets_no_report_elsewhere() {
    let bench = Bench::new();
    let elsewhere = bench.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o777)).unwrap();
    let reports = bench.path("work/reports");
    std::fs::create_dir_all(&reports).unwrap();
    // The guest may be another user than the one who tests.
    std::fs::set_permissions(bench.path("work"), PermissionsExt::from_mode(0o777)).unwrap();
    let script = format!("mv reports old && ln -s {} reports", elsewhere.display());

    let told = told(
        bench
            .run("process")
            .arg("--report")
            .arg(reports.join("r.json"))
            .args(["--", "sh", "-c", &script]),
    );

    assert_eq!(told.code, Some(125), "{}", told.stderr);
    assert!(told.stderr.contains("was replaced during the run"), "{}", told.stderr);
    assert_eq!(std::fs::read_dir(elsewhere).unwrap().count(), 0);
}
