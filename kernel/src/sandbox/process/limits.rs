//! The resource limits of a guest, as the numbers `setrlimit` takes.
//!
//! They are set on the guest alone, never on the host, and everything the guest
//! starts inherits them. A guest can lower them and not raise them.

use super::super::policy::Policy;

/// Added to the memory limit for `RLIMIT_AS`, which counts address space: the
/// code, the stacks and what is reserved and never touched take part of it.
pub(crate) const ADDRESS_SPACE_HEADROOM: u64 = 64 << 20;

/// One resource with its soft and hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResourceLimit {
    /// The name in the documentation: `RLIMIT_AS`.
    pub(crate) name: &'static str,
    /// The number `setrlimit` knows it by.
    pub(crate) resource: u32,
    /// Where the kernel begins to refuse or to signal.
    pub(crate) soft: u64,
    /// How far the guest may raise it.
    pub(crate) hard: u64,
}

/// `RLIMIT_*` is an enum type of glibc's in one place and an int in another.
macro_rules! resource {
    ($name:ident, $soft:expr, $hard:expr) => {
        ResourceLimit {
            name: stringify!($name),
            resource: libc::$name as u32,
            soft: $soft,
            hard: $hard,
        }
    };
}

/// Open files, where the config has no word on them.
const OPEN_FILES: u64 = 1024;

/// The limits of `policy`, in the order in which they are set.
#[allow(clippy::unnecessary_cast, reason = "RLIMIT_* has another type on each system")]
pub(crate) fn of(policy: &Policy) -> Vec<ResourceLimit> {
    let mut limits = vec![
        // No core file: it would be a copy of the guest's memory in the work dir.
        resource!(RLIMIT_CORE, 0, 0),
        resource!(RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        resource!(RLIMIT_MEMLOCK, 0, 0),
    ];
    #[cfg(target_os = "linux")]
    limits.extend([
        // POSIX message queues outlive who made them; no realtime priority.
        resource!(RLIMIT_MSGQUEUE, 0, 0),
        resource!(RLIMIT_NICE, 0, 0),
        resource!(RLIMIT_RTPRIO, 0, 0),
    ]);
    if let Some(limit) = policy.cpu_time {
        // SIGXCPU at the soft limit can be ignored, SIGKILL at the hard one not.
        limits.push(resource!(RLIMIT_CPU, limit.value, limit.value.saturating_add(1)));
    }
    if let Some(limit) = policy.file_size {
        limits.push(resource!(RLIMIT_FSIZE, limit.value, limit.value));
    }
    if let Some(limit) = policy.memory {
        let space = limit.value.saturating_add(ADDRESS_SPACE_HEADROOM);
        limits.push(resource!(RLIMIT_AS, space, space));
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::super::super::config::SandboxConfig;
    use super::*;

    fn find(config: &SandboxConfig, name: &str) -> Option<(u64, u64)> {
        let limits = of(&Policy::new(config).unwrap());
        limits.iter().find(|limit| limit.name == name).map(|limit| (limit.soft, limit.hard))
    }

    #[test]
    fn cpu_limit_ends_a_guest_that_ignores_the_first_signal() {
        let config = SandboxConfig { cpu_time_limit: Some(5), ..SandboxConfig::default() };

        assert_eq!(find(&config, "RLIMIT_CPU"), Some((5, 6)));
    }

    #[test]
    fn address_space_has_headroom_above_the_memory_limit() {
        let memory = |memory_limit| {
            find(&SandboxConfig { memory_limit, ..SandboxConfig::default() }, "RLIMIT_AS")
        };

        assert_eq!(memory(Some(64 << 20)), Some((128 << 20, 128 << 20)));
        assert_eq!(memory(None), None);
    }

    #[test]
    fn core_files_are_off_whatever_the_config() {
        let unlimited = SandboxConfig {
            cpu_time_limit: None,
            memory_limit: None,
            file_size_limit: None,
            max_processes: None,
            ..SandboxConfig::default()
        };

        assert_eq!(find(&unlimited, "RLIMIT_CORE"), Some((0, 0)));
        assert_eq!(find(&unlimited, "RLIMIT_CPU"), None);
    }
}
