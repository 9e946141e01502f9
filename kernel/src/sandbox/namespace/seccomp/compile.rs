//! Decisions → the classic BPF program the kernel runs.
//!
//! The program is written from its end, children first, so that every jump's
//! target is known when the jump is written. A conditional jump reaches 255
//! instructions; where that is not enough an unconditional one stands behind it.

use super::names::Arch;
use super::rule::Action;
use super::tree::{Id, Node, Test, TooComplex, Tree, Word};

/// One instruction of a filter, laid out as the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip when the test holds.
    pub jt: u8,
    /// How many to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

// `linux/bpf_common.h`: class | size or operation | mode or source.
pub(super) const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
pub(super) const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(super) const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
pub(super) const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
pub(super) const JUMP_ANY_OF: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// `BPF_MAXINSNS`: the kernel takes no longer program.
pub(super) const MOST_INSTRUCTIONS: usize = 4096;

/// Compiles the decision for each call number into one program.
///
/// Numbers without a decision are those of calls we do not know, newer ones
/// above all, and x32, whose numbers begin at 2^30: they get `unknown`. A call through any other interface
/// ends the process: its numbers mean something else.
///
/// # Errors
///
/// [`TooComplex`] when the program outgrows what the kernel takes.
pub(super) fn compile(
    tree: &mut Tree,
    arch: Arch,
    decisions: &[(u32, Id)],
    unknown: Action,
) -> Result<Vec<Instruction>, TooComplex> {
    let unknown = tree.leaf(unknown)?;
    let ranges = ranges(decisions, unknown);
    let search = search(tree, &ranges)?;
    let foreign = tree.leaf(Action::KillProcess)?;
    let root = tree.branch(Word::ARCH, Test::Equal(arch.audit()), search, foreign)?;
    let program = Writer::new(tree, root).write();
    if program.len() > MOST_INSTRUCTIONS { Err(TooComplex) } else { Ok(program) }
}

/// `(first number, decision)` of each stretch of numbers with the same decision.
fn ranges(decisions: &[(u32, Id)], unknown: Id) -> Vec<(u32, Id)> {
    let mut sorted = decisions.to_vec();
    sorted.sort_unstable();
    let mut ranges = vec![];
    let mut next = 0;
    let mut add = |first: u32, id: Id| {
        if ranges.last().is_none_or(|(_, last)| *last != id) {
            ranges.push((first, id));
        }
    };
    for (number, id) in sorted {
        if number > next {
            add(next, unknown);
        }
        add(number, id);
        next = number + 1;
    }
    add(next, unknown);
    ranges
}

/// A balanced search: seven comparisons find any of a hundred ranges.
fn search(tree: &mut Tree, ranges: &[(u32, Id)]) -> Result<Id, TooComplex> {
    match ranges {
        [] => tree.leaf(Action::KillProcess),
        [(_, only)] => Ok(*only),
        _ => {
            let (below, above) = ranges.split_at(ranges.len() / 2);
            let first = above[0].0;
            let below = search(tree, below)?;
            let above = search(tree, above)?;
            tree.branch(Word::NUMBER, Test::AtLeast(first), above, below)
        }
    }
}

/// Where a node can be entered, counted from the end of the program.
#[derive(Clone, Copy)]
struct Entry {
    /// With anything in the accumulator.
    cold: usize,
    /// With the node's own word in it.
    loaded: usize,
}

struct Writer<'a> {
    tree: &'a Tree,
    root: Id,
    /// By node: whether some parent enters it without having loaded its word.
    cold: Vec<bool>,
    /// By node, once it is written.
    entries: Vec<Entry>,
    /// Last instruction first.
    reversed: Vec<Instruction>,
}

impl<'a> Writer<'a> {
    fn new(tree: &'a Tree, root: Id) -> Self {
        let mut cold = vec![false; tree.len()];
        cold[root.index()] = true;
        for id in tree.below(root) {
            if let Node::Branch { yes, no, .. } = tree.node(id) {
                for child in [yes, no] {
                    cold[child.index()] |= !leaves_loaded(tree, id, child);
                }
            }
        }
        let entries = vec![Entry { cold: 0, loaded: 0 }; tree.len()];
        Self { tree, root, cold, entries, reversed: Vec::new() }
    }

    fn write(mut self) -> Vec<Instruction> {
        for id in self.tree.below(self.root) {
            match self.tree.node(id) {
                Node::Leaf(action) => {
                    let at = self.push(RETURN, 0, 0, action.code());
                    self.entries[id.index()] = Entry { cold: at, loaded: at };
                }
                Node::Branch { word, test, yes, no } => self.write_branch(id, word, test, yes, no),
            }
        }
        self.reversed.reverse();
        self.reversed
    }

    fn write_branch(&mut self, id: Id, word: Word, test: Test, yes: Id, no: Id) {
        let yes = self.reach(id, yes);
        let no = self.reach(id, no);
        let here = self.reversed.len();
        let (jt, jf) = (skip(here, yes), skip(here, no));
        let mut loaded = match test {
            Test::Equal(k) => self.push(JUMP_EQUAL, jt, jf, k),
            Test::Greater(k) => self.push(JUMP_GREATER, jt, jf, k),
            Test::AtLeast(k) => self.push(JUMP_AT_LEAST, jt, jf, k),
            Test::AnyOf(k) => self.push(JUMP_ANY_OF, jt, jf, k),
            Test::Masked { value, .. } => self.push(JUMP_EQUAL, jt, jf, value),
        };
        if let Test::Masked { mask, .. } = test {
            loaded = self.push(AND, 0, 0, mask);
        }
        let cold =
            if self.cold[id.index()] { self.push(LOAD, 0, 0, word.offset()) } else { loaded };
        self.entries[id.index()] = Entry { cold, loaded };
    }

    /// A place from which `child` is reached that the next instruction but two
    /// can still jump to.
    fn reach(&mut self, parent: Id, child: Id) -> usize {
        let entry = self.entries[child.index()];
        let target =
            if leaves_loaded(self.tree, parent, child) { entry.loaded } else { entry.cold };
        if self.reversed.len() - target < usize::from(u8::MAX) {
            return target;
        }
        match self.tree.node(child) {
            // A return costs no more than a jump to one.
            Node::Leaf(action) => {
                let at = self.push(RETURN, 0, 0, action.code());
                self.entries[child.index()] = Entry { cold: at, loaded: at };
                at
            }
            Node::Branch { .. } => {
                let distance = self.reversed.len() - target - 1;
                self.push(JUMP, 0, 0, u32::try_from(distance).unwrap_or(u32::MAX))
            }
        }
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> usize {
        self.reversed.push(Instruction { code, jt, jf, k });
        self.reversed.len() - 1
    }
}

/// How many instructions lie between `here` and `target`, both from the end.
fn skip(here: usize, target: usize) -> u8 {
    u8::try_from(here - target - 1).unwrap_or_else(|_| unreachable!("`reach` left it in reach"))
}

/// Whether `child`, entered from `parent`, finds its word in the accumulator.
fn leaves_loaded(tree: &Tree, parent: Id, child: Id) -> bool {
    match (tree.node(parent), tree.node(child)) {
        (Node::Branch { word, test, .. }, Node::Branch { word: wanted, .. }) => {
            word == wanted && !matches!(test, Test::Masked { .. })
        }
        _ => false,
    }
}
