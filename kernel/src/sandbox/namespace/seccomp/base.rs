//! What each back end refuses, whatever a user's profile says.

use std::collections::HashMap;

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
        let mut rules: HashMap<&str, Vec<Rule>> = HashMap::with_capacity(arch.calls().len());
        for entry in ENTRIES {
            for name in entry.names.iter().filter(|name| self.keeps(name, entry)) {
                let conditions = entry.when.to_vec();
                rules.entry(name).or_default().push(Rule { conditions, action: entry.action });
            }
        }
        let mut decide = |&(name, number): &(&str, u32)| {
            let rules = rules.remove(name).unwrap_or_default();
            let otherwise = self.otherwise(rules.is_empty());
            Ok((number, Rules { rules, otherwise }.decide(tree)?))
        };
        arch.calls().iter().map(&mut decide).collect()
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
