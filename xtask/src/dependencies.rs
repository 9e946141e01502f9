//! Holds docs/dependencies.md against what cargo says we depend on.

use std::collections::BTreeSet;

use crate::step::{Result, Workspace, capture};

const PAGE: &str = "docs/dependencies.md";

/// Every direct dependency has a row on the page, and every row is one.
///
/// # Errors
///
/// Names the crates on one side only.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let arguments = "tree --workspace --depth 1 --no-dedupe --prefix none --target all --all-features \
                     --edges normal,build,dev --format {p}";
    let tree = capture(&mut workspace.cargo(&arguments.split(' ').collect::<Vec<_>>()))?;
    let used = direct(&tree);
    let page = std::fs::read_to_string(workspace.root.join(PAGE))?;
    let explained = rows(&page);

    let missing: Vec<_> = used.difference(&explained).copied().collect();
    let extra: Vec<_> = explained.difference(&used).copied().collect();
    if missing.is_empty() && extra.is_empty() {
        println!("{} direct dependencies, each with its reason in {PAGE}", used.len());
        return Ok(());
    }
    let list = |names: Vec<&str>| if names.is_empty() { "none".into() } else { names.join(", ") };
    Err(format!("{PAGE} lacks: {}; has too many: {}", list(missing), list(extra)).into())
}

/// The SDK is built alone and the tests with the whole workspace; cargo compiles a
/// crate twice if the two ask for different features of it, and everything that
/// depends on it too. For what stands under wasmtime that is minutes.
///
/// # Errors
///
/// Names the crates whose features differ.
pub(crate) fn check_shared_features(workspace: &Workspace) -> Result<()> {
    let features = |selection: &[&str]| -> Result<BTreeSet<String>> {
        let format = ["--prefix", "none", "--format", "{p} [{f}]"];
        let tree = capture(workspace.cargo(&["tree"]).args(selection).args(format))?;
        let lines = tree.lines().filter(|line| !line.contains("(/"));
        Ok(lines.map(|line| line.replace(" (proc-macro)", "").replace(" (*)", "")).collect())
    };
    let alone = features(&["--package", "neuroflow-python", "--edges", "normal,build"])?;
    let together = features(&["--workspace", "--edges", "normal,build,dev"])?;
    let differ: Vec<&str> = alone.difference(&together).map(String::as_str).collect();
    if differ.is_empty() {
        println!("the SDK shares its {} crates with the tests", alone.len());
        return Ok(());
    }
    Err(format!(
        "compiled twice, because the SDK alone asks for other features: {}",
        differ.join(", "),
    )
    .into())
}

/// The crates of `cargo tree` that do not come from this tree: those are followed
/// by their folder, `neuroflow-kernel v0.1.0 (/path)`.
fn direct(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .filter(|line| !line.contains("(/"))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The names in the first column of the page's Rust tables: "| `libc` | …".
fn rows(page: &str) -> BTreeSet<&str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_this_tree_are_not_dependencies() {
        let tree = "xtask v0.1.0 (/src/xtask)\nlibc v0.2.1\nserde v1.0.2 (*)\n\nserde_derive v1.0.2 (proc-macro)\n";

        assert_eq!(direct(tree).into_iter().collect::<Vec<_>>(), ["libc", "serde", "serde_derive"]);
    }

    #[test]
    fn rows_are_read_from_the_first_column() {
        let page = "| crate | why |\n|---|---|\n| `libc` | `errno` and more |\n";

        assert_eq!(rows(page).into_iter().collect::<Vec<_>>(), ["libc"]);
    }
}
