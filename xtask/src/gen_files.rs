//! `cargo xtask gen`: writes the files that are made from the code.
//!
//! They are committed, so that a reader and a package build find them; `--check`
//! says which ones no longer agree with what they are made from.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::step::{Result, Workspace, capture};

/// A committed file and the command whose output it is.
struct Generated {
    path: &'static str,
    command: fn(&Workspace) -> Command,
}

const FILES: &[Generated] = &[];

/// `gen [--check]`.
pub(crate) fn run(workspace: &Workspace, options: &[&str]) -> Result<ExitCode> {
    match options {
        [] => {
            for file in FILES {
                let text = capture(&mut (file.command)(workspace))?;
                let path = workspace.root.join(file.path);
                if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                    std::fs::write(&path, text)?;
                    println!("wrote {}", file.path);
                }
            }
        }
        ["--check"] => check(workspace)?,
        _ => return Err(format!("`gen` takes `--check` alone, not `{}`", options.join(" ")).into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares every generated file with what would be written now.
///
/// # Errors
///
/// Names each file that differs.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut stale = Vec::new();
    for file in FILES {
        let text = capture(&mut (file.command)(workspace))?;
        if !holds(&workspace.root.join(file.path), &text) {
            stale.push(file.path);
        }
    }
    if stale.is_empty() {
        println!("{} generated files are up to date", FILES.len());
        return Ok(());
    }
    Err(format!("out of date: {}; run `cargo xtask gen`", stale.join(", ")).into())
}

fn holds(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|held| held == text)
}
