//! Finds the fenced code blocks of a Markdown page.

/// What an HTML comment on the line above a fence says about the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// `<!-- not run: REASON -->`.
    NotRun(String),
    /// `<!-- file: NAME -->`: a file that the page's later blocks use.
    File(String),
    /// `<!-- needs: COMMAND -->`: skipped, loudly, where the command is missing.
    Needs(String),
}

/// A fenced code block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the opening fence, from 1.
    pub(crate) line: usize,
    /// The first word after the fence.
    pub(crate) language: String,
    pub(crate) note: Option<Note>,
    pub(crate) text: String,
}

/// The blocks of `page`, in order.
///
/// # Errors
///
/// A fence that is never closed, or a block without a language: a reader's
/// highlighter and rustdoc would each guess a different one.
pub(crate) fn parse(page: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut above = "";
    let mut lines = page.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let fence: String = line.trim_start().chars().take_while(|c| *c == '`').collect();
        if fence.len() < 3 {
            above = line;
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let language = line.trim_start()[fence.len()..].split([' ', ',']).next().unwrap_or("");
        if language.is_empty() {
            return Err(format!("line {}: the block names no language; say `text`", index + 1));
        }
        let mut text = String::new();
        let closed = lines.by_ref().any(|(_, line)| {
            if line.trim() == fence {
                return true;
            }
            text.push_str(line.get(indent..).unwrap_or(line.trim_start()));
            text.push('\n');
            false
        });
        if !closed {
            return Err(format!("line {}: the block is never closed", index + 1));
        }
        blocks.push(Block {
            line: index + 1,
            language: language.to_owned(),
            note: note(above),
            text,
        });
        above = "";
    }
    Ok(blocks)
}

fn note(line: &str) -> Option<Note> {
    let inside = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?;
    let (key, value) = inside.split_once(':')?;
    let value = value.trim().to_owned();
    match key.trim() {
        "not run" => Some(Note::NotRun(value)),
        "file" => Some(Note::File(value)),
        "needs" => Some(Note::Needs(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_with_their_line_language_and_note() {
        let page = "\
# Title

```sh
echo one
```

<!-- not run: needs a second machine -->
```python
print(2)
```
";

        let blocks = parse(page).unwrap();

        assert_eq!(blocks.len(), 2);
        assert_eq!(blocks[0].line, 3);
        assert_eq!(blocks[0].language, "sh");
        assert_eq!(blocks[0].text, "echo one\n");
        assert_eq!(blocks[0].note, None);
        assert_eq!(blocks[1].note, Some(Note::NotRun("needs a second machine".into())));
    }

    #[test]
    fn a_block_in_a_list_loses_the_indent_of_the_list() {
        let page = "1. Do\n\n   ```sh\n   if true; then\n     echo\n   fi\n   ```\n";

        assert_eq!(parse(page).unwrap()[0].text, "if true; then\n  echo\nfi\n");
    }

    #[test]
    fn a_longer_fence_holds_a_shorter_one() {
        let page = "````text\n```sh\nx\n```\n````\n";

        assert_eq!(parse(page).unwrap()[0].text, "```sh\nx\n```\n");
    }

    #[test]
    fn a_block_without_a_language_is_refused() {
        assert!(parse("```\nx\n```\n").unwrap_err().contains("line 1"));
    }

    #[test]
    fn a_block_that_never_closes_is_refused() {
        assert!(parse("text\n```sh\nx\n").unwrap_err().contains("line 2"));
    }
}
