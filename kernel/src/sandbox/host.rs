//! What this machine can enforce, probed by trying.

use std::sync::OnceLock;

use super::namespace;

/// What one probe found: a line of `neuroflow check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The feature: `namespaces`, `landlock`, `seccomp`, `cgroup2`.
    pub feature: &'static str,
    /// Whether it can be used.
    pub available: bool,
    /// How it was tried.
    pub tried: &'static str,
    /// What came of it.
    pub found: String,
    /// What opens it; empty where available.
    pub fix: String,
}

/// A feature that is closed here, and what opens it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// What was found by trying.
    pub reason: String,
    /// What to change.
    pub fix: String,
}

/// What this machine can enforce. Probed once, by trying; never guessed from a
/// version. Tests pass in one that lacks things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Whether a whole namespace sandbox starts; else what closed it.
    pub namespaces: Result<(), Gate>,
    /// The Landlock ABI, 0 where there is none.
    pub landlock_abi: u32,
    /// Whether a seccomp filter can be installed.
    pub seccomp: bool,
    /// Whether a cgroup v2 subtree with memory and pids can be used.
    pub cgroup2: Result<(), Gate>,
    /// Whether we act as host root.
    pub root: bool,
}

impl Host {
    /// What this machine can do; probed at the first call, then remembered.
    #[must_use]
    pub fn get() -> &'static Self {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(namespace::probe_host)
    }

    /// The findings, one a line of `neuroflow check`.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let gate = |feature, tried, gate: &Result<(), Gate>| Finding {
            feature,
            available: gate.is_ok(),
            tried,
            found: gate.as_ref().map_or_else(|gate| gate.reason.clone(), |()| "it ran".into()),
            fix: gate.as_ref().map_or_else(|gate| gate.fix.clone(), |()| String::new()),
        };
        let fix = |available: bool, fix: &str| if available { String::new() } else { fix.into() };
        let landlock = self.landlock_abi > 0;
        vec![
            gate("namespaces", "ran `true` in a whole namespace sandbox", &self.namespaces),
            Finding {
                feature: "landlock",
                available: landlock,
                tried: "asked the kernel for the revision it offers",
                found: if landlock { format!("ABI {}", self.landlock_abi) } else { "none".into() },
                fix: fix(landlock, "boot with `lsm=landlock,…` in the kernel's command line"),
            },
            Finding {
                feature: "seccomp",
                available: self.seccomp,
                tried: "asked the kernel whether a filter may end a process",
                found: if self.seccomp { "it may" } else { "it may not" }.into(),
                fix: fix(self.seccomp, "use a kernel with CONFIG_SECCOMP_FILTER"),
            },
            gate("cgroup2", "looked for a cgroup v2 subtree of our own", &self.cgroup2),
        ]
    }
}
