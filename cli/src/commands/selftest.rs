//! `neuroflow selftest`: tries the promises on this host and compares.

use std::io::{self, Write};

use kernel::sandbox::{Error, Result};

use crate::args::SelftestArgs;
use crate::selftest::{self, Findings};

/// The exit code when a promise was not kept.
const BROKEN: u8 = 1;

/// Tries everything and prints what came of it; returns the exit code.
///
/// # Errors
///
/// Those of [`selftest::run`], and [`Error::Setup`] if standard output takes no
/// more.
pub fn selftest(args: &SelftestArgs) -> Result<u8> {
    let findings = selftest::run()?;
    let text = if args.json { as_json(&findings)? } else { as_text(&findings) };
    io::stdout().lock().write_all(text.as_bytes()).map_err(cannot_print)?;
    Ok(if findings.all_kept() { 0 } else { BROKEN })
}

fn as_json(findings: &Findings) -> Result<String> {
    let json = serde_json::to_string_pretty(findings);
    Ok(json.map_err(|error| cannot_print(error.into()))? + "\n")
}

fn as_text(findings: &Findings) -> String {
    let mut text = String::new();
    let mut backend = "";
    for finding in &findings.findings {
        if finding.backend != backend {
            backend = finding.backend;
            text.push_str(&format!("{backend} sandbox\n"));
        }
        let verdict = match (finding.kept, finding.proved) {
            (true, true) => "kept",
            (true, false) => "kept?",
            (false, _) => "BROKEN",
        };
        text.push_str(&format!(
            "  {verdict:6}  {:2}  {:42}  {}\n",
            finding.promise, finding.what, finding.observed
        ));
        if !finding.kept {
            text.push_str(&format!("              expected: {}\n", finding.expected));
        }
        if let Some(outside) = finding.outside.as_deref().filter(|_| !finding.proved) {
            text.push_str(&format!("              outside as well: {outside}\n"));
        }
    }
    for skipped in &findings.skipped {
        text.push_str(&format!("{} sandbox: not tried: {}\n", skipped.backend, skipped.why));
    }
    let broken = findings.findings.iter().filter(|finding| !finding.kept).count();
    text.push_str(&format!("{} checks, {broken} broken\n", findings.findings.len()));
    text
}

fn cannot_print(source: io::Error) -> Error {
    Error::Setup { step: "print what was found".to_owned(), source }
}
