//! What is written from the kernel's own list of the config's keys: the tables of
//! docs/reference/configuration.md, and the schema for editors.

use super::region;
use crate::step::{Result, Workspace, capture};

/// `page` with its tables renewed.
///
/// # Errors
///
/// The kernel does not build, or a marker is missing.
pub(super) fn tables(workspace: &Workspace, page: &str) -> Result<String> {
    let tables = print(workspace, "config_keys")?;
    region(page, "docs/reference/configuration.md", tables.trim_end())
}

/// The JSON Schema of the config file.
///
/// # Errors
///
/// The kernel does not build.
pub(super) fn schema(workspace: &Workspace, _: &str) -> Result<String> {
    print(workspace, "config_schema")
}

/// What an example of the kernel prints. Without its default features the kernel
/// needs no WASM engine for it.
fn print(workspace: &Workspace, example: &str) -> Result<String> {
    let run = ["run", "--quiet", "--package", "neuroflow-kernel", "--no-default-features"];
    capture(workspace.cargo(&run).args(["--example", example]))
}
