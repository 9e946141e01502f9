//! What this machine can enforce, probed by trying.

use std::sync::OnceLock;

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The feature: `user_namespaces`, `landlock`, `seccomp`, `cgroup2`, ….
    pub feature: &'static str,
    /// Whether it can be used.
    pub available: bool,
    /// How it was tried and what came of it: `unshare + mount in a child`.
    pub tried: String,
    /// What closes it and how to open it; empty where available.
    pub fix: String,
}

/// What this machine can enforce. Probed once, by trying in a child; never
/// guessed from a version. Tests pass in one that lacks things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A user namespace in which a mount works, with pid, net, ipc, uts and
    /// cgroup namespaces; else what closed it.
    pub namespaces: Result<(), Gate>,
    /// The Landlock ABI, 0 where there is none.
    pub landlock_abi: u32,
    /// Whether a seccomp filter can be installed.
    pub seccomp: bool,
    /// Whether a delegated cgroup v2 subtree with memory and pids is usable.
    pub cgroup2: Result<(), Gate>,
    /// Whether we act as host root.
    pub root: bool,
}

/// A feature that is closed here, and what opens it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// What was found by trying.
    pub reason: String,
    /// What to change.
    pub fix: String,
}

impl Host {
    /// What this machine can do; probed at the first call, then remembered.
    #[must_use]
    pub fn get() -> &'static Self {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(Self::probe)
    }

    fn probe() -> Self {
        let unprobed = || Err(Gate { reason: "not probed".into(), fix: String::new() });
        Self {
            namespaces: unprobed(),
            landlock_abi: 0,
            seccomp: false,
            cgroup2: unprobed(),
            root: false,
        }
    }
}
