//! Decisions as a graph of tests on 32-bit words, shared where they are equal.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::rule::Action;

/// One 32-bit word of the `seccomp_data` a filter reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Word(u8);

impl Word {
    /// The number of the call.
    pub(super) const NUMBER: Self = Self(0);
    /// The interface it came through.
    pub(super) const ARCH: Self = Self(1);

    /// The low half of an argument. Words lie as in memory, and both
    /// architectures are little-endian.
    pub(super) fn low(argument: u8) -> Self {
        Self(4 + 2 * argument)
    }

    /// The high half of an argument.
    pub(super) fn high(argument: u8) -> Self {
        Self(5 + 2 * argument)
    }

    /// Where it lies in `seccomp_data`, in bytes.
    pub(super) fn offset(self) -> u32 {
        u32::from(self.0) * 4
    }

    /// The argument this is a half of, and whether it is the high one.
    pub(super) fn half_of(self) -> Option<(u8, bool)> {
        (self.0 >= 4).then(|| ((self.0 - 4) / 2, self.0 % 2 == 1))
    }

    /// Its value in this call.
    #[cfg(test)]
    pub(super) fn of(self, call: &Call) -> u32 {
        match self.half_of() {
            None if self == Self::NUMBER => call.number,
            None => call.arch,
            Some((argument, high)) => {
                let value = call.arguments[usize::from(argument)];
                let half = if high { value >> 32 } else { value & 0xffff_ffff };
                u32::try_from(half).unwrap_or(u32::MAX)
            }
        }
    }
}

/// A system call as a filter sees it.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) arch: u32,
    pub(super) arguments: [u64; 6],
}

/// A question about one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Equal(u32),
    Greater(u32),
    AtLeast(u32),
    /// Any of these bits is set.
    AnyOf(u32),
    /// `word & mask == value`.
    Masked {
        mask: u32,
        value: u32,
    },
}

impl Test {
    pub(super) fn holds(self, word: u32) -> bool {
        match self {
            Self::Equal(value) => word == value,
            Self::Greater(value) => word > value,
            Self::AtLeast(value) => word >= value,
            Self::AnyOf(bits) => word & bits != 0,
            Self::Masked { mask, value } => word & mask == value,
        }
    }
}

/// A node of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u32);

impl Id {
    /// Its place among the nodes of its tree.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Leaf(Action),
    Branch { word: Word, test: Test, yes: Id, no: Id },
}

/// A profile needs more tests than a filter can hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooComplex;

/// A hash for nodes, a few integers each. The default one, which withstands
/// chosen keys, takes a third of the time a filter is made in; a profile is its
/// writer's own, and the number of nodes is bounded.
#[derive(Debug, Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        // An odd number without a pattern: 2^64 over the golden ratio.
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A store of decisions in which equal ones are one node.
///
/// Children are older than their parents, so the order of the nodes is one in
/// which a program can be laid out from its end.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    index: HashMap<Node, Id, BuildHasherDefault<Quick>>,
}

impl Tree {
    /// No filter has more than 4096 instructions, and the least a node that is
    /// used costs is one. Several times that is room for nodes that are not.
    pub(super) const MOST_NODES: usize = 1 << 15;

    pub(super) fn leaf(&mut self, action: Action) -> Result<Id, TooComplex> {
        self.intern(Node::Leaf(action))
    }

    pub(super) fn branch(
        &mut self,
        word: Word,
        test: Test,
        yes: Id,
        no: Id,
    ) -> Result<Id, TooComplex> {
        if yes == no { Ok(yes) } else { self.intern(Node::Branch { word, test, yes, no }) }
    }

    /// A branch on `word & mask == value`, as the cheapest test that says so.
    pub(super) fn masked(
        &mut self,
        word: Word,
        mask: u32,
        value: u32,
        yes: Id,
        no: Id,
    ) -> Result<Id, TooComplex> {
        if value & !mask != 0 {
            return Ok(no);
        }
        match (mask, value) {
            (0, _) => Ok(yes),
            (u32::MAX, _) => self.branch(word, Test::Equal(value), yes, no),
            (_, 0) => self.branch(word, Test::AnyOf(mask), no, yes),
            _ if mask == value && mask.is_power_of_two() => {
                self.branch(word, Test::AnyOf(mask), yes, no)
            }
            _ => self.branch(word, Test::Masked { mask, value }, yes, no),
        }
    }

    fn intern(&mut self, node: Node) -> Result<Id, TooComplex> {
        if let Some(&id) = self.index.get(&node) {
            return Ok(id);
        }
        let id = u32::try_from(self.nodes.len()).map(Id).map_err(|_| TooComplex)?;
        if self.nodes.len() >= Self::MOST_NODES {
            return Err(TooComplex);
        }
        self.nodes.push(node);
        self.index.insert(node, id);
        Ok(id)
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, id: Id) -> Node {
        self.nodes[id.index()]
    }

    /// The verdict of two decisions together; see [`Action::and`].
    pub(super) fn both(
        &mut self,
        theirs: Id,
        ours: Id,
        seen: &mut HashMap<(Id, Id), Id>,
    ) -> Result<Id, TooComplex> {
        if theirs == ours {
            return Ok(theirs);
        }
        if let Some(&known) = seen.get(&(theirs, ours)) {
            return Ok(known);
        }
        let id = match (self.node(theirs), self.node(ours)) {
            (Node::Leaf(theirs), Node::Leaf(ours)) => self.leaf(theirs.and(ours))?,
            (Node::Branch { word, test, yes, no }, _) => {
                let yes = self.both(yes, ours, seen)?;
                let no = self.both(no, ours, seen)?;
                self.branch(word, test, yes, no)?
            }
            (Node::Leaf(_), Node::Branch { word, test, yes, no }) => {
                let yes = self.both(theirs, yes, seen)?;
                let no = self.both(theirs, no, seen)?;
                self.branch(word, test, yes, no)?
            }
        };
        seen.insert((theirs, ours), id);
        Ok(id)
    }

    /// The verdict for one call.
    #[cfg(test)]
    pub(super) fn verdict(&self, mut id: Id, call: &Call) -> Action {
        loop {
            match self.node(id) {
                Node::Leaf(action) => return action,
                Node::Branch { word, test, yes, no } => {
                    id = if test.holds(word.of(call)) { yes } else { no };
                }
            }
        }
    }

    /// The one verdict, where no argument matters.
    pub(super) fn constant(&self, id: Id) -> Option<Action> {
        match self.node(id) {
            Node::Leaf(action) => Some(action),
            Node::Branch { .. } => None,
        }
    }

    /// All nodes below `id` and itself, children before parents.
    pub(super) fn below(&self, id: Id) -> Vec<Id> {
        let mut reached = vec![false; self.nodes.len()];
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            if std::mem::replace(&mut reached[next.index()], true) {
                continue;
            }
            if let Node::Branch { yes, no, .. } = self.node(next) {
                open.extend([yes, no]);
            }
        }
        let ids = 0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        ids.map(Id).filter(|id| reached[id.index()]).collect()
    }
}
