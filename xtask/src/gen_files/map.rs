//! The map of the tree in ARCHITECTURE.md: a line for every source file, taken
//! from the first sentence of its own documentation, so that it cannot go stale.

use std::fmt::Write as _;
use std::path::Path;

use super::region;
use crate::step::{Result, Workspace, capture};

/// `page` with the map renewed.
///
/// # Errors
///
/// A marker is missing, or a source file says nothing about itself.
pub(super) fn renew(workspace: &Workspace, page: &str) -> Result<String> {
    region(page, "ARCHITECTURE.md", &table(workspace)?)
}

fn table(workspace: &Workspace) -> Result<String> {
    // Tracked files and new ones, without what .gitignore names.
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let files = capture(workspace.command("git").args(list))?;
    let mut files: Vec<&str> = files.lines().filter(|file| is_source(file)).collect();
    // Cached ones include what was just deleted.
    files.retain(|file| workspace.root.join(file).is_file());
    files.sort_unstable();

    let mut table = String::from("| file | what it is for |\n|---|---|\n");
    for file in files {
        let text = std::fs::read_to_string(workspace.root.join(file))?;
        let sentence = first_sentence(&text)
            .ok_or_else(|| format!("{file} does not open with what it is for"))?;
        let cell = sentence.replace('|', r"\|");
        writeln!(table, "| `{file}` | {cell} |")?;
    }
    Ok(table)
}

/// Source of the product and of its tools; a test's own name says what it is for.
fn is_source(file: &str) -> bool {
    let path = Path::new(file);
    let source = path.extension().is_some_and(|extension| extension == "rs" || extension == "py");
    let test = path.components().any(|part| part.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| stem == "tests");
    // An empty `__init__.py` makes a folder a package and has nothing to say.
    source && !test && !file.ends_with("__init__.py")
}

/// The first sentence of the `//!` lines or of the module's docstring.
fn first_sentence(text: &str) -> Option<String> {
    let paragraph = match text.trim_start().strip_prefix("\"\"\"") {
        Some(docstring) => docstring.split("\"\"\"").next()?.split("\n\n").next()?.to_owned(),
        None => {
            let lines = text.lines().skip_while(|line| !line.starts_with("//!"));
            let lines = lines.map_while(|line| line.strip_prefix("//!")).map(str::trim);
            lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
        }
    };
    let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = match paragraph.find(". ") {
        Some(end) => &paragraph[..=end],
        None => &paragraph,
    };
    // Links inside rustdoc lead nowhere in Markdown: [`Plan`] becomes `Plan`.
    let sentence = sentence.replace("[`", "`").replace("`]", "`");
    (!sentence.is_empty()).then_some(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_sentence_ends_at_the_full_stop_and_crosses_lines() {
        let text = "//! Runs a [`Plan`] as\n//! it is. And more.\n//!\n//! Later.\n\nuse x;\n";

        assert_eq!(first_sentence(text).unwrap(), "Runs a `Plan` as it is.");
    }

    #[test]
    fn a_docstring_is_a_sentence_too() {
        assert_eq!(
            first_sentence("\"\"\"Runs guests.\n\nMore.\n\"\"\"\n").unwrap(),
            "Runs guests."
        );
    }

    #[test]
    fn a_file_that_says_nothing_has_no_sentence() {
        assert_eq!(first_sentence("use std::io;\n"), None);
    }

    #[test]
    fn tests_are_left_out_of_the_map() {
        assert!(is_source("kernel/src/sandbox/plan.rs"));
        assert!(!is_source("cli/tests/run.rs"));
        assert!(!is_source("kernel/src/sandbox/plan/tests.rs"));
        assert!(!is_source("docs/a.md"));
    }
}
