//! A value as it was written, in a file or a variable, and how each kind of key
//! reads it.

use std::fmt;
use std::time::Duration;

use crate::sandbox::names::nearest;
use crate::sandbox::units::{ByteSize, Seconds, quoted};

/// Where a value stands in its file; lines and columns count from 1. Nowhere
/// for a variable, whose name says enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position(pub(super) Option<(usize, usize)>);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |(line, column)| write!(f, "{line}:{column}: "))
    }
}

/// What is wrong with a value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: Position,
    pub(super) problem: String,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

/// A value as it was written. Types are the business of the key that reads it:
/// `1.10` may be a host, and `yes` a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// One word or sentence; `plain` without quotes.
    Text { text: String, plain: bool },
    /// `[a, b]`.
    List(Vec<Node>),
    /// `{a: 1, b: 2}`, in the order written, no key twice.
    Map(Vec<Entry>),
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) node: Node,
}

impl Node {
    /// A word without a place and without quotes, as variables have them.
    pub(super) fn word(text: &str) -> Self {
        Self { at: Position(None), value: Value::Text { text: text.to_owned(), plain: true } }
    }

    pub(super) fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault { at: self.at, problem: problem.into() }
    }

    /// The text of a value that must be one; `like` shows how one is written.
    pub(super) fn text(&self, like: &str) -> Result<&str, Fault> {
        match &self.value {
            Value::Text { text, plain: true } if text.is_empty() || is_null(text) => {
                Err(self.fault(format!("has no value; write one, as in `{like}`, or leave it out")))
            }
            Value::Text { text, .. } => Ok(text),
            Value::List(_) => {
                Err(self.fault(format!("is a list; write one value, as in `{like}`")))
            }
            Value::Map(_) => {
                Err(self.fault(format!("is a mapping; write one value, as in `{like}`")))
            }
        }
    }

    /// `None` for `none`, `null` and `~`, which lift a limit. A value that was
    /// forgotten lifts nothing.
    pub(super) fn or_none<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        match &self.value {
            Value::Text { text, plain } if text == "none" || (*plain && is_null(text)) => Ok(None),
            _ => read(self).map(Some),
        }
    }

    pub(super) fn size(&self) -> Result<u64, Fault> {
        let text = self.text("256MB")?;
        text.parse().map(ByteSize::bytes).map_err(|error| self.fault(error.to_string()))
    }

    pub(super) fn time(&self) -> Result<Duration, Fault> {
        let text = self.text("30s")?;
        text.parse().map(Seconds::duration).map_err(|error| self.fault(error.to_string()))
    }

    pub(super) fn whole_seconds(&self) -> Result<u64, Fault> {
        let time = Seconds::from(self.time()?);
        time.whole().ok_or_else(|| {
            self.fault(format!("is {time}; the system counts whole seconds, as in `30s`"))
        })
    }

    pub(super) fn count(&self) -> Result<u64, Fault> {
        let text = self.text("10")?;
        // `+1` would parse.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or_else(|| {
            self.fault(format!("{} is not a whole number; write one, as in `10`", quoted(text)))
        })
    }

    pub(super) fn decimal(&self) -> Result<f64, Fault> {
        let text = self.text("0.5")?;
        // `inf`, `nan`, `1e9` and `-1` would parse.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        text.parse().ok().filter(|_| plain).ok_or_else(|| {
            self.fault(format!("{} is not a number; write one, as in `0.5`", quoted(text)))
        })
    }

    pub(super) fn switch(&self) -> Result<bool, Fault> {
        match self.text("true")? {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            text => {
                Err(self
                    .fault(format!("{} is neither `true` nor `false`; write one", quoted(text))))
            }
        }
    }

    /// One of the named `choices`.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Result<T, Fault> {
        let text = self.text(choices[0].0)?;
        let chosen = choices.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            let near = nearest(text, choices.iter().map(|(name, _)| *name));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let (text, names) = (quoted(text), names.join(", "));
            self.fault(format!("{text} is none of {names}{hint}"))
        })
    }

    /// A list of words.
    pub(super) fn words(&self, like: &str) -> Result<Vec<String>, Fault> {
        match &self.value {
            Value::List(entries) => {
                entries.iter().map(|entry| entry.text(like).map(str::to_owned)).collect()
            }
            Value::Text { text, plain: true } if text.is_empty() => {
                Err(self.fault(format!("has no value; write a list, as in `[{like}]` or `[]`")))
            }
            Value::Text { text, .. } => {
                Err(self.fault(format!("{} is not a list; write `[{text}]`", quoted(text))))
            }
            Value::Map(_) => {
                Err(self.fault(format!("is a mapping; write a list, as in `[{like}]`")))
            }
        }
    }

    /// A mapping of words to words.
    pub(super) fn pairs(&self) -> Result<Vec<(String, String)>, Fault> {
        let Value::Map(entries) = &self.value else {
            return Err(self.fault("is not a mapping; write `{NAME: value}` or `{}`"));
        };
        let pair =
            |Entry { key, node, .. }: &Entry| match &node.value {
                Value::Text { text, plain } if !(*plain && (text.is_empty() || is_null(text))) => {
                    Ok((key.clone(), text.clone()))
                }
                Value::Text { .. } => Err(node
                    .fault(format!("{} has no value; write `\"\"` for an empty one", quoted(key)))),
                _ => Err(node.fault(format!("{} must be one value, not several", quoted(key)))),
            };
        entries.iter().map(pair).collect()
    }

    /// The same value as JSON. What has no quotes is a number, a boolean or null
    /// where it looks like one, as YAML's core schema has it.
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;

        match &self.value {
            Value::Text { text, plain: false } => Json::from(text.as_str()),
            Value::Text { text, plain: true } if text.is_empty() || is_null(text) => Json::Null,
            Value::Text { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => true.into(),
                "false" | "False" | "FALSE" => false.into(),
                text => match (text.parse::<u64>(), text.parse::<i64>()) {
                    (Ok(number), _) => number.into(),
                    (_, Ok(number)) => number.into(),
                    _ => text.into(),
                },
            },
            Value::List(entries) => entries.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                let json = |entry: &Entry| (entry.key.clone(), entry.node.to_json());
                Json::Object(entries.iter().map(json).collect())
            }
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "~" | "null" | "Null" | "NULL")
}
