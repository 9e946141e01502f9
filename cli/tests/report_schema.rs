//! The committed schema is the one that the code makes.

use std::path::Path;

use kernel::sandbox::Report;

#[test]
fn committed_schema_is_the_schema_of_the_report() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/report.schema.json");

    let committed = std::fs::read_to_string(file).unwrap();
    let made = serde_json::to_string_pretty(&Report::schema()).unwrap();

    assert!(committed.trim_end() == made, "`cargo xtask gen` writes it anew");
}
