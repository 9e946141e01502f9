//! The step that applies Landlock.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use neuroflow_launcher::wire::{NO_SLOT, PSEUDO_STORE};

use super::super::super::plan::{LandlockRule, Rights};
use super::super::encode::{Arg, Encoder, List};
use super::mounts::close;
use super::{SCRATCH, SCRATCH_2};

// From `uapi/linux/landlock.h`.
mod access {
    pub(super) const EXECUTE: u64 = 1;
    pub(super) const WRITE_FILE: u64 = 1 << 1;
    pub(super) const READ_FILE: u64 = 1 << 2;
    pub(super) const READ_DIR: u64 = 1 << 3;
    pub(super) const TRUNCATE: u64 = 1 << 14;
    pub(super) const IOCTL_DEV: u64 = 1 << 15;
    /// What a rule on a file may hold.
    pub(super) const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
    /// Signals, from ABI 6 on.
    pub(super) const SCOPE_SIGNAL: u64 = 1 << 1;
    /// Abstract unix sockets and signals, from ABI 6 on.
    pub(super) const SCOPES: u64 = 0b11;
}

/// Every right that a revision of Landlock knows.
fn handled(abi: u32) -> u64 {
    match abi {
        0 => 0,
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    }
}

/// A domain that handles nothing but signals: `struct landlock_ruleset_attr` with
/// no right of files or of the network.
pub(super) fn scope_signals(e: &mut Encoder, list: List) {
    let words = [0, 0, access::SCOPE_SIGNAL];
    let attributes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let attributes = e.bytes(&attributes);
    let create = [attributes.into(), 24.into(), 0.into()];
    e.call_into(SCRATCH, list, libc::SYS_landlock_create_ruleset, &create);
    e.call(list, libc::SYS_landlock_restrict_self, &[Arg::Slot(SCRATCH), 0.into()]);
}

pub(super) fn landlock(e: &mut Encoder, list: List, abi: u32, rules: &[LandlockRule]) {
    let handled = handled(abi);
    // `struct landlock_ruleset_attr`: fs, net, scoped; older kernels know less.
    let (words, length): (&[u64], i32) = match abi {
        0..=3 => (&[handled], 8),
        4 | 5 => (&[handled, 0], 16),
        _ => (&[handled, 0, access::SCOPES], 24),
    };
    let attributes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let attributes = e.bytes(&attributes);
    e.call_into(
        SCRATCH,
        list,
        libc::SYS_landlock_create_ruleset,
        &[attributes.into(), length.into(), 0.into()],
    );
    for rule in rules {
        let rights = handled
            & match rule.rights {
                Rights::List => access::READ_DIR,
                Rights::Read => access::READ_DIR | access::READ_FILE,
                Rights::ReadExecute => access::READ_DIR | access::READ_FILE | access::EXECUTE,
                Rights::Device => {
                    access::READ_DIR
                        | access::READ_FILE
                        | access::WRITE_FILE
                        | access::IOCTL_DEV
                        | access::TRUNCATE
                }
                Rights::All => u64::MAX,
            };
        let rights = if rule.directory { rights } else { rights & access::OF_FILES };
        let path = e.text(OsStr::as_bytes(rule.path.as_os_str()));
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        e.call_into(
            SCRATCH_2,
            list,
            libc::SYS_openat,
            &[libc::AT_FDCWD.into(), path.into(), flags.into(), 0.into()],
        );
        // `struct landlock_path_beneath_attr`, packed: rights, parent_fd.
        let mut attributes = rights.to_ne_bytes().to_vec();
        attributes.resize(16, 0);
        let attributes = e.bytes(&attributes);
        e.pseudo(list, PSEUDO_STORE, &[attributes.plus(8).into(), Arg::from(SCRATCH_2)], NO_SLOT);
        // LANDLOCK_RULE_PATH_BENEATH
        e.call(
            list,
            libc::SYS_landlock_add_rule,
            &[Arg::Slot(SCRATCH), 1.into(), attributes.into(), 0.into()],
        );
        close(e, list, SCRATCH_2);
    }
    e.call(list, libc::SYS_landlock_restrict_self, &[Arg::Slot(SCRATCH), 0.into()]);
    close(e, list, SCRATCH);
}
