//! Which files are to be collected: paths with wildcards.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::input::relative;

/// A path below the work dir, with wildcards.
///
/// `*` is any part of one name, `?` any one character of it, `[a-c]` and `[!a-c]`
/// one of a set or none of it; none of them matches a `/`. A `**` between slashes
/// is any number of directories, none included, and at the end everything below.
/// A name that begins with a dot is nothing special. `\` makes the next character
/// an ordinary one.
///
/// ```
/// use kernel::sandbox::files::Pattern;
///
/// let images: Pattern = "out/**/*.png".parse()?;
/// assert!(images.matches("out/1.png") && images.matches("out/a/b/2.png"));
/// assert!(!images.matches("1.png") && !images.matches("out/a/notes.txt"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: PathBuf,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`.
    AnyDepth,
    /// One name.
    Name(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// `?`: one character.
    One,
    /// `*`: any number of bytes.
    Any,
    /// `[…]`: one character of these ranges, or with `true` none of them.
    Set(bool, Vec<(u32, u32)>),
}

impl std::str::FromStr for Pattern {
    type Err = String;

    /// # Errors
    ///
    /// Half a sentence that says what is wrong: `has `..` in it; …`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Half a sentence that says what is wrong: it is empty or absolute, has `..`
    /// or a NUL byte in it, or a `[` that nothing closes.
    pub fn new(text: impl AsRef<OsStr>) -> Result<Self, String> {
        let text = Path::new(text.as_ref());
        let clean = relative(text)?;
        let mut parts = clean
            .iter()
            .map(|name| match name.as_encoded_bytes() {
                b"**" => Ok(Part::AnyDepth),
                name => tokens(name).map(Part::Name),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if parts.last() == Some(&Part::AnyDepth) {
            // Everything below, at any depth.
            parts.push(Part::Name(vec![Token::Any]));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The pattern, as it was given.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.text
    }

    /// Whether it names the file at `path`, which is relative to the work dir.
    #[must_use]
    pub fn matches(&self, path: impl AsRef<Path>) -> bool {
        let names: Vec<&[u8]> = path.as_ref().iter().map(OsStr::as_encoded_bytes).collect();
        self.states_after(&names).contains(&self.parts.len())
    }

    /// Whether it may name something below the directory at `path`: whether there
    /// is any use in looking into it.
    #[must_use]
    pub fn may_match_below(&self, path: impl AsRef<Path>) -> bool {
        let names: Vec<&[u8]> = path.as_ref().iter().map(OsStr::as_encoded_bytes).collect();
        self.states_after(&names).iter().any(|state| *state < self.parts.len())
    }

    /// Whether it has no wildcard: who writes it means one file.
    #[must_use]
    pub fn names_one_file(&self) -> bool {
        let plain = |token: &Token| matches!(token, Token::Byte(_));
        self.parts.iter().all(|part| match part {
            Part::AnyDepth => false,
            Part::Name(tokens) => tokens.iter().all(plain),
        })
    }

    /// The numbers of parts that can be behind us after `names`. A set, walked once
    /// for each name: the work is names times parts, whatever the pattern.
    fn states_after(&self, names: &[&[u8]]) -> Vec<usize> {
        let mut states = vec![0];
        self.pass_over(&mut states);
        for name in names {
            let mut next = Vec::new();
            for state in states {
                match self.parts.get(state) {
                    // It takes this name, and may take more.
                    Some(Part::AnyDepth) => push(&mut next, state),
                    Some(Part::Name(tokens)) if name_matches(tokens, name) => {
                        push(&mut next, state + 1);
                    }
                    _ => {}
                }
            }
            self.pass_over(&mut next);
            states = next;
        }
        states
    }

    /// A `**` may be no directory at all.
    fn pass_over(&self, states: &mut Vec<usize>) {
        let mut at = 0;
        while at < states.len() {
            if self.parts.get(states[at]) == Some(&Part::AnyDepth) {
                push(states, states[at] + 1);
            }
            at += 1;
        }
    }
}

fn push(states: &mut Vec<usize>, state: usize) {
    if !states.contains(&state) {
        states.push(state);
    }
}

fn tokens(name: &[u8]) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        tokens.push(match first {
            b'?' => Token::One,
            // Two in a row are one, and would only cost time.
            b'*' if tokens.last() == Some(&Token::Any) => continue,
            b'*' => Token::Any,
            b'[' => {
                let (set, after) = set(rest)?;
                rest = after;
                set
            }
            b'\\' => {
                let (byte, after) = rest.split_first().ok_or("ends with a `\\`")?;
                rest = after;
                Token::Byte(*byte)
            }
            byte => Token::Byte(*byte),
        });
    }
    Ok(tokens)
}

/// Reads what follows a `[`. A `]` that comes first is one of the set.
fn set(text: &[u8]) -> Result<(Token, &[u8]), String> {
    let (negated, mut rest) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        let unclosed = "has a `[` without its `]`; write `\\[` for the character";
        let (low, after) = character(rest).ok_or(unclosed)?;
        if low == u32::from(b']') && !ranges.is_empty() {
            return Ok((Token::Set(negated, ranges), after));
        }
        rest = after;
        let high = match rest {
            [b'-', next, ..] if *next != b']' => {
                let (high, after) = character(&rest[1..]).ok_or(unclosed)?;
                rest = after;
                high
            }
            _ => low,
        };
        if high < low {
            return Err("has a range that runs backwards in a `[…]`".into());
        }
        ranges.push((low, high));
    }
}

/// The first character of `text` and what follows it. A byte that is no part of
/// UTF-8 counts as one, beyond all that are.
fn character(text: &[u8]) -> Option<(u32, &[u8])> {
    let first = *text.first()?;
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let character = text.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    match character.and_then(|text| text.chars().next()) {
        Some(character) => Some((character.into(), &text[length..])),
        None => Some((0x11_0000 + u32::from(first), &text[1..])),
    }
}

/// Matches one name. On a mismatch only the last `*` is tried again, one byte
/// further on: names times tokens at most, never exponential.
fn name_matches(tokens: &[Token], name: &[u8]) -> bool {
    let (mut at, mut rest) = (0, name);
    let mut again: Option<(usize, &[u8])> = None;
    loop {
        let step = match tokens.get(at) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Token::Any) => {
                again = Some((at + 1, rest));
                at += 1;
                continue;
            }
            Some(Token::Byte(byte)) => rest.strip_prefix(std::slice::from_ref(byte)),
            Some(Token::One) => character(rest).map(|(_, after)| after),
            Some(Token::Set(negated, ranges)) => character(rest).and_then(|(found, after)| {
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&found));
                (inside != *negated).then_some(after)
            }),
        };
        match (step, again) {
            (Some(after), _) => (at, rest) = (at + 1, after),
            (None, Some((from, [_, left @ ..]))) => {
                again = Some((from, left));
                (at, rest) = (from, left);
            }
            (None, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn wildcards_stay_within_one_name() {
        for (pattern, path, expected) in [
            ("a.py", "a.py", true),
            ("./a.py", "a.py", true),
            ("*.png", "1.png", true),
            ("*.png", ".hidden.png", true),
            ("*.png", "out/1.png", false),
            ("out/*", "out/a/b", false),
            ("out/?.txt", "out/ä.txt", true),
            ("out/?.txt", "out/12.txt", false),
            ("[a-c][!0-9]", "bx", true),
            ("[a-c][!0-9]", "b1", false),
            ("[]x]", "]", true),
            ("[ä-ü]", "ö", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbx", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn two_stars_are_any_number_of_directories() {
        for (pattern, path, expected) in [
            ("**", "a", true),
            ("**", "a/b/c", true),
            ("**/c", "c", true),
            ("**/c", "a/b/c", true),
            ("**/c", "a/b/cd", false),
            ("out/**", "out/a/b", true),
            ("out/**", "out", false),
            ("out/**/x", "out/x", true),
            ("out/**/b/**/x", "out/a/b/b/x", true),
            ("out/**/**/x", "out/x", true),
            ("a**b", "axxb", true),
            ("a**b", "a/b", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn only_directories_with_a_use_are_looked_into() {
        let below =
            |pattern: &str, path: &str| Pattern::new(pattern).unwrap().may_match_below(path);

        assert!(below("out/*.png", "out") && !below("out/*.png", "other"));
        assert!(!below("out/*.png", "out/deep"));
        assert!(!below("*.txt", "a"));
        assert!(below("**", "a/b") && below("**/x", "a/b") && below("out/**", "out"));
        assert!(below("a/b/c", "a/b") && !below("a/b/c", "a/b/c"));
    }

    #[test]
    fn pattern_that_cannot_be_meant_is_refused() {
        for (pattern, fault) in [
            ("", "is empty"),
            ("/etc/*", "is absolute"),
            ("../*", "has `..`"),
            ("a\0", "NUL"),
            ("[a", "without its `]`"),
            ("[z-a]", "runs backwards"),
            ("a\\", "ends with"),
        ] {
            let error = Pattern::new(pattern).unwrap_err();
            assert!(error.contains(fault), "{pattern:?}: {error}");
        }
    }

    #[test]
    fn pattern_that_grows_exponentially_elsewhere_is_quick() {
        let name = "a".repeat(250);
        let path = [name.as_str(); 12].join("/");

        assert!(!matches(&format!("{}b", "*a".repeat(100)), &name));
        assert!(!matches(&format!("{}/b", vec!["**/*a*a*a*"; 100].join("/")), &path));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_match_too() {
        use std::os::unix::ffi::OsStrExt;
        let name = Path::new(OsStr::from_bytes(b"\xff\xfe.bin"));

        assert!(Pattern::new("*.bin").unwrap().matches(name));
        assert!(Pattern::new("??.bin").unwrap().matches(name));
        assert!(Pattern::new(name).unwrap().matches(name));
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_refused(text in "[a\\[\\]*?!\\\\/.^ä-]{0,24}", path in "[a/.ä-]{1,16}") {
            if let Ok(pattern) = Pattern::new(&text) {
                let _ = pattern.matches(&path);
            }
        }

        #[test]
        fn directories_above_a_match_are_looked_into(
            pattern in "(a|b|\\*|\\*\\*|\\?)(/(a|b|\\*|\\*\\*|\\?)){0,4}",
            path in "[ab](/[ab]){0,4}",
        ) {
            let pattern = Pattern::new(&pattern).unwrap();
            if pattern.matches(&path) {
                for above in Path::new(&path).ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()) {
                    prop_assert!(pattern.may_match_below(above), "{}", above.display());
                }
            }
        }
    }
}
