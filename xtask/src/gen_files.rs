//! `cargo xtask gen`: writes the files that are made from the code.
//!
//! They are committed, so that a reader and a package build find them; `--check`
//! says which ones no longer agree with what they are made from.

mod config_keys;
mod decisions;
mod map;
mod system_calls;

use std::process::ExitCode;

use crate::step::{Result, Workspace, capture};

/// A committed file and what makes its text from the one it has now.
struct Generated {
    path: &'static str,
    make: fn(&Workspace, &str) -> Result<String>,
}

const FILES: &[Generated] = &[
    Generated { path: "ARCHITECTURE.md", make: map::renew },
    Generated { path: "docs/adr/README.md", make: decisions::renew },
    Generated { path: "docs/reference/config.schema.json", make: config_keys::schema },
    Generated { path: "docs/reference/configuration.md", make: config_keys::tables },
    Generated {
        path: "kernel/src/sandbox/namespace/seccomp/tables/x86_64.rs",
        make: |workspace, _| system_calls::table(workspace, "x86_64"),
    },
    Generated {
        path: "kernel/src/sandbox/namespace/seccomp/tables/aarch64.rs",
        make: |workspace, _| system_calls::table(workspace, "aarch64"),
    },
    Generated {
        path: "kernel/src/sandbox/namespace/seccomp/tables/elsewhere.rs",
        make: |workspace, _| system_calls::elsewhere(workspace),
    },
    Generated { path: "docs/reference/report.schema.json", make: report_schema },
];

const BEGIN: &str = "<!-- generated: begin; `cargo xtask gen` writes what follows -->\n";
const END: &str = "<!-- generated: end -->\n";

/// `gen [--check]`.
pub(crate) fn run(workspace: &Workspace, options: &[&str]) -> Result<ExitCode> {
    match options {
        [] => {
            for (file, text) in stale(workspace)? {
                std::fs::write(workspace.root.join(file.path), text)?;
                println!("wrote {}", file.path);
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
    let stale: Vec<&str> = stale(workspace)?.iter().map(|(file, _)| file.path).collect();
    if stale.is_empty() {
        println!("{} generated files are up to date", FILES.len());
        return Ok(());
    }
    Err(format!("out of date: {}; run `cargo xtask gen`", stale.join(", ")).into())
}

/// The files that differ, each with the text it should have.
fn stale(workspace: &Workspace) -> Result<Vec<(&'static Generated, String)>> {
    let mut stale = Vec::new();
    for file in FILES {
        // A file that is not there yet is made from nothing.
        let had = std::fs::read_to_string(workspace.root.join(file.path)).unwrap_or_default();
        let text = (file.make)(workspace, &had)?;
        if had != text {
            stale.push((file, text));
        }
    }
    Ok(stale)
}

/// The JSON Schema of `neuroflow run --json`, printed by an example of the kernel.
fn report_schema(workspace: &Workspace, _: &str) -> Result<String> {
    let run = "run --quiet --package neuroflow-kernel --no-default-features --features schema \
               --example report_schema";
    capture(&mut workspace.cargo(&run.split(' ').collect::<Vec<_>>()))
}

/// `page` with the text between its two markers replaced.
fn region(page: &str, path: &str, text: &str) -> Result<String> {
    let marked = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
    });
    marked.ok_or_else(|| format!("{path} lacks the markers of a generated part").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_replaced_and_nothing_around_it() {
        let page = format!("top\n{BEGIN}old\n{END}bottom\n");

        let renewed = region(&page, "page.md", "new").unwrap();

        assert_eq!(renewed, format!("top\n{BEGIN}\nnew\n{END}bottom\n"));
        assert_eq!(region(&renewed, "page.md", "new").unwrap(), renewed);
    }

    #[test]
    fn a_page_without_markers_is_an_error() {
        assert!(region("text\n", "page.md", "new").is_err());
    }
}
