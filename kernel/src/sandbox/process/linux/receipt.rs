//! The receipt of the process back end on Linux: which protection holds by what.

use super::super::super::config::SandboxSecurityLevel as Level;
use super::super::super::namespace;
use super::super::super::namespace::plan::{DATA_HEADROOM, Surroundings};
use super::super::super::outcome::{Enforcement, Protection as P};
use super::super::super::policy::{Network, Policy};
use super::super::super::seccomp::Filter;
use super::super::supervised;
use super::steps::no_new_privs;

/// What holds for a guest under `policy`.
pub(super) fn of(
    policy: &Policy,
    around: &Surroundings,
    filter: Option<&Filter>,
    cgroup: bool,
) -> Enforcement {
    let mut held = supervised(policy);
    held.enforced(P::Processes, "PID namespace");
    held.enforced(P::Hostname, "UTS namespace");
    held.enforced(P::Ipc, "IPC namespace");
    let identity = match around.root {
        true => "user namespace, mapped to an unprivileged host id",
        false => "user namespace, mapped to the caller",
    };
    held.enforced(P::Identity, identity);
    held.enforced(P::Capabilities, "all sets empty, securebits locked");
    held.enforced(P::Cleanup, "end of the PID namespace");
    walls(policy, around, filter, &mut held);
    limits(policy, cgroup, &mut held);
    held
}

/// What the level says, and what it leaves open.
fn walls(policy: &Policy, around: &Surroundings, filter: Option<&Filter>, held: &mut Enforcement) {
    let level = policy.level.name();
    match no_new_privs(policy) {
        true => held.enforced(P::NoNewPrivs, "PR_SET_NO_NEW_PRIVS"),
        false => held.off(P::NoNewPrivs, format!("security_level is {level}")),
    }
    match filter {
        Some(filter) => held.enforced(P::Syscalls, filter.describe()),
        None if policy.level == Level::Minimal => {
            held.off(P::Syscalls, format!("security_level is {level}"));
        }
        None => held.off(P::Syscalls, "enable_seccomp is false"),
    }
    if policy.level >= Level::Strict {
        held.enforced(P::Landlock, format!("Landlock ABI {}", around.landlock_abi));
        held.enforced(P::Filesystem, "Landlock; private /tmp and /dev/shm");
        held.enforced(P::Network, "network namespace with a loopback of its own");
        return;
    }
    let open = |what: &str| format!("security_level {level} leaves {what} open; strict does not");
    held.off(P::Landlock, format!("security_level is {level}"));
    held.missing(P::Filesystem, open("the files that the guest's user may reach"));
    match policy.network {
        Network::None => held.missing(P::Network, open("the host's network")),
        Network::Hosts(_) => held.enforced(
            P::Network,
            "network namespace with a loopback of its own, and a proxy for the allowed hosts; \
             unix sockets among the files the guest may reach stay open",
        ),
        Network::All => held.off(P::Network, "allowed_hosts is [\"*\"]"),
    }
}

fn limits(policy: &Policy, cgroup: bool, held: &mut Enforcement) {
    let no_limit = "no limit is set";
    match policy.memory {
        Some(_) if cgroup => {
            held.enforced(P::Memory, "cgroup memory.max, without swap, ended as a whole");
        }
        Some(limit) => {
            let fence = limit.value.saturating_add(DATA_HEADROOM);
            let by = format!(
                "RLIMIT_AS, RLIMIT_DATA of {fence} bytes (per process) and a watchdog over all"
            );
            held.enforced(P::Memory, by);
        }
        None => held.off(P::Memory, no_limit),
    }
    match policy.cpu_time {
        Some(_) => held.enforced(P::CpuTime, "RLIMIT_CPU (per process) and a watchdog over all"),
        None => held.off(P::CpuTime, no_limit),
    }
    namespace::record_cpu_quota(policy, held);
    match policy.max_processes {
        Some(_) if cgroup => {
            held.enforced(P::MaxProcesses, "cgroup pids.max; RLIMIT_NPROC in the user namespace");
        }
        Some(_) => held.enforced(P::MaxProcesses, "RLIMIT_NPROC in the user namespace"),
        None => held.off(P::MaxProcesses, no_limit),
    }
    match policy.file_size {
        Some(_) => held.enforced(P::FileSize, "RLIMIT_FSIZE"),
        None => held.off(P::FileSize, no_limit),
    }
}
