//! The tables of docs/reference/configuration.md, from the kernel's own list of
//! keys.

use super::region;
use crate::step::{Result, Workspace, capture};

/// `page` with its tables renewed.
///
/// # Errors
///
/// The kernel does not build, or a marker is missing.
pub(super) fn renew(workspace: &Workspace, page: &str) -> Result<String> {
    // Without its default features the kernel needs no WASM engine for this.
    let print = ["run", "--quiet", "--package", "neuroflow-kernel", "--no-default-features"];
    let tables = capture(workspace.cargo(&print).args(["--example", "config_keys"]))?;
    region(page, "docs/reference/configuration.md", tables.trim_end())
}
