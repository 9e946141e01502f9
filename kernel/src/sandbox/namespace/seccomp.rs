//! The system-call filter of a guest, compiled from a profile.
//!
//! # Theory of operation
//!
//! A *profile* says for each system call, perhaps by its arguments, whether it
//! is carried out. There is a default one ([`Filter::for_policy`]), and users
//! write their own in the JSON that Docker and OCI runtimes read. Three steps
//! lead to the program that the kernel runs at each call of the guest:
//!
//! 1. names become numbers, and the rules for each call a decision tree;
//! 2. a user's profile is combined with the default one: of two verdicts the
//!    stricter holds, so a profile can narrow the sandbox and never widen it.
//!    What it would have widened is named, for the receipt;
//! 3. a balanced search over ranges of numbers leads to the trees, and all of it
//!    becomes classic BPF.
//!
//! Every program begins by looking at the *interface* of the call. The numbers
//! of i386 mean other calls, so a call through `int 0x80` ends the process, and
//! so does any other foreign interface. Numbers that the tables do not know,
//! newer calls and those of x32, get `ENOSYS`, upon which a C library takes an
//! older call.
//!
//! All of this is pure: it needs no Linux, and a filter for ARM is compiled on
//! x86 as well. Installing the program is the launcher's business.

#[path = "seccomp/compile.rs"]
mod compile;
#[path = "seccomp/default.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "read by profiles, which come next"))]
mod default;
#[path = "seccomp/names.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "read by profiles, which come next"))]
mod names;
#[path = "seccomp/rule.rs"]
mod rule;
#[path = "seccomp/tree.rs"]
mod tree;

#[cfg(test)]
#[path = "seccomp/tests.rs"]
mod tests;

use std::collections::BTreeMap;

pub use compile::Instruction;
pub use names::Arch;
pub use rule::Action;

use super::error::{Error, Result};
use super::policy::Syscalls;
use rule::{Rule, Rules};
use tree::{Id, TooComplex, Tree};

/// A program for `seccomp(SECCOMP_SET_MODE_FILTER, …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    instructions: Vec<Instruction>,
    widened: Vec<String>,
}

impl Filter {
    /// The filter of a guest in the namespace sandbox.
    ///
    /// Without instructions, so nothing to install, when the policy switches
    /// filtering off.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a profile that cannot be read, or that needs a
    /// longer program than the kernel takes; [`Error::Unsupported`] on an
    /// architecture without a table of system calls.
    pub fn for_policy(syscalls: &Syscalls) -> Result<Self> {
        match syscalls {
            Syscalls::Unfiltered => Ok(Self { instructions: Vec::new(), widened: Vec::new() }),
            Syscalls::Default => Self::namespace_default(Arch::native()?),
            Syscalls::Profile(_) => Err(Error::unsupported(
                "seccomp_profile",
                "a profile of one's own is not read yet",
                "remove `seccomp_profile`",
            )),
        }
    }

    /// The filter of the process sandbox at level STANDARD: everything but the
    /// dangerous calls.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] on an architecture without a table.
    pub fn process_standard() -> Result<Self> {
        Self::compile(Arch::native()?, Base::Process { sockets: true })
    }

    /// The filter of the process sandbox at level STRICT with the network off:
    /// [`process_standard`](Self::process_standard), and unix sockets only.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] on an architecture without a table.
    pub fn process_strict() -> Result<Self> {
        Self::compile(Arch::native()?, Base::Process { sockets: false })
    }

    /// The default profile of the namespace sandbox, for any architecture.
    ///
    /// # Errors
    ///
    /// Only by a defect of ours: the profile outgrew what a filter can hold.
    pub fn namespace_default(arch: Arch) -> Result<Self> {
        Self::compile(arch, Base::Namespace)
    }

    /// The program. Empty when there is nothing to install.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The program as the kernel reads it: an array of `struct sock_filter`,
    /// eight bytes each, in this machine's byte order.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.instructions.len() * 8);
        for instruction in &self.instructions {
            bytes.extend(instruction.code.to_ne_bytes());
            bytes.extend([instruction.jt, instruction.jf]);
            bytes.extend(instruction.k.to_ne_bytes());
        }
        bytes
    }

    /// What the user's profile allows and the default one does not, and what is
    /// therefore still refused: the names of calls.
    #[must_use]
    pub fn widened(&self) -> &[String] {
        &self.widened
    }

    fn compile(arch: Arch, base: Base) -> Result<Self> {
        let too_complex = |TooComplex| Error::config("the default profile outgrew a filter");
        let mut tree = Tree::default();
        let decisions = base.decisions(arch, &mut tree).map_err(too_complex)?;
        let decisions: Vec<(u32, Id)> = decisions.into_iter().collect();
        let instructions = compile::compile(&mut tree, arch, &decisions).map_err(too_complex)?;
        Ok(Self { instructions, widened: Vec::new() })
    }
}

/// A profile of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// The allow-list.
    Namespace,
    /// The deny-list, with internet sockets or without.
    Process { sockets: bool },
}

impl Base {
    /// Call number → decision, for every call of the architecture.
    fn decisions(self, arch: Arch, tree: &mut Tree) -> Result<BTreeMap<u32, Id>, TooComplex> {
        let mut rules: BTreeMap<&str, Vec<Rule>> = BTreeMap::new();
        for entry in default::ENTRIES {
            for name in entry.names {
                if self.keeps(name, entry) {
                    let conditions = entry.when.to_vec();
                    rules.entry(name).or_default().push(Rule { conditions, action: entry.action });
                }
            }
        }
        let mut decisions = BTreeMap::new();
        for (name, number) in arch.calls() {
            let rules = rules.remove(name).unwrap_or_default();
            let otherwise = self.otherwise(rules.is_empty());
            decisions.insert(*number, Rules { rules, otherwise }.decide(tree)?);
        }
        Ok(decisions)
    }

    fn keeps(self, name: &str, entry: &default::Entry) -> bool {
        match self {
            Self::Namespace => true,
            Self::Process { sockets } => {
                let plain = entry.action == Action::Allow && entry.when.is_empty();
                let socket = name != "socket" || sockets || entry.when == default::UNIX_SOCKETS;
                plain || (entry.dangerous && socket)
            }
        }
    }

    fn otherwise(self, unnamed: bool) -> Action {
        match self {
            Self::Process { .. } if unnamed => Action::Allow,
            _ => default::OTHERWISE,
        }
    }
}
