//! The system-call filter of a guest, compiled from a profile.
//!
//! # Theory of operation
//!
//! A *profile* says for each system call, perhaps by its arguments, whether it
//! is carried out. There is a default one for each back end, and users write
//! their own in the JSON that Docker and OCI runtimes read. Three steps lead to
//! the program that the kernel runs at each call of the guest:
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

#[path = "seccomp/base.rs"]
mod base;
#[path = "seccomp/compile.rs"]
mod compile;
#[path = "seccomp/compiled.rs"]
mod compiled;
#[path = "seccomp/default.rs"]
mod default;
#[path = "seccomp/document.rs"]
mod document;
#[path = "seccomp/errno.rs"]
mod errno;
#[path = "seccomp/explain.rs"]
mod explain;
#[path = "seccomp/export.rs"]
mod export;
#[path = "seccomp/lint.rs"]
mod lint;
#[path = "seccomp/names.rs"]
mod names;
#[path = "seccomp/profile.rs"]
mod profile;
#[path = "seccomp/record.rs"]
mod record;
#[path = "seccomp/rule.rs"]
mod rule;
#[path = "seccomp/source.rs"]
mod source;
#[path = "seccomp/target.rs"]
mod target;
#[cfg(test)]
#[path = "seccomp/tests.rs"]
mod tests;
#[path = "seccomp/tree.rs"]
mod tree;
#[path = "seccomp/widening.rs"]
mod widening;

use std::collections::HashMap;

pub use base::{Base, Sockets};
pub use compile::Instruction;
pub use explain::Explanation;
pub use export::default_json;
pub use lint::{Lint, PYTHON_STARTUP, STARTUP};
pub use names::Arch;
pub use profile::Profile;
pub use record::{Recording, record};
pub use rule::Action;
pub use target::{Kernel, Target};
pub use widening::Widening;

use super::error::{Error, Result};
use super::policy::Syscalls;
use rule::ENOSYS;
use tree::{TooComplex, Tree};

/// A program for `seccomp(SECCOMP_SET_MODE_FILTER, …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    instructions: Vec<Instruction>,
    widened: Vec<Widening>,
    cautions: Vec<String>,
}

impl Filter {
    /// The filter of a guest in the namespace sandbox, with a network namespace
    /// of its own.
    ///
    /// Without instructions, so nothing to install, when the policy switches
    /// filtering off.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a profile with mistakes, under which no program can
    /// start, or that needs a longer program than the kernel takes;
    /// [`Error::Unsupported`] for what a profile asks and we do not do, and on an
    /// architecture without a table of system calls.
    pub fn for_policy(syscalls: &Syscalls) -> Result<Self> {
        Self::on(Base::Namespace(Sockets::Internet), syscalls)
    }

    /// The filter of a guest that runs on `base`: the base itself, or the user's
    /// profile and the base together.
    ///
    /// # Errors
    ///
    /// As [`for_policy`](Self::for_policy).
    pub fn on(base: Base, syscalls: &Syscalls) -> Result<Self> {
        match syscalls {
            Syscalls::Unfiltered => Ok(Self::ours(Vec::new())),
            Syscalls::Default => Self::of_base(base, Arch::native()?),
            Syscalls::Profile(text) => {
                let profile = Profile::read(text)?;
                let lint = Lint::of(&profile)?;
                lint.refuse_what_cannot_start()?;
                Ok(Self { cautions: lint.cautions(), ..Self::combined(base, &profile)? })
            }
        }
    }

    /// The filter of the process sandbox at level STANDARD: everything but the
    /// dangerous calls.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] on an architecture without a table.
    pub fn process_standard() -> Result<Self> {
        Self::of_base(Base::Process(Sockets::Internet), Arch::native()?)
    }

    /// The filter of the process sandbox at level STRICT with the network off:
    /// [`process_standard`](Self::process_standard), and unix sockets only.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] on an architecture without a table.
    pub fn process_strict() -> Result<Self> {
        Self::of_base(Base::Process(Sockets::Unix), Arch::native()?)
    }

    /// The default filter of a back end, for any architecture.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], by a defect of ours only: it outgrew what the kernel
    /// takes.
    pub fn of_base(base: Base, arch: Arch) -> Result<Self> {
        match compiled::program(base, arch) {
            Some(program) => Ok(Self::ours(program.to_vec())),
            None => Self::compile(base, arch).map_err(too_complex),
        }
    }

    fn compile(base: Base, arch: Arch) -> Result<Self, TooComplex> {
        let mut tree = Tree::default();
        let decisions = base.decisions(arch, &mut tree)?;
        let unknown = Action::Errno(ENOSYS);
        compile::compile(&mut tree, arch, &decisions, unknown).map(Self::ours)
    }

    /// `profile` and `base` together: of two verdicts the stricter.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when that needs a longer program than the kernel takes.
    pub fn combined(base: Base, profile: &Profile) -> Result<Self> {
        Self::combine(base, profile).map_err(too_complex)
    }

    fn combine(base: Base, profile: &Profile) -> Result<Self, TooComplex> {
        let arch = profile.arch;
        let mut tree = Tree::default();
        let mut decisions = Vec::with_capacity(arch.calls().len());
        let mut widened = Vec::new();
        let mut seen = HashMap::new();
        let ours = base.decisions(arch, &mut tree)?;
        for ((name, _), (number, ours)) in arch.calls().iter().zip(ours) {
            let theirs = profile.rules(name).decide(&mut tree)?;
            if profile.names(name) {
                widened.extend(widening::of(&tree, name, theirs, ours));
            }
            decisions.push((number, tree.both(theirs, ours, &mut seen)?));
        }
        if profile.otherwise.lets_through() {
            widened.insert(0, Widening::Everything);
        }
        let unknown = profile.otherwise.and(Action::Errno(ENOSYS));
        let instructions = compile::compile(&mut tree, arch, &decisions, unknown)?;
        Ok(Self { widened, ..Self::ours(instructions) })
    }

    fn ours(instructions: Vec<Instruction>) -> Self {
        Self { instructions, widened: Vec::new(), cautions: Vec::new() }
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
    /// therefore still refused.
    #[must_use]
    pub fn widened(&self) -> &[Widening] {
        &self.widened
    }

    /// One sentence for each kind of program that the user's profile keeps from
    /// starting, though others can.
    #[must_use]
    pub fn cautions(&self) -> &[String] {
        &self.cautions
    }

    /// What the receipt says about this filter, in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut line = format!("seccomp filter of {} instructions", self.instructions.len());
        let (parts, wholes): (Vec<&Widening>, Vec<&Widening>) =
            self.widened.iter().partition(|widening| widening.is_in_part());
        for (what, widened) in
            [("though the profile allows it", wholes), ("with some arguments", parts)]
        {
            if !widened.is_empty() {
                let widened = widening::listed(&widened);
                line.push_str(&format!("; still refused {what}: {widened}"));
            }
        }
        line
    }
}

fn too_complex(TooComplex: TooComplex) -> Error {
    Error::config(format!(
        "the seccomp profile needs more than the {} instructions a filter can have; merge entries \
         that differ in their arguments only",
        compile::MOST_INSTRUCTIONS
    ))
}
