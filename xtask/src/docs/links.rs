//! Follows the links of a page that stay inside the tree.

use std::path::Path;

/// The targets of `[text](target)` on `page` that do not exist.
pub(crate) fn broken(root: &Path, page: &Path, text: &str) -> Vec<String> {
    let folder = page.parent().unwrap_or(root);
    targets(text)
        .into_iter()
        .filter(|target| {
            let path = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            !outside && !path.is_empty() && !folder.join(path).exists()
        })
        .collect()
}

/// Link targets, those in code left out.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut in_fence = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        if in_fence {
            continue;
        }
        // Every second piece between backticks is code; without it `[`run`](page.md)`
        // is still a link.
        let prose: String = line.split('`').step_by(2).collect();
        targets.extend(
            prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())),
        );
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_prose_and_not_in_code() {
        let text =
            "See [a](a.md#part) and [`b`](b.md), not `[c](c.md)`.\n```text\n[d](d.md)\n```\n";

        assert_eq!(targets(text), ["a.md#part", "b.md"]);
    }

    #[test]
    fn a_link_to_a_file_that_is_not_there_is_broken() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = root.join("PAGE.md");
        let text = "[here](Cargo.toml) [web](https://example.org/x) [self](#part) [gone](gone.md)";

        assert_eq!(broken(root, &page, text), ["gone.md"]);
    }
}
