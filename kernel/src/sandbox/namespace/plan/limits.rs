//! The resource limits of the guest and all it starts.

use super::step::Step;
use crate::sandbox::policy::Policy;

/// Resource numbers of Linux (`asm-generic/resource.h`); the same on x86-64 and
/// AArch64.
mod resource {
    pub(super) const CPU: u32 = 0;
    pub(super) const FSIZE: u32 = 1;
    pub(super) const DATA: u32 = 2;
    pub(super) const CORE: u32 = 4;
    pub(super) const NPROC: u32 = 6;
    pub(super) const NOFILE: u32 = 7;
    pub(super) const MEMLOCK: u32 = 8;
    pub(super) const AS: u32 = 9;
    pub(super) const MSGQUEUE: u32 = 12;
    pub(super) const NICE: u32 = 13;
    pub(super) const RTPRIO: u32 = 14;
}

/// What stacks and the loader may map beyond the memory limit, where private
/// writable mappings stand in for memory.
pub const DATA_HEADROOM: u64 = 64 << 20;

/// What may be mapped beyond the memory limit in all. Much is only reserved:
/// glibc's allocator takes 64 MiB of address space for every thread, of which
/// the default limit allows 64.
pub const ADDRESS_SPACE_HEADROOM: u64 = 4 << 30;

/// Files a guest may have open at once.
const OPEN_FILES: u64 = 1024;

pub(super) fn resource_limits(policy: &Policy, cgroup: bool) -> Vec<Step> {
    let mut limits = Vec::new();
    let mut set = |name, resource, soft, hard| {
        limits.push(Step::ResourceLimit { name, resource, soft, hard });
    };
    if let Some(limit) = policy.cpu_time {
        // SIGXCPU at the soft limit can be ignored, SIGKILL at the hard one not.
        set("RLIMIT_CPU", resource::CPU, limit.value, limit.value.saturating_add(1));
    }
    if let Some(limit) = policy.memory
        && !cgroup
    {
        let data = limit.value.saturating_add(DATA_HEADROOM);
        set("RLIMIT_DATA", resource::DATA, data, data);
        let space = limit.value.saturating_add(ADDRESS_SPACE_HEADROOM);
        set("RLIMIT_AS", resource::AS, space, space);
    }
    if let Some(limit) = policy.file_size {
        set("RLIMIT_FSIZE", resource::FSIZE, limit.value, limit.value);
    }
    if let Some(limit) = policy.max_processes {
        // One more for init, which counts as the same user.
        let processes = limit.value.saturating_add(1);
        set("RLIMIT_NPROC", resource::NPROC, processes, processes);
    }
    set("RLIMIT_NOFILE", resource::NOFILE, OPEN_FILES, OPEN_FILES);
    set("RLIMIT_CORE", resource::CORE, 0, 0);
    set("RLIMIT_MEMLOCK", resource::MEMLOCK, 64 << 10, 64 << 10);
    set("RLIMIT_MSGQUEUE", resource::MSGQUEUE, 64 << 10, 64 << 10);
    set("RLIMIT_NICE", resource::NICE, 0, 0);
    set("RLIMIT_RTPRIO", resource::RTPRIO, 0, 0);
    limits
}
