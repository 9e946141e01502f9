//! The reference pages name everything that exists.

use std::fs;

use kernel::sandbox::Protection;
use kernel::sandbox::report::EndingKind;

/// A page of the repository, not there where a packaged crate is tested.
fn page(name: &str) -> Option<String> {
    fs::read_to_string(format!("{}/../docs/reference/{name}", env!("CARGO_MANIFEST_DIR"))).ok()
}

#[test]
fn the_outcome_page_has_a_row_for_every_protection() {
    let Some(page) = page("outcome.md") else { return };

    for protection in Protection::ALL {
        let row = format!("\n| `{}` | ", protection.name());
        assert!(page.contains(&row), "no row for `{}`", protection.name());
    }
}

#[test]
fn the_outcome_page_has_a_row_for_every_ending() {
    use EndingKind::*;

    let Some(page) = page("outcome.md") else { return };

    for kind in [
        Exited,
        Signalled,
        TimedOut,
        CpuTime,
        OutOfMemory,
        Processes,
        FileSize,
        Output,
        OutOfFuel,
        Trap,
        ImportRefused,
        Refused,
        SetupFailed,
    ] {
        let name = serde_json::to_value(kind).unwrap();
        let row = format!("\n| `{}` | ", name.as_str().unwrap());
        assert!(page.contains(&row), "no row for {name}");
    }
}

#[test]
fn the_error_page_has_a_row_for_every_code() {
    let Some(page) = page("errors.md") else { return };

    for code in ["config", "unsupported", "not_found", "not_executable", "setup", "internal"] {
        assert!(page.contains(&format!("\n| `{code}` | ")), "no row for `{code}`");
    }
}
