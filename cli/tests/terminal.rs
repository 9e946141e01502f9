//! On a terminal a guest can write, and not steer.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use std::process::Command;

use common::{Bench, Told, backends, told};
use neuroflow_tests::need;

/// Runs a command line on a terminal of its own, by script(1).
fn on_terminal(bench: &Bench, backend: &str, guest: &str) -> Told {
    let run = bench.run(backend);
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c"]).current_dir(bench.path(".")).env("TERM", "xterm");
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let program = run.get_program().to_str().unwrap().to_owned();
    let args: Vec<&str> = run.get_args().map(|arg| arg.to_str().unwrap()).collect();
    let line = format!("{program} {} -- printf '{guest}' </dev/null", args.join(" "));
    told(script.arg(line).arg("/dev/null"))
}

#[test]
fn sequences_that_a_terminal_would_answer_are_shown_and_in_a_pipe_they_are_as_they_are() {
    need!(Program("script"));
    for backend in backends() {
        let bench = Bench::new();
        let guest = r"a\033[31mb\033[6nc\033]0;t\007d\n";

        let shown = on_terminal(&bench, backend, guest);
        let piped = told(bench.run(backend).args(["--", "printf", guest]));

        let expected = "a\x1b[31mb\u{241b}[6nc\u{241b}]0;t\u{2407}d\r\n\x1b[0m";
        assert!(shown.stdout.contains(expected), "{backend}: {:?}", shown.stdout);
        assert_eq!(piped.stdout, "a\x1b[31mb\x1b[6nc\x1b]0;t\x07d\n", "{backend}");
    }
}

#[test]
fn names_in_our_own_messages_do_not_steer_a_terminal() {
    let bench = Bench::new();

    let told = told(bench.run("process").args(["--", "no\x1b[6nsuch"]));

    assert_eq!(told.code, Some(127));
    assert!(told.stderr.contains("no\u{241b}[6nsuch"), "{:?}", told.stderr);
    assert!(!told.stderr.contains('\x1b'), "{:?}", told.stderr);
}
