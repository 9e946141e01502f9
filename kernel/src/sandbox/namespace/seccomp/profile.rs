//! Profiles as people write them: the JSON of Docker and OCI runtimes.
//!
//! Nothing in a profile is passed over in silence: a field or a name that means
//! nothing is an error with its place, and conditions of whole entries
//! (`includes`, `excludes`) are decided here, for a guest without capabilities.

use std::collections::HashMap;

use super::document::{ActionName, Argument, Document, Entry, Operator, Scope};
use super::errno;
use super::names::{self, Arch};
use super::rule::{Action, Comparison, Condition, EPERM, Rule, Rules};
use super::source::{Problems, Source, shown};
use super::target::{ARCHITECTURES, CAPABILITIES, Kernel, Target};
use crate::sandbox::error::{Error, Result};

/// A profile read for one target: what it says about each of its system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(super) arch: Arch,
    pub(super) otherwise: Action,
    rules: HashMap<&'static str, Vec<Rule>>,
    pub(super) notes: Vec<String>,
}

impl Profile {
    /// Reads `text` for this machine.
    ///
    /// # Errors
    ///
    /// As [`read_for`](Self::read_for).
    pub fn read(text: &str) -> Result<Self> {
        Self::read_for(text, Target::host()?)
    }

    /// Reads `text`, in which `//` comments are allowed.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with every mistake and its place;
    /// [`Error::Unsupported`] for actions that need a supervisor (`SCMP_ACT_TRACE`,
    /// `SCMP_ACT_NOTIFY`) and for flags we do not set.
    pub fn read_for(text: &str, target: Target) -> Result<Self> {
        let source = Source::new(text)?;
        let document: Document = serde_json::from_str(source.json()).map_err(|problem| {
            Error::config(format!("seccomp profile: {}", in_our_words(&problem.to_string())))
        })?;
        Reader { target, problems: Problems::new(&source), notes: Vec::new() }.read(&document)
    }

    /// What it says about the call `name`.
    pub(super) fn rules(&self, name: &str) -> Rules {
        let rules = self.rules.get(name).cloned().unwrap_or_default();
        Rules { rules, otherwise: self.otherwise }
    }

    /// Whether an entry of it names the call.
    pub(super) fn names(&self, name: &str) -> bool {
        self.rules.contains_key(name)
    }

    /// The calls that one entry allows and another refuses without condition.
    pub(super) fn contradictions(&self) -> impl Iterator<Item = &'static str> {
        let mut names: Vec<&'static str> = self
            .rules
            .iter()
            .filter(|(_, rules)| {
                let refused =
                    |rule: &Rule| rule.conditions.is_empty() && !rule.action.lets_through();
                rules.iter().any(refused) && rules.iter().any(|rule| rule.action.lets_through())
            })
            .map(|(name, _)| *name)
            .collect();
        names.sort_unstable();
        names.into_iter()
    }
}

/// serde speaks of its own types; a reader of JSON knows none of them.
fn in_our_words(problem: &str) -> String {
    let types = ["Document", "Entry", "Argument", "Scope", "ArchMap"];
    let objects = types.iter().fold(problem.to_owned(), |problem, name| {
        problem.replace(&format!("struct {name}"), "an object")
    });
    shown(&objects)
}

struct Reader<'a> {
    target: Target,
    problems: Problems<'a>,
    notes: Vec<String>,
}

impl Reader<'_> {
    fn read(mut self, document: &Document) -> Result<Profile> {
        unsupported(document)?;
        let otherwise = {
            let errno = (document.default_errno_ret, document.default_errno.as_deref());
            self.action(document.default_action, errno)?
        };
        self.interfaces(document);
        let mut rules: HashMap<&'static str, Vec<Rule>> = HashMap::new();
        for entry in document.syscalls.iter().flatten() {
            self.entry(entry, &mut rules)?;
        }
        self.problems.none()?;
        Ok(Profile { arch: self.target.arch, otherwise, rules, notes: self.notes })
    }

    fn entry(&mut self, entry: &Entry, rules: &mut HashMap<&'static str, Vec<Rule>>) -> Result<()> {
        let names = self.names_of(entry);
        let conditions = self.alternatives(entry);
        if !self.applies(entry)? {
            return Ok(());
        }
        let action = self.action(entry.action, (entry.errno_ret, entry.errno.as_deref()))?;
        for name in names {
            let rules = rules.entry(name).or_default();
            // One more than a filter takes: that is told when it is compiled.
            let room = (Rules::MOST_RULES + 1).saturating_sub(rules.len());
            rules.extend(conditions.iter().take(room).map(|conditions| {
                let conditions = conditions.clone();
                Rule { conditions, action }
            }));
        }
        Ok(())
    }

    /// The entry's calls that exist on the target; a name that exists nowhere
    /// is a problem.
    fn names_of(&mut self, entry: &Entry) -> Vec<&'static str> {
        let all = || entry.names.iter().flatten().chain(&entry.name);
        if all().next().is_none() {
            self.problems.add(|| "an entry of `syscalls` names no call".into());
        }
        let calls = self.target.arch.calls();
        let mut here = Vec::new();
        for name in all() {
            match calls.binary_search_by_key(&name.as_str(), |(known, _)| known) {
                Ok(at) => here.push(calls[at].0),
                Err(_) if names::exists_anywhere(name) => {}
                Err(_) => self.problems.add_at(name, || {
                    let hint = match names::nearest(name) {
                        Some(known) => format!("; did you mean `{known}`?"),
                        None => String::new(),
                    };
                    format!("unknown system call `{name}`{hint}")
                }),
            }
        }
        here.sort_unstable();
        here.dedup();
        here
    }

    /// Conditions that must hold together, one list for each way to match.
    ///
    /// Two comparisons of one argument are alternatives, as in container
    /// runtimes: libseccomp compares an argument once in a rule, and runc then
    /// makes each comparison a rule.
    fn alternatives(&mut self, entry: &Entry) -> Vec<Vec<Condition>> {
        let arguments: &[Argument] = entry.args.as_deref().unwrap_or_default();
        let mut conditions = Vec::with_capacity(arguments.len());
        for argument in arguments {
            match u8::try_from(argument.index) {
                Ok(index) if index < 6 => conditions.push(condition(index, argument)),
                _ => self.problems.add(|| {
                    let index = argument.index;
                    format!("argument index {index} in an entry: a call has arguments 0 to 5")
                }),
            }
        }
        let mut indices: Vec<u8> = conditions.iter().map(|condition| condition.argument).collect();
        indices.sort_unstable();
        if indices.windows(2).any(|pair| pair[0] == pair[1]) {
            let name = entry.names.iter().flatten().chain(&entry.name).next();
            self.notes.push(format!(
                "the entry for `{}` compares one argument twice: as in container runtimes, either \
                 comparison is enough",
                name.map_or("", String::as_str)
            ));
            return conditions.into_iter().map(|condition| vec![condition]).collect();
        }
        vec![conditions]
    }

    /// Whether an entry counts: for a guest without capabilities, on the
    /// target's architecture and kernel.
    fn applies(&mut self, entry: &Entry) -> Result<bool> {
        let excluded = match &entry.excludes {
            None => false,
            Some(scope) => {
                let kernel = self.kernel_is_at_least(scope)?;
                self.check_capabilities(scope);
                self.names_our_architecture(scope) == Some(true) || kernel == Some(true)
            }
        };
        let included = match &entry.includes {
            None => true,
            Some(scope) => {
                let kernel = self.kernel_is_at_least(scope)?;
                self.names_our_architecture(scope) != Some(false)
                    && kernel != Some(false)
                    && !self.check_capabilities(scope)
            }
        };
        Ok(included && !excluded)
    }

    /// Whether the scope names capabilities. The guest has none.
    fn check_capabilities(&mut self, scope: &Scope) -> bool {
        let named = scope.caps.as_deref().unwrap_or_default();
        for capability in named {
            if !CAPABILITIES.contains(&capability.trim_start_matches("CAP_")) {
                let text = || format!("unknown capability `{capability}`");
                self.problems.add_at(capability, text);
            }
        }
        !named.is_empty()
    }

    /// `None` where the scope names no architecture.
    fn names_our_architecture(&self, scope: &Scope) -> Option<bool> {
        let named = scope.arches.as_deref().filter(|named| !named.is_empty())?;
        Some(named.iter().any(|arch| arch == self.target.arch.go_name()))
    }

    /// `None` where the scope names no version.
    fn kernel_is_at_least(&mut self, scope: &Scope) -> Result<Option<bool>> {
        let Some(text) = scope.min_kernel.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let Some(least) = Kernel::parse(text) else {
            self.problems.add_at(text, || format!("`{text}` is no kernel version such as 4.8"));
            return Ok(None);
        };
        Ok(Some(self.kernel()? >= least))
    }

    fn kernel(&self) -> Result<Kernel> {
        self.target.kernel.ok_or_else(|| {
            Error::unsupported(
                "seccomp_profile",
                "it depends on `minKernel`, and the version of this kernel is not known",
                "remove `minKernel` from the profile",
            )
        })
    }

    fn action(
        &mut self,
        action: ActionName,
        (number, name): (Option<u32>, Option<&str>),
    ) -> Result<Action> {
        if action != ActionName::Errno && (number.is_some() || name.is_some()) {
            self.problems.add(|| "an errno means something for SCMP_ACT_ERRNO alone".into());
        }
        Ok(match action {
            ActionName::Allow => Action::Allow,
            ActionName::Log => Action::Log,
            ActionName::Errno => Action::Errno(self.errno(number, name)),
            ActionName::Trap => Action::Trap,
            ActionName::KillThread => Action::KillThread,
            ActionName::KillProcess => Action::KillProcess,
            ActionName::Trace | ActionName::Notify => return Err(needs_supervisor(action)),
        })
    }

    fn errno(&mut self, number: Option<u32>, name: Option<&str>) -> u16 {
        let found = match (number, name) {
            (_, Some(name)) => errno::parse(name),
            (Some(number), None) => errno::number(number),
            (None, None) => Some(EPERM),
        };
        if found.is_none() {
            match (number, name) {
                (_, Some(name)) => {
                    self.problems.add_at(name, || format!("there is no errno `{name}`"));
                }
                (number, None) => {
                    let number = number.unwrap_or_default();
                    self.problems.add(|| format!("there is no errno {number}"));
                }
            }
        }
        found.unwrap_or(EPERM)
    }

    /// Other interfaces of the machine that the profile would open.
    fn interfaces(&mut self, document: &Document) {
        let native = self.target.arch.oci_name();
        let maps = || document.arch_map.iter().flatten();
        let listed = document.architectures.iter().flatten();
        let subordinate = |native_only: bool| {
            maps()
                .filter(move |map| !native_only || map.architecture == native)
                .flat_map(|map| map.sub_architectures.iter().flatten())
        };
        let mut opened: Vec<&str> = listed
            .clone()
            .chain(subordinate(true))
            .map(String::as_str)
            .filter(|name| *name != native)
            .collect();
        opened.sort_unstable();
        opened.dedup();
        if !opened.is_empty() {
            self.notes.push(format!(
                "calls through other interfaces ({}) stay closed: a guest that makes one is ended",
                shown(&opened.join(", "))
            ));
        }
        let all = maps().map(|map| &map.architecture).chain(listed).chain(subordinate(false));
        for name in all {
            if !ARCHITECTURES.contains(&name.trim_start_matches("SCMP_ARCH_")) {
                self.problems.add_at(name, || format!("unknown architecture `{name}`"));
            }
        }
    }
}

fn unsupported(document: &Document) -> Result<()> {
    let refuse = |what: &str, reason: &str| {
        Err(Error::unsupported(
            format!("seccomp_profile: {what}"),
            reason.to_owned(),
            format!("remove `{what}` from the profile"),
        ))
    };
    // TSYNC is for programs with threads; ours has one when it installs.
    let mut flags = document.flags.iter().flatten();
    if let Some(flag) = flags.find(|flag| *flag != "SECCOMP_FILTER_FLAG_TSYNC") {
        return refuse(&shown(flag), "filters are installed without flags");
    }
    if document.listener_path.is_some() || document.listener_metadata.is_some() {
        return refuse("listenerPath", "no supervisor is asked about system calls");
    }
    Ok(())
}

fn needs_supervisor(name: ActionName) -> Error {
    let name = if name == ActionName::Trace { "SCMP_ACT_TRACE" } else { "SCMP_ACT_NOTIFY" };
    Error::unsupported(
        format!("seccomp_profile: {name}"),
        "no supervisor is asked about system calls: one that decides on memory which the guest \
         can still change is no protection",
        "use SCMP_ACT_ERRNO or SCMP_ACT_KILL_PROCESS",
    )
}

fn condition(argument: u8, written: &Argument) -> Condition {
    let value = written.value;
    let comparison = match written.op {
        Operator::NotEqual => Comparison::NotEqual(value),
        Operator::Less => Comparison::Less(value),
        Operator::AtMost => Comparison::AtMost(value),
        Operator::Equal => Comparison::Equal(value),
        Operator::AtLeast => Comparison::AtLeast(value),
        Operator::Greater => Comparison::Greater(value),
        Operator::MaskedEqual => Comparison::Masked { mask: value, value: written.value_two },
    };
    Condition { argument, comparison }
}
