//! What each back end refuses, whatever a user's profile says.

use super::default::{ENTRIES, Entry, OTHERWISE, UNIX_SOCKETS};
use super::names::Arch;
use super::rule::{Action, Rule, Rules};
use super::tree::{Id, TooComplex, Tree};

/// A default profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The allow-list of the namespace sandbox.
    Namespace(Sockets),
    /// The deny-list of the process sandbox: what is dangerous is refused, what
    /// is merely needless is not.
    Process(Sockets),
}

/// Which sockets a guest can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sockets {
    /// Unix, TCP, UDP, ping and route netlink: for a guest whose network
    /// namespace is its own, or that may use the network.
    Internet,
    /// Unix sockets only: for a guest that shares its network namespace and may
    /// not use it.
    Unix,
}

impl Base {
    /// `(number, decision)` for every call of the architecture, in the order of
    /// its table.
    pub(super) fn decisions(
        self,
        arch: Arch,
        tree: &mut Tree,
    ) -> Result<Vec<(u32, Id)>, TooComplex> {
        let rules = self.rules(arch).into_iter().map(|(_, rules)| rules.decide(tree));
        let numbers = arch.calls().iter().map(|(_, number)| *number);
        numbers.zip(rules).map(|(number, id)| Ok((number, id?))).collect()
    }

    /// What it says about every call of the architecture, in the order of its
    /// table.
    pub(super) fn rules(self, arch: Arch) -> Vec<(&'static str, Rules)> {
        let mut named: Vec<(&str, &Entry)> = ENTRIES
            .iter()
            .flat_map(|entry| entry.names.iter().map(move |name| (*name, entry)))
            .filter(|(name, entry)| self.keeps(name, entry))
            .collect();
        // Stable: the entries of one call stay in the order of the profile.
        named.sort_by_key(|(name, _)| *name);
        let of_call = |&(name, _): &(&'static str, u32)| {
            let first = named.partition_point(|(other, _)| *other < name);
            let rules: Vec<Rule> = named[first..]
                .iter()
                .take_while(|(other, _)| *other == name)
                .map(|(_, entry)| Rule { conditions: entry.when.to_vec(), action: entry.action })
                .collect();
            let otherwise = self.otherwise(rules.is_empty());
            (name, Rules { rules, otherwise })
        };
        arch.calls().iter().map(of_call).collect()
    }

    fn keeps(self, name: &str, entry: &Entry) -> bool {
        let (listed, sockets) = match self {
            Self::Namespace(sockets) => (true, sockets),
            Self::Process(sockets) => {
                let plain = entry.action == Action::Allow && entry.when.is_empty();
                (plain || entry.dangerous, sockets)
            }
        };
        let socket = name != "socket" || entry.when == UNIX_SOCKETS;
        listed && (socket || sockets == Sockets::Internet)
    }

    fn otherwise(self, unnamed: bool) -> Action {
        match self {
            Self::Process(_) if unnamed => Action::Allow,
            _ => OTHERWISE,
        }
    }
}
