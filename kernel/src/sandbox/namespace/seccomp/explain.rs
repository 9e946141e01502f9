//! What a filter does with each system call, in words.

use std::collections::BTreeMap;
use std::fmt;

use super::base::Base;
use super::names::Arch;
use super::profile::Profile;
use super::rule::{Action, Comparison, Condition, ENOSYS, Rules};
use super::tree::{TooComplex, Tree};
use super::{errno, too_complex};
use crate::sandbox::error::Result;

const WIDTH: usize = 100;

/// What is done with each call.
///
/// Its `Display` is what `neuroflow seccomp explain` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The calls by what is done with them, whatever their arguments.
    always: BTreeMap<Action, Vec<&'static str>>,
    /// Calls whose arguments count, each with its rules.
    by_arguments: Vec<(&'static str, Vec<String>)>,
    unknown: Action,
}

impl Explanation {
    /// Explains a default profile.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::sandbox::Error::Config), by a defect of ours only.
    pub fn of_base(base: Base, arch: Arch) -> Result<Self> {
        Self::new(base, arch, None).map_err(too_complex)
    }

    /// Explains a user's profile together with the default one it runs on.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::sandbox::Error::Config) when the filter would be
    /// longer than the kernel takes.
    pub fn of(base: Base, profile: &Profile) -> Result<Self> {
        Self::new(base, profile.arch, Some(profile)).map_err(too_complex)
    }

    fn new(base: Base, arch: Arch, profile: Option<&Profile>) -> Result<Self, TooComplex> {
        let mut tree = Tree::default();
        let mut always: BTreeMap<Action, Vec<&'static str>> = BTreeMap::new();
        let mut by_arguments = Vec::new();
        for (name, ours) in base.rules(arch) {
            let theirs = profile.map(|profile| profile.rules(name));
            let mut decision = ours.decide(&mut tree)?;
            if let Some(theirs) = &theirs {
                let theirs = theirs.decide(&mut tree)?;
                decision = tree.both(theirs, decision, &mut std::collections::HashMap::new())?;
            }
            match tree.constant(decision) {
                Some(action) => always.entry(action).or_default().push(name),
                None => by_arguments.push((name, in_words(theirs.as_ref(), &ours))),
            }
        }
        let unknown = Action::Errno(ENOSYS);
        let unknown = profile.map_or(unknown, |profile| profile.otherwise.and(unknown));
        Ok(Self { always, by_arguments, unknown })
    }
}

/// The rules of one call, the profile's before ours where both matter.
fn in_words(theirs: Option<&Rules>, ours: &Rules) -> Vec<String> {
    let mut lines = Vec::new();
    for (whose, rules) in [("profile: ", theirs), ("default: ", Some(ours))] {
        let Some(rules) = rules else { continue };
        let whose = if theirs.is_some() { whose } else { "" };
        lines.extend(rules.rules.iter().map(|rule| {
            let conditions: Vec<String> = rule.conditions.iter().map(condition).collect();
            let when = match conditions.as_slice() {
                [] => String::new(),
                conditions => format!(" when {}", conditions.join(" and ")),
            };
            format!("{whose}{}{when}", rule.action)
        }));
        let unconditional = rules.rules.iter().any(|rule| rule.conditions.is_empty());
        if !unconditional {
            lines.push(format!("{whose}{} otherwise", rules.otherwise));
        }
    }
    lines
}

fn condition(condition: &Condition) -> String {
    let argument = format!("argument {}", condition.argument);
    match condition.comparison {
        Comparison::NotEqual(value) => format!("{argument} != {value:#x}"),
        Comparison::Less(value) => format!("{argument} < {value:#x}"),
        Comparison::AtMost(value) => format!("{argument} <= {value:#x}"),
        Comparison::Equal(value) => format!("{argument} == {value:#x}"),
        Comparison::AtLeast(value) => format!("{argument} >= {value:#x}"),
        Comparison::Greater(value) => format!("{argument} > {value:#x}"),
        Comparison::Masked { mask: 0xffff_ffff, value } => format!("{argument} == {value:#x}"),
        Comparison::Masked { mask, value } => format!("{argument} & {mask:#x} == {value:#x}"),
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allowed"),
            Self::Log => f.write_str("allowed and logged"),
            Self::Errno(number) => match errno::name(*number) {
                Some(name) => write!(f, "refused with {name}"),
                None => write!(f, "refused with errno {number}"),
            },
            Self::Trap => f.write_str("refused with SIGSYS"),
            Self::KillThread => f.write_str("ends the thread"),
            Self::KillProcess => f.write_str("ends the process"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (action, calls) in &self.always {
            writeln!(f, "{action} ({}):", calls.len())?;
            wrapped(f, calls)?;
        }
        if !self.by_arguments.is_empty() {
            writeln!(f, "by their arguments, the strictest rule that matches ({}):", {
                self.by_arguments.len()
            })?;
            for (name, rules) in &self.by_arguments {
                writeln!(f, "  {name}")?;
                for rule in rules {
                    writeln!(f, "    {rule}")?;
                }
            }
        }
        writeln!(f, "any other number: {}", self.unknown)?;
        writeln!(f, "a call through another interface (i386, x32, ARM32): not carried out")
    }
}

/// Names in lines of a readable width, indented.
fn wrapped(f: &mut fmt::Formatter<'_>, names: &[&str]) -> fmt::Result {
    let mut line = String::new();
    for name in names {
        if !line.is_empty() && line.len() + name.len() + 3 > WIDTH {
            writeln!(f, " {line}")?;
            line.clear();
        }
        line.push(' ');
        line.push_str(name);
    }
    writeln!(f, " {line}")
}
