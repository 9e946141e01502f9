//! `neuroflow check`: what this host can enforce, how that was found out, and
//! the fix for what it cannot.

use std::io::{self, Write};

use kernel::sandbox::host::{Finding, Host};
use kernel::sandbox::{Error, Result};
use serde::Serialize;

use crate::args::CheckArgs;

/// One finding, as `--json` prints it.
#[derive(Serialize)]
struct Told<'a> {
    feature: &'a str,
    available: bool,
    tried: &'a str,
    found: &'a str,
    /// Null where there is nothing to fix.
    fix: Option<&'a str>,
}

/// Probes the host and prints what was found.
///
/// # Errors
///
/// [`Error::Setup`] if standard output takes no more.
pub fn check(args: &CheckArgs) -> Result<()> {
    let findings = Host::get().findings();
    let text = if args.json { as_json(&findings)? } else { as_text(&findings) };
    io::stdout().lock().write_all(text.as_bytes()).map_err(cannot_print)
}

fn as_text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.feature.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { feature, available, tried, found, fix } in findings {
        let available = if *available { "yes" } else { "no" };
        text.push_str(&format!("{feature:width$}  {available:3}  {tried}: {found}\n"));
        for line in fix.lines() {
            text.push_str(&format!("{:width$}       fix: {line}\n", ""));
        }
    }
    text
}

fn as_json(findings: &[Finding]) -> Result<String> {
    let told: Vec<Told<'_>> = findings
        .iter()
        .map(|Finding { feature, available, tried, found, fix }| Told {
            feature,
            available: *available,
            tried,
            found,
            fix: (!fix.is_empty()).then_some(fix),
        })
        .collect();
    let json = serde_json::to_string_pretty(&told).map_err(|error| cannot_print(error.into()))?;
    Ok(json + "\n")
}

fn cannot_print(source: io::Error) -> Error {
    Error::Setup { step: "print what was found".to_owned(), source }
}
