//! `check`, `explain` and `completions`: they look, and change nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use common::{Bench, backends, told, told_with_input};
use kernel::sandbox::host::Host;

#[test]
fn check_tells_what_the_host_found_in_words_and_as_json() {
    let bench = Bench::new();

    let words = told(&mut bench.neuroflow(["check"]));
    let json = told(&mut bench.neuroflow(["check", "--json"]));

    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let findings = Host::get().findings();
    assert_eq!(json.as_array().unwrap().len(), findings.len());
    for (told, found) in json.as_array().unwrap().iter().zip(findings) {
        assert_eq!(told["feature"], found.feature);
        assert_eq!(told["available"], found.available);
        assert_eq!(told["fix"].is_null(), found.fix.is_empty(), "{told}");
        let line = words.stdout.lines().find(|line| line.starts_with(found.feature)).unwrap();
        let available = line.split_whitespace().nth(1);
        assert_eq!(available, Some(if found.available { "yes" } else { "no" }), "{line}");
    }
}

#[test]
fn explain_names_the_program_and_its_steps_and_leaves_nothing() {
    for backend in backends() {
        let bench = Bench::new();
        let work_dir = bench.path("work");

        let told =
            told(
                bench
                    .neuroflow(["explain", "--backend", backend, "--work-dir"])
                    .arg(work_dir)
                    .args(["--", "sh", "-c", "touch /tmp/explained"]),
            );

        assert_eq!(told.code, Some(0), "{backend}: {}", told.stderr);
        let first = told.stdout.lines().next().unwrap();
        assert!(first.contains(&format!("in the {backend} sandbox")), "{first}");
        assert!(told.stdout.contains("\nprotections:\n"), "{}", told.stdout);
        assert_eq!(bench.names(), Vec::<String>::new(), "{backend}");
    }
}

#[test]
fn explain_refuses_what_run_refuses() {
    for backend in backends() {
        let bench = Bench::new();
        let args = ["--backend", backend, "--allow-path", "/no/such/path", "true"];

        let run = told(bench.neuroflow(["run"]).args(args));
        let explain = told(bench.neuroflow(["explain"]).args(args));

        assert_eq!((run.code, explain.code), (Some(125), Some(125)), "{backend}");
        assert_eq!(run.stderr, explain.stderr, "{backend}");
        assert!(run.stderr.contains("`/no/such/path`"), "{}", run.stderr);
    }
}

#[test]
fn completions_name_the_commands_and_the_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let told = told(&mut Bench::new().neuroflow(["completions", shell]));

        assert_eq!(told.code, Some(0), "{shell}");
        for word in ["explain", "allow-degraded"] {
            assert!(told.stdout.contains(word), "{shell}: no {word}");
        }
    }
}

#[test]
fn lint_names_the_calls_without_which_nothing_starts() {
    let bench = Bench::new();
    let file = bench.file(
        "profile.json",
        r#"{ "defaultAction": "SCMP_ACT_ERRNO", // a comment is fine
             "syscalls": [{ "names": ["read", "write"], "action": "SCMP_ACT_ALLOW" }] }"#,
    );

    let told = told(&mut bench.neuroflow(["seccomp", "lint", file.to_str().unwrap()]));

    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stdout.starts_with("error: no program can start under it"), "{}", told.stdout);
    assert!(told.stdout.contains("`execve`"), "{}", told.stdout);
}

#[test]
fn lint_has_nothing_against_the_default_profile_and_says_where_a_mistake_is() {
    let bench = Bench::new();
    let default = told(&mut bench.neuroflow(["seccomp", "default"])).stdout;
    let broken = default.replacen("SCMP_ACT_ALLOW", "SCMP_ACT_ALOW", 1);

    let clean = told_with_input(&mut bench.neuroflow(["seccomp", "lint", "-"]), default.as_bytes());
    let mistaken =
        told_with_input(&mut bench.neuroflow(["seccomp", "lint", "-"]), broken.as_bytes());

    assert_eq!(clean.code, Some(0), "{}{}", clean.stdout, clean.stderr);
    assert_eq!(mistaken.code, Some(125), "{}", mistaken.stdout);
    assert!(mistaken.stderr.contains("SCMP_ACT_ALOW"), "{}", mistaken.stderr);
}

#[test]
fn explained_filter_refuses_what_the_profile_refuses_beyond_the_default() {
    let bench = Bench::new();
    let mut json: serde_json::Value =
        serde_json::from_str(&told(&mut bench.neuroflow(["seccomp", "default"])).stdout).unwrap();
    json["syscalls"].as_array_mut().unwrap().push(serde_json::json!(
        { "names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 }
    ));
    let file = bench.file("profile.json", &json.to_string());

    let default = told(&mut bench.neuroflow(["seccomp", "explain"]));
    let narrower = told(&mut bench.neuroflow(["seccomp", "explain", file.to_str().unwrap()]));

    let group = |text: &str, call: &str| -> String {
        let mut heading = "";
        for line in text.lines() {
            if !line.starts_with(' ') && !line.is_empty() {
                heading = line;
            }
            if line.split([' ', ',']).any(|word| word == call) {
                return heading.to_owned();
            }
        }
        panic!("no {call} in {text}")
    };
    assert!(group(&default.stdout, "getcwd").starts_with("allowed"), "{}", default.stdout);
    assert!(group(&narrower.stdout, "getcwd").contains("EACCES"), "{}", narrower.stdout);
    assert!(group(&narrower.stdout, "read").starts_with("allowed"), "{}", narrower.stdout);
}
