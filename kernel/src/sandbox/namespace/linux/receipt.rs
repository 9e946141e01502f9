//! The receipt of the namespace back end: which protection holds by what.

use super::super::plan::{DATA_HEADROOM, Surroundings};
use super::cgroup::Means;
use super::gates;
use crate::sandbox::outcome::{Enforcement, Protection as P};
use crate::sandbox::policy::{Network, Policy};
use crate::sandbox::seccomp::Filter;

/// What will hold for a guest under `policy`, and one sentence for each default
/// that is weaker here than it could be.
pub(super) fn of(
    policy: &Policy,
    around: &Surroundings,
    filter: Option<&Filter>,
) -> (Enforcement, Vec<String>) {
    let mut held = Enforcement::default();
    let mut warnings = Vec::new();
    held.enforced(P::Processes, "PID namespace");
    held.enforced(P::Filesystem, "mount namespace with a private root");
    held.enforced(P::Hostname, "UTS namespace");
    held.enforced(P::Ipc, "IPC namespace, private /dev/shm");
    let identity = match around.root {
        true => "user namespace, mapped to an unprivileged host id",
        false => "user namespace, mapped to the caller",
    };
    held.enforced(P::Identity, identity);
    held.enforced(P::Capabilities, "all sets empty, securebits locked");
    held.enforced(P::NoNewPrivs, "PR_SET_NO_NEW_PRIVS");
    held.enforced(P::Descriptors, "close_range");
    held.enforced(P::Environment, "built from PATH, HOME, LANG, TMPDIR and the config");
    held.enforced(P::Cleanup, "end of the PID namespace");
    match &policy.network {
        Network::None => held.enforced(P::Network, "network namespace with a loopback of its own"),
        Network::Hosts(_) => held.enforced(
            P::Network,
            "network namespace with a loopback of its own, and a proxy for the allowed hosts",
        ),
        Network::All => held.off(P::Network, "allowed_hosts is [\"*\"]"),
    }
    match filter {
        Some(filter) => {
            held.enforced(P::Syscalls, filter.describe());
            warnings.extend_from_slice(filter.cautions());
        }
        None => held.off(P::Syscalls, "enable_seccomp is false"),
    }
    match policy.landlock {
        true => held.enforced(P::Landlock, format!("Landlock ABI {}", around.landlock_abi)),
        false => held.off(P::Landlock, "landlock is false"),
    }
    match policy.allowed_commands.as_slice() {
        [] => held.off(P::AllowedCommands, "allowed_commands is empty"),
        _ => held.enforced(P::AllowedCommands, "the resolved executable"),
    }
    limits(policy, &mut held, &mut warnings);
    (held, warnings)
}

fn limits(policy: &Policy, held: &mut Enforcement, warnings: &mut Vec<String>) {
    let no_limit = "no limit is set";
    let cgroup = Means::get();
    match (policy.memory, cgroup) {
        (Some(_), Ok(_)) => {
            held.enforced(P::Memory, "cgroup memory.max, without swap, ended as a whole");
        }
        (Some(limit), Err(gate)) => {
            let why = format!("{}; {}", gate.reason, gates::PER_PROCESS);
            let fence = limit.value.saturating_add(DATA_HEADROOM);
            held.degraded(
                P::Memory,
                format!(
                    "a watchdog over all processes; RLIMIT_DATA of {fence} bytes (per process)"
                ),
                why.clone(),
            );
            warnings.push(format!("memory_limit is degraded: {why}"));
        }
        (None, _) => held.off(P::Memory, no_limit),
    }
    match policy.cpu_time {
        Some(_) => {
            held.enforced(P::CpuTime, "RLIMIT_CPU (per process); a watchdog over all processes");
        }
        None => held.off(P::CpuTime, no_limit),
    }
    gates::record_cpu_quota(policy, held);
    match policy.timeout {
        Some(_) => held.enforced(P::Timeout, "a deadline that kills the PID namespace"),
        None => held.off(P::Timeout, no_limit),
    }
    match (policy.max_processes, cgroup) {
        (Some(_), Ok(_)) => {
            held.enforced(P::MaxProcesses, "cgroup pids.max; RLIMIT_NPROC in the user namespace");
        }
        (Some(_), Err(_)) => {
            held.enforced(P::MaxProcesses, "RLIMIT_NPROC in the user namespace");
        }
        (None, _) => held.off(P::MaxProcesses, no_limit),
    }
    match policy.file_size {
        Some(_) => held.enforced(P::FileSize, "RLIMIT_FSIZE"),
        None => held.off(P::FileSize, no_limit),
    }
    held.enforced(P::Output, "read past the cap and thrown away; ended at ten times the cap");
}
