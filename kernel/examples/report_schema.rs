//! Prints the JSON Schema of a report, as it is committed at
//! `docs/reference/report.schema.json`:
//!
//! ```text
//! cargo run -p neuroflow-kernel --no-default-features --features schema --example report_schema
//! ```
#![allow(clippy::print_stdout, reason = "printing it is what this program is for")]

fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&kernel::sandbox::Report::schema())?);
    Ok(())
}
