//! What a profile says about one system call: actions, and conditions on its
//! arguments.

use super::tree::{Id, Test, TooComplex, Tree, Word};

/// `EPERM`, the answer to a known call that is refused.
pub(super) const EPERM: u16 = 1;
/// `ENOSYS`, the answer after which a C library falls back to an older call.
pub(super) const ENOSYS: u16 = 38;

/// What happens to a system call.
///
/// Ordered by strictness, the mildest first, as the kernel orders the verdicts
/// of several filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is carried out.
    Allow,
    /// It is carried out and written to the audit log.
    Log,
    /// It is not carried out and fails with this errno.
    Errno(u16),
    /// It is not carried out and the thread gets `SIGSYS`.
    Trap,
    /// The calling thread ends.
    KillThread,
    /// The whole process ends by `SIGSYS`.
    KillProcess,
}

impl Action {
    /// The value the filter returns: `SECCOMP_RET_*` of `linux/seccomp.h`.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Allow => 0x7fff_0000,
            Self::Log => 0x7ffc_0000,
            Self::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Self::Trap => 0x0003_0000,
            Self::KillThread => 0x0000_0000,
            Self::KillProcess => 0x8000_0000,
        }
    }

    /// Whether the call is carried out.
    #[must_use]
    pub fn lets_through(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }

    /// The verdict of two profiles together: the stricter one.
    ///
    /// Of two errnos ours is taken where it is `ENOSYS`: it is there so that a
    /// C library falls back, and any other answer would break the guest.
    pub(super) fn and(self, ours: Self) -> Self {
        match (self, ours) {
            (Self::Errno(_), Self::Errno(ENOSYS)) => ours,
            (Self::Errno(_), Self::Errno(_)) => self,
            _ => self.max(ours),
        }
    }

    /// Strictness without the errno: two errnos are equally strict.
    fn rank(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Log => 1,
            Self::Errno(_) => 2,
            Self::Trap => 3,
            Self::KillThread => 4,
            Self::KillProcess => 5,
        }
    }
}

/// How an argument is compared; arguments are 64 bits, without a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Comparison {
    NotEqual(u64),
    Less(u64),
    AtMost(u64),
    Equal(u64),
    AtLeast(u64),
    Greater(u64),
    /// `argument & mask == value`.
    Masked {
        mask: u64,
        value: u64,
    },
}

/// A comparison of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) argument: u8,
    pub(super) comparison: Comparison,
}

impl Condition {
    /// Whether it holds for these arguments. The tree and the filter must say
    /// the same; the property tests compare them.
    #[cfg(test)]
    pub(super) fn holds(self, arguments: &[u64; 6]) -> bool {
        let argument = arguments[usize::from(self.argument)];
        match self.comparison {
            Comparison::NotEqual(value) => argument != value,
            Comparison::Less(value) => argument < value,
            Comparison::AtMost(value) => argument <= value,
            Comparison::Equal(value) => argument == value,
            Comparison::AtLeast(value) => argument >= value,
            Comparison::Greater(value) => argument > value,
            Comparison::Masked { mask, value } => argument & mask == value,
        }
    }

    /// The bits it demands, where it demands bits: `(mask, value)`.
    fn bits(self) -> Option<(u64, u64)> {
        match self.comparison {
            Comparison::Equal(value) => Some((u64::MAX, value)),
            Comparison::Masked { mask, value } => Some((mask, value)),
            _ => None,
        }
    }

    /// What `other` comes to once it is known whether `self` holds; `None` is
    /// "still open". It need not see every implication, only never a false one.
    fn settles(self, holds: bool, other: Self) -> Option<bool> {
        if self == other {
            return Some(holds);
        }
        if !holds || self.argument != other.argument {
            return None;
        }
        let (mask, value) = self.bits()?;
        let (other_mask, other_value) = other.bits()?;
        let common = mask & other_mask;
        if value & common != other_value & common {
            return Some(false);
        }
        (common == other_mask && other_value & !other_mask == 0).then_some(true)
    }

    /// A branch on this condition, word by word: filters see 32 bits at a time.
    fn branch(self, tree: &mut Tree, yes: Id, no: Id) -> Result<Id, TooComplex> {
        let (high, low) = (Word::high(self.argument), Word::low(self.argument));
        let mut equal = |value: u64, yes, no| {
            let below = tree.branch(low, Test::Equal(lower(value)), yes, no)?;
            tree.branch(high, Test::Equal(upper(value)), below, no)
        };
        match self.comparison {
            Comparison::Equal(value) => equal(value, yes, no),
            Comparison::NotEqual(value) => equal(value, no, yes),
            Comparison::Greater(value) => above(tree, self.argument, value, false, yes, no),
            Comparison::AtMost(value) => above(tree, self.argument, value, false, no, yes),
            Comparison::AtLeast(value) => above(tree, self.argument, value, true, yes, no),
            Comparison::Less(value) => above(tree, self.argument, value, true, no, yes),
            Comparison::Masked { mask, value } => {
                let below = tree.masked(low, lower(mask), lower(value), yes, no)?;
                tree.masked(high, upper(mask), upper(value), below, no)
            }
        }
    }
}

/// A branch on `argument > value`, or `>=` when `or_equal`.
fn above(
    tree: &mut Tree,
    argument: u8,
    value: u64,
    or_equal: bool,
    yes: Id,
    no: Id,
) -> Result<Id, TooComplex> {
    let test = if or_equal { Test::AtLeast(lower(value)) } else { Test::Greater(lower(value)) };
    let below = tree.branch(Word::low(argument), test, yes, no)?;
    let same = tree.branch(Word::high(argument), Test::Equal(upper(value)), below, no)?;
    tree.branch(Word::high(argument), Test::Greater(upper(value)), yes, same)
}

#[expect(clippy::cast_possible_truncation, reason = "the low word is what is wanted")]
fn lower(value: u64) -> u32 {
    value as u32
}

fn upper(value: u64) -> u32 {
    lower(value >> 32)
}

/// An action for the calls whose arguments meet all conditions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
}

/// All a profile says about one system call.
///
/// Of the rules that match the strictest counts, wherever it stands in the
/// file; `otherwise` counts when none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) rules: Vec<Rule>,
    pub(super) otherwise: Action,
}

impl Rules {
    /// Docker's longest list, for `socket`, has 40.
    pub(super) const MOST_RULES: usize = 256;

    /// The verdict for these arguments, by going through the rules one by one:
    /// what [`Rules::decide`] is compared with.
    #[cfg(test)]
    pub(super) fn verdict(&self, arguments: &[u64; 6]) -> Action {
        let mut strictest: Option<Action> = None;
        for rule in &self.rules {
            let matches = rule.conditions.iter().all(|condition| condition.holds(arguments));
            if matches && strictest.is_none_or(|so_far| so_far.rank() < rule.action.rank()) {
                strictest = Some(rule.action);
            }
        }
        strictest.unwrap_or(self.otherwise)
    }

    /// The same as a tree of tests, each argument word tested as few times as
    /// the rules allow.
    ///
    /// # Errors
    ///
    /// [`TooComplex`] when the tree outgrows what a filter can hold.
    pub(super) fn decide(&self, tree: &mut Tree) -> Result<Id, TooComplex> {
        // Most calls have one rule, without conditions.
        match self.rules.as_slice() {
            [] => return tree.leaf(self.otherwise),
            [only] if only.conditions.is_empty() => return tree.leaf(only.action),
            _ => {}
        }
        let mut rules = self.rules.clone();
        if rules.len() > Self::MOST_RULES {
            return Err(TooComplex);
        }
        // Stable: of two errnos the first one in the file is taken.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.action.rank()));
        decide(tree, rules, self.otherwise, &mut std::collections::HashMap::new())
    }
}

/// A split costs an instruction at least, and a filter has 4096.
const MOST_SPLITS: usize = 4096;

/// Splits on the first condition: the rules left when it holds, and when not.
/// This factors out what rules have in common (twenty rules for `socket` test
/// the domain once).
fn decide(
    tree: &mut Tree,
    rules: Vec<Rule>,
    otherwise: Action,
    seen: &mut std::collections::HashMap<Vec<Rule>, Id>,
) -> Result<Id, TooComplex> {
    let Some(first) = rules.first() else { return tree.leaf(otherwise) };
    let Some(&condition) = first.conditions.first() else { return tree.leaf(first.action) };
    if let Some(&known) = seen.get(&rules) {
        return Ok(known);
    }
    let yes = decide(tree, assume(&rules, condition, true), otherwise, seen)?;
    let no = decide(tree, assume(&rules, condition, false), otherwise, seen)?;
    let id = condition.branch(tree, yes, no)?;
    seen.insert(rules, id);
    if seen.len() > MOST_SPLITS { Err(TooComplex) } else { Ok(id) }
}

fn assume(rules: &[Rule], known: Condition, holds: bool) -> Vec<Rule> {
    let rest = |rule: &Rule| {
        let mut conditions = Vec::with_capacity(rule.conditions.len());
        for condition in &rule.conditions {
            match known.settles(holds, *condition) {
                Some(true) => {}
                Some(false) => return None,
                None => conditions.push(*condition),
            }
        }
        Some(Rule { conditions, action: rule.action })
    };
    rules.iter().filter_map(rest).collect()
}
