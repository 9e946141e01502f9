//! The table of decisions in docs/adr/README.md, from the titles of the pages.

use std::fmt::Write as _;

use super::region;
use crate::step::{Result, Workspace};

/// `page` with its table renewed.
///
/// # Errors
///
/// A page without a title, or two with the same number.
pub(super) fn renew(workspace: &Workspace, page: &str) -> Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(workspace.root.join("docs/adr"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") && name != "README.md" {
            names.push(name);
        }
    }
    names.sort_unstable();

    let mut table = String::from("| number | decision |\n|---|---|\n");
    let mut last = String::new();
    for name in names {
        let number = name.split('-').next().unwrap_or_default().to_owned();
        if number == last {
            return Err(format!("docs/adr has two pages with the number {number}").into());
        }
        let text = std::fs::read_to_string(workspace.root.join("docs/adr").join(&name))?;
        let title = title(&text).ok_or_else(|| format!("docs/adr/{name} has no title"))?;
        writeln!(table, "| {number} | [{title}]({name}) |")?;
        last = number;
    }
    region(page, "docs/adr/README.md", &table)
}

/// The page's heading, without a number of its own: `# 1. Title`, `# ADR 1: Title`.
fn title(text: &str) -> Option<&str> {
    let heading = text.lines().find_map(|line| line.strip_prefix("# "))?;
    let words = heading.trim_start_matches("ADR");
    Some(words.trim_start_matches(|c: char| c.is_ascii_digit() || " .:-–—".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_loses_its_number() {
        for heading in ["# Two programs", "# 3. Two programs", "# ADR 0003: Two programs"] {
            assert_eq!(title(heading), Some("Two programs"), "{heading}");
        }
    }

    #[test]
    fn a_page_without_heading_has_no_title() {
        assert_eq!(title("text\n## Context\n"), None);
    }
}
