//! The text of a profile: comments taken out, and places found again.

use crate::sandbox::error::{Error, Result};

/// The largest profile we read. Docker's own has 17 KB.
const MOST_BYTES: usize = 1 << 20;

/// A text in which comments have become spaces, so that every line and column
/// is where its writer sees it.
#[derive(Debug)]
pub(super) struct Source(String);

impl Source {
    /// # Errors
    ///
    /// [`Error::Config`] for a text that is larger than a profile can be.
    pub(super) fn new(text: &str) -> Result<Self> {
        if text.len() > MOST_BYTES {
            return Err(Error::config(format!(
                "seccomp profile: {} bytes are more than the {MOST_BYTES} that are read",
                text.len()
            )));
        }
        Ok(Self(without_comments(text.strip_prefix('\u{feff}').unwrap_or(text))))
    }

    pub(super) fn json(&self) -> &str {
        &self.0
    }

    /// `problem`, at the place where the string `word` stands first.
    fn at(&self, word: &str, problem: &str) -> String {
        let quoted = serde_json::to_string(word).unwrap_or_default();
        let Some(at) = self.0.find(&quoted) else { return format!("seccomp profile: {problem}") };
        let before = &self.0[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("seccomp profile, line {line}, column {column}: {problem}")
    }
}

/// The mistakes found in a profile: the first ones in words, the rest by number,
/// since looking up a place and a near name takes time for each.
#[derive(Debug)]
pub(super) struct Problems<'a> {
    source: &'a Source,
    found: Vec<String>,
    more: usize,
}

impl<'a> Problems<'a> {
    const MOST: usize = 32;

    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, found: Vec::new(), more: 0 }
    }

    /// Notes a problem; `text` is asked for only if it will be shown.
    pub(super) fn add(&mut self, text: impl FnOnce() -> String) {
        if self.found.len() < Self::MOST {
            self.found.push(format!("seccomp profile: {}", shown(&text())));
        } else {
            self.more += 1;
        }
    }

    /// Notes a problem with the string `word`.
    pub(super) fn add_at(&mut self, word: &str, text: impl FnOnce() -> String) {
        if self.found.len() < Self::MOST {
            self.found.push(self.source.at(word, &shown(&text())));
        } else {
            self.more += 1;
        }
    }

    /// # Errors
    ///
    /// [`Error::Config`] if there are any.
    pub(super) fn none(mut self) -> Result<()> {
        if self.more > 0 {
            self.found.push(format!("seccomp profile: and {} more", self.more));
        }
        if self.found.is_empty() { Ok(()) } else { Err(Error::Config { problems: self.found }) }
    }
}

/// `text` as part of a message: on one line, without control characters, and not
/// endless. It is somebody else's.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 400;
    let mut shown = String::new();
    for character in text.chars() {
        if shown.len() > MOST {
            shown.push('…');
            break;
        }
        match character {
            character if character.is_control() => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown
}

/// `text` with every `//` comment outside a string replaced by spaces.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut in_string = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => {
                out.push(character);
                out.extend(characters.next());
            }
            '"' => {
                in_string = !in_string;
                out.push(character);
            }
            '/' if !in_string && characters.peek() == Some(&'/') => {
                out.push(' ');
                while let Some(comment) = characters.next_if(|character| *character != '\n') {
                    out.extend(std::iter::repeat_n(' ', comment.len_utf8()));
                }
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_spaces_and_strings_stay() {
        let text = "{ // first\n  \"a//b\": \"\\\"//\", //last";

        let source = Source::new(text).unwrap();

        assert_eq!(source.json(), "{         \n  \"a//b\": \"\\\"//\",       ");
        assert_eq!(source.json().len(), text.len());
    }

    #[test]
    fn what_others_wrote_is_shown_on_one_short_line() {
        assert_eq!(shown("a\n\u{1b}[31mé\0"), "a\\n\\u{1b}[31mé\\u{0}");
        assert!(shown(&"x".repeat(1 << 20)).len() < 500);
    }

    #[test]
    fn a_problem_tells_line_and_column_of_its_word() {
        let source = Source::new("{\n  // \"here\"\n  \"é\", \"here\"").unwrap();

        assert_eq!(source.at("here", "no"), "seccomp profile, line 3, column 8: no");
        assert_eq!(source.at("elsewhere", "no"), "seccomp profile: no");
    }
}
