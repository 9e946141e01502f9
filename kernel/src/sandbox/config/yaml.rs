//! YAML text to a tree in which every value knows its line and column.
//!
//! Only the part of YAML that a config needs: no anchors (nine lines of aliases
//! grow to gigabytes), no tags, one document, no key twice.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::value::{Entry, Fault, Node, Position, Value};
use crate::sandbox::units::quoted;

/// Deeper than any config; a tree of any depth would overflow the stack when it
/// is dropped.
const DEEPEST: usize = 32;

/// Reads one document; `None` where the text has none.
///
/// # Errors
///
/// The first place at which the text is not YAML, or uses what is not read
/// here; or all keys that are given twice.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Vec<Fault>> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            let at = Position(Some((mark.line(), mark.col() + 1)));
            vec![Fault { at, problem: format!("not YAML: {}", error.info()) }]
        })?;
        tree.take(event, span).map_err(|fault| vec![fault])?;
    }
    if tree.duplicates.is_empty() { Ok(tree.root) } else { Err(tree.duplicates) }
}

#[derive(Default)]
struct Tree {
    /// The lists and mappings that are still open, outermost first.
    open: Vec<Open>,
    root: Option<Node>,
    duplicates: Vec<Fault>,
}

struct Open {
    at: Position,
    value: Growing,
}

enum Growing {
    List(Vec<Node>),
    /// With the line of each key, and the key whose value comes next.
    Map {
        entries: Vec<Entry>,
        lines: HashMap<String, Position>,
        key: Option<(String, Position)>,
    },
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = Position(Some((span.start.line(), span.start.col() + 1)));
        let refuse = |problem: &str| Err(Fault { at, problem: problem.to_owned() });
        match event {
            Event::Alias(_) => refuse("aliases are not read; write the value out"),
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag)
                if anchor != 0 || tag.is_some() =>
            {
                refuse("anchors and tags are not read; write the value alone")
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                refuse("a second document begins; a config is one")
            }
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                self.add(Node { at, value: Value::Text { text: text.into_owned(), plain } })
            }
            Event::SequenceStart(..) => self.begin(at, Growing::List(Vec::new())),
            Event::MappingStart(..) => self
                .begin(at, Growing::Map { entries: Vec::new(), lines: HashMap::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, at: Position, value: Growing) -> Result<(), Fault> {
        if self.open.len() == DEEPEST {
            return Err(Fault { at, problem: format!("more than {DEEPEST} levels deep") });
        }
        self.open.push(Open { at, value });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(Open { at, value }) = self.open.pop() else { return Ok(()) };
        let value = match value {
            Growing::List(entries) => Value::List(entries),
            Growing::Map { entries, .. } => Value::Map(entries),
        };
        self.add(Node { at, value })
    }

    fn add(&mut self, node: Node) -> Result<(), Fault> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.value {
            Growing::List(entries) => entries.push(node),
            Growing::Map { entries, lines, key } => match (key.take(), node.value) {
                (Some((name, at)), value) => {
                    entries.push(Entry { key: name, at, node: Node { at: node.at, value } });
                }
                (None, Value::Text { text, .. }) => {
                    if let Some(Position(Some((line, _)))) = lines.insert(text.clone(), node.at) {
                        let problem =
                            format!("{} is given twice, first in line {line}", quoted(&text));
                        self.duplicates.push(Fault { at: node.at, problem });
                    }
                    *key = Some((text, node.at));
                }
                (None, _) => {
                    return Err(Fault { at: node.at, problem: "a key must be one word".into() });
                }
            },
        }
        Ok(())
    }
}
