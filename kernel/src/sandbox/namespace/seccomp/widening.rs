//! What a user's profile allows and ours does not, found by looking for a call
//! that the one lets through and the other refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::tree::{Id, Node, Test, Tree, Word};

/// Something that stays refused though the user's profile allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Widening {
    /// All calls that the profile does not name, by its `defaultAction`.
    Everything,
    /// A call, whatever its arguments.
    Call(&'static str),
    /// A call with some arguments; those of one example.
    Arguments(&'static str, [u64; 6]),
}

impl Widening {
    /// Whether the call is let through with other arguments.
    #[must_use]
    pub fn is_in_part(&self) -> bool {
        matches!(self, Self::Arguments(..))
    }
}

/// All of them, with commas.
pub(super) fn listed(widenings: &[&Widening]) -> String {
    widenings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Widening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("calls it does not name (defaultAction)"),
            Self::Call(name) => f.write_str(name),
            Self::Arguments(name, arguments) => {
                let used = arguments.iter().rposition(|argument| *argument != 0);
                let shown = &arguments[..used.map_or(1, |last| last + 1)];
                let shown: Vec<String> =
                    shown.iter().map(|argument| format!("{argument:#x}")).collect();
                write!(f, "{name}({})", shown.join(", "))
            }
        }
    }
}

/// What `theirs` lets through and `ours` refuses of the call `name`.
pub(super) fn of(tree: &Tree, name: &'static str, theirs: Id, ours: Id) -> Option<Widening> {
    let found = Search { tree, steps: 0 }.run(theirs, ours, &values(tree, theirs, ours))?;
    Some(match tree.constant(ours) {
        Some(_) => Widening::Call(name),
        None => Widening::Arguments(name, found),
    })
}

/// For each word the values at which some test on it changes its answer.
type Values = BTreeMap<Word, Vec<u32>>;

fn values(tree: &Tree, theirs: Id, ours: Id) -> Values {
    let mut values: BTreeMap<Word, BTreeSet<u32>> = BTreeMap::new();
    for id in [theirs, ours].into_iter().flat_map(|root| tree.below(root)) {
        let Node::Branch { word, test, .. } = tree.node(id) else { continue };
        let values = values.entry(word).or_insert_with(|| [0, 1, u32::MAX].into());
        match test {
            Test::Equal(at) | Test::Greater(at) | Test::AtLeast(at) => {
                values.extend([at.wrapping_sub(1), at, at.wrapping_add(1)]);
            }
            Test::AnyOf(bits) => {
                values.insert(bits);
                values.extend((0..32).map(|bit| bits & (1 << bit)));
            }
            Test::Masked { mask, value } => {
                values.extend([value, value | !mask, value ^ mask]);
                values.extend((0..32).map(|bit| value ^ (mask & (1 << bit))));
            }
        }
    }
    values.into_iter().map(|(word, values)| (word, values.into_iter().collect())).collect()
}

/// Walks both decisions at once with what the words can still be.
struct Search<'a> {
    tree: &'a Tree,
    steps: usize,
}

impl Search<'_> {
    /// A bound for profiles made to be hard; what it cuts off is reported as
    /// not found, and is refused all the same.
    const MOST_STEPS: usize = 100_000;

    fn run(&mut self, theirs: Id, ours: Id, values: &Values) -> Option<[u64; 6]> {
        self.steps += 1;
        if self.steps > Self::MOST_STEPS {
            return None;
        }
        match (self.tree.node(theirs), self.tree.node(ours)) {
            (Node::Leaf(theirs), Node::Leaf(ours)) => {
                (theirs.lets_through() && !ours.lets_through()).then(|| example(values))
            }
            (Node::Branch { word, test, yes, no }, _) => {
                // What zeroes lead to comes first, for an example that is easy to read.
                [test.holds(0), !test.holds(0)].into_iter().find_map(|holds| {
                    let next = if holds { yes } else { no };
                    self.run(next, ours, &only(values, word, test, holds)?)
                })
            }
            (_, Node::Branch { word, test, yes, no }) => {
                [test.holds(0), !test.holds(0)].into_iter().find_map(|holds| {
                    let next = if holds { yes } else { no };
                    self.run(theirs, next, &only(values, word, test, holds)?)
                })
            }
        }
    }
}

/// The values that answer `test` with `holds`; `None` if there are none left.
fn only(values: &Values, word: Word, test: Test, holds: bool) -> Option<Values> {
    let mut left = values.clone();
    let of_word = left.get_mut(&word)?;
    of_word.retain(|value| test.holds(*value) == holds);
    if of_word.is_empty() { None } else { Some(left) }
}

fn example(values: &Values) -> [u64; 6] {
    let mut arguments = [0; 6];
    for (word, values) in values {
        let Some((argument, high)) = word.half_of() else { continue };
        let value = values.first().copied().map_or(0, u64::from);
        arguments[usize::from(argument)] |= if high { value << 32 } else { value };
    }
    arguments
}
