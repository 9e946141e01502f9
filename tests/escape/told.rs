//! What a script says about each act it tried.

use std::collections::BTreeMap;
use std::fmt;

/// Lines of `what<TAB>result`, where the result is `ok`, the name of an errno,
/// or a value that was asked for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Told(BTreeMap<String, String>);

impl Told {
    pub(crate) fn parse(output: &[u8]) -> Self {
        let text = String::from_utf8_lossy(output);
        Self(
            text.lines()
                .map(|line| line.split_once('\t').unwrap_or((line, "")))
                .map(|(what, result)| (what.to_owned(), result.to_owned()))
                .collect(),
        )
    }

    /// What was said about `what`.
    pub(crate) fn about(&self, what: &str) -> &str {
        self.0.get(what).unwrap_or_else(|| panic!("nothing was said about `{what}`:\n{self:?}"))
    }

    /// All there is to say, and nothing else.
    #[track_caller]
    pub(crate) fn is(&self, expected: &[(&str, &str)]) {
        let owned = |(what, result): &(&str, &str)| ((*what).to_owned(), (*result).to_owned());
        let expected = Self(expected.iter().map(owned).collect());
        assert!(*self == expected, "expected:\n{expected:?}\ntold:\n{self:?}");
    }

    /// Every act had this result; there was at least one.
    #[track_caller]
    pub(crate) fn all(&self, result: &str) {
        assert!(!self.0.is_empty(), "nothing was said");
        assert!(self.0.values().all(|told| told == result), "expected {result}, told:\n{self:?}");
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(what, result)| (what.as_str(), result.as_str()))
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, result)| writeln!(f, "  {what:32} {result}"))
    }
}
