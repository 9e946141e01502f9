//! The calls a program makes, as a profile of its own.

use std::collections::BTreeSet;

#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
#[path = "record/linux.rs"]
mod imp;
#[cfg(not(all(target_os = "linux", not(neuroflow_portable))))]
#[path = "record/unsupported.rs"]
mod imp;
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
#[path = "record/sys.rs"]
mod sys;

pub use imp::record;

use super::export::profile_json;

/// What is part of every profile, whether it was seen or not: the start and end
/// of any program, what the kernel itself makes of an interrupted call, and
/// clocks, which libc reads without a call on most machines but not on all.
const ALWAYS: &[&str] = &[
    "clock_gettime",
    "execve",
    "exit",
    "exit_group",
    "gettimeofday",
    "restart_syscall",
    "rt_sigreturn",
    "write",
];

/// What a program and all it started called, from its `execve` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The calls that the default profile let through, at least once.
    pub calls: BTreeSet<&'static str>,
    /// How it ended: its exit code, or 128 and the number of the signal.
    pub exit_code: u8,
}

impl Recording {
    /// The smallest profile under which the program could do the same.
    ///
    /// It names the calls and not their arguments, which the default profile
    /// limits anyway. Another input may lead to other calls: record a few runs
    /// that together do all the program is for.
    #[must_use]
    pub fn profile(&self) -> String {
        let calls: BTreeSet<&str> = self.calls.iter().chain(ALWAYS).copied().collect();
        profile_json(&calls.into_iter().collect::<Vec<_>>())
    }
}
