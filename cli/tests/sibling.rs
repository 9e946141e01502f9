//! How `neuroflow` finds `neuroflow-wasm`, and what it hands over.
//!
//! The program beside it is a shell script here: what a module does is tested
//! where the engine is, in `wasm-cli`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Bench, told};

/// A copy of the program in a directory of its own, away from the real sibling.
fn alone(bench: &Bench) -> Command {
    let own = bench.path("neuroflow");
    if !own.exists() {
        shell("cp \"$1\" \"$2\"", Path::new(env!("CARGO_BIN_EXE_neuroflow")), &own);
    }
    let mut command = Command::new(own);
    command
        .current_dir(bench.path("."))
        .env("PATH", "/usr/bin:/bin")
        .env_remove("NEUROFLOW_CONFIG");
    command
}

/// Prints the words it was given, one a line.
fn script(bench: &Bench, name: &str) {
    let text = "#!/bin/sh\nfor word; do echo \"<$word>\"; done\nexit 42\n";
    let text = bench.file("script", text);
    shell("cp \"$1\" \"$2\" && chmod +x \"$2\"", &text, &bench.path(name));
}

/// In a process of its own: a program that *we* wrote cannot be started while
/// another test's child still has a copy of the descriptor (ETXTBSY).
fn shell(script: &str, from: &Path, to: &Path) {
    let done = Command::new("sh").args(["-c", script, "sh"]).arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[test]
fn missing_sibling_is_told_with_the_command_that_builds_it() {
    let bench = Bench::new();

    let wasm = told(alone(&bench).args(["wasm", "a.wasm"]));
    let run = told(alone(&bench).args(["run", "--backend=wasm", "a.wasm"]));

    for told in [wasm, run] {
        assert_eq!(told.code, Some(125), "{}", told.stderr);
        assert!(told.stderr.contains("cargo build --release -p neuroflow-wasm"), "{}", told.stderr);
    }
}

#[test]
fn sibling_beside_us_gets_every_word_as_it_is_and_its_exit_code_is_ours() {
    let bench = Bench::new();
    script(&bench, "neuroflow-wasm");

    let told = told(alone(&bench).args(["wasm", "--fuel", "5", "--help", "a b.wasm", "--", "-x"]));

    assert_eq!(told.code, Some(42), "{}", told.stderr);
    assert_eq!(told.stdout, "<--fuel>\n<5>\n<--help>\n<a b.wasm>\n<-->\n<-x>\n");
}

#[test]
fn run_on_the_wasm_back_end_hands_over_what_it_was_told() {
    let bench = Bench::new();
    script(&bench, "neuroflow-wasm");
    let line = ["run", "--backend=wasm", "--memory=64MB", "--json", "--", "a.wasm", "--json"];

    let told = told(alone(&bench).args(line));

    assert_eq!(told.stdout, "<--memory=64MiB>\n<--json>\n<-->\n<a.wasm>\n<--json>\n");
}

#[test]
fn sibling_in_a_relative_entry_of_the_path_is_not_taken() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("bin")).unwrap();
    script(&bench, "bin/neuroflow-wasm");

    let relative = told(alone(&bench).env("PATH", "bin:/usr/bin").args(["wasm", "a.wasm"]));
    let absolute = told(alone(&bench).env("PATH", bench.path("bin")).args(["wasm", "a.wasm"]));

    assert_eq!(relative.code, Some(125), "{}", relative.stdout);
    assert_eq!(absolute.code, Some(42), "{}", absolute.stderr);
}
