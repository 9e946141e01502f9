//! The reference page shows the help that is printed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use std::path::Path;

use common::{Bench, told};

#[test]
fn reference_page_shows_the_help_of_every_command_as_it_is() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
    let page = std::fs::read_to_string(page).unwrap();
    let bench = Bench::new();

    for command in ["run", "check", "completions"] {
        let help = told(&mut bench.neuroflow([command, "--help"])).stdout;

        let shown = format!("```text\n{}\n```\n", help.trim_end());
        assert!(page.contains(&shown), "docs/reference/cli.md should show\n{shown}");
    }
}

#[test]
fn explain_takes_every_option_of_run_that_makes_a_sandbox() {
    let bench = Bench::new();
    let options = |command: &str| -> Vec<String> {
        let help = told(&mut bench.neuroflow([command, "--help"])).stdout;
        let words = help.lines().filter_map(|line| line.split_whitespace().next());
        words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
    };

    let (run, explain) = (options("run"), options("explain"));

    let missing: Vec<&String> = run.iter().filter(|option| !explain.contains(option)).collect();
    assert_eq!(missing, ["--report", "--json"], "what is told, not how it is run");
}
