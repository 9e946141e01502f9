//! What the plan needs to know of this machine.

use std::path::PathBuf;

use super::step::{GUEST_ID, Owner};

/// What the plan needs to know of this machine, found by looking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The caller's ids.
    pub caller: Option<Owner>,
    /// Whether the caller is host root.
    pub root: bool,
    /// Which ids the guest has for the host.
    pub guest: Option<Owner>,
    /// Top-level system directories, as they are here.
    pub system: Vec<(PathBuf, Entry)>,
    /// Files and directories of /etc that programs need and that tell nothing.
    pub etc: Vec<(PathBuf, Entry)>,
    /// The host's resolv.conf, for a guest that has the host's network.
    pub resolv_conf: Option<String>,
    /// Who owns each of the [`shown`] paths, in that order, and whether it is a
    /// directory.
    pub shown: Vec<(Owner, bool)>,
    /// Entries of [`HIDDEN_PROC`] that exist.
    pub hidden_proc: Vec<&'static str>,
    /// The Landlock ABI; 0 for none.
    pub landlock_abi: u32,
    /// Whether the shown paths lie on filesystems that cannot be idmapped.
    pub unmappable: bool,
}

impl Surroundings {
    pub(super) fn caller(&self) -> Owner {
        self.caller.unwrap_or(Owner { uid: GUEST_ID, gid: GUEST_ID })
    }

    /// The guest's ids as the launcher sees them: rootless, it sees itself as
    /// [`GUEST_ID`] of a user namespace of its own.
    pub(super) fn guest_ids(&self) -> Owner {
        match self.guest {
            Some(guest) if self.root => guest,
            _ => Owner { uid: GUEST_ID, gid: GUEST_ID },
        }
    }
}

/// What kind of thing a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A symbolic link with this target.
    Link(PathBuf),
}

/// Parts of /proc that tell of the whole machine, or of kernel memory.
///
/// Those that only root can read are out of reach already: the guest is not root
/// for the host. They are hidden if others can read them.
pub const HIDDEN_PROC: &[&str] = &[
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kmsg",
    "/proc/kallsyms",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/slabinfo",
    "/proc/vmallocinfo",
    "/proc/pagetypeinfo",
    "/proc/iomem",
    "/proc/interrupts",
    "/proc/modules",
    // Open for writing to everybody, to be woken when the machine is short of something.
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/irq",
    "/proc/pressure/memory",
    "/proc/sysrq-trigger",
    "/proc/latency_stats",
];

/// Parts of /proc that steer the machine; they are shown read-only.
pub(super) const STEERING_PROC: &[&str] = &["/proc/sys"];

/// The devices that harm nobody, with their numbers.
pub const DEVICES: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
];
