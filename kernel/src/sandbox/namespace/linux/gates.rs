//! When this host does not let us: which gate is closed, and what opens it.
//!
//! Nothing is guessed from a version. A step is tried; when it fails, the gates
//! that could have closed it are looked at one after the other.

use std::fs;
use std::io;

use super::super::plan::Surroundings;
use super::cgroup::Means;
use super::{surroundings, sys};
use crate::sandbox::config::{Isolation, SandboxConfig};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::host::{Gate, Host};
use crate::sandbox::outcome::{Enforcement, Protection};
use crate::sandbox::policy::{Policy, Syscalls};

/// Refuses what this host cannot enforce, before anything starts.
pub(super) fn check(policy: &Policy, around: &Surroundings) -> Result<()> {
    surroundings::check_devices()?;
    if policy.isolation == Isolation::Contained {
        return Err(Error::unsupported(
            "isolation: contained",
            "the namespace sandbox cannot yet do without namespaces",
            "leave `isolation` at `strict`; where a host has no namespaces, use the process sandbox",
        ));
    }
    if policy.landlock && around.landlock_abi == 0 {
        return Err(Error::unsupported(
            "landlock",
            "this kernel has no Landlock, or it is not among the `lsm=` modules of the boot",
            "boot with `lsm=landlock,…`, or do without it by name: `landlock: false`",
        ));
    }
    if policy.syscalls != Syscalls::Unfiltered && !sys::seccomp_available() {
        return Err(Error::unsupported(
            "enable_seccomp",
            "this kernel has no seccomp filters",
            "use a kernel with CONFIG_SECCOMP_FILTER, or do without by name: `enable_seccomp: false`",
        ));
    }
    let weaker = policy.allow_degraded.contains(&Protection::Memory);
    if policy.memory.is_some_and(|limit| limit.named)
        && !weaker
        && let Err(gate) = Means::get()
    {
        return Err(Error::unsupported(
            "memory_limit",
            format!("{}; {PER_PROCESS}", gate.reason),
            gate.fix.clone(),
        ));
    }
    check_cpu_quota(policy)
}

/// Whether a share of the CPU can be held here.
fn cpu_gate() -> Result<(), Gate> {
    Means::get().map_err(Clone::clone)?.cpu()
}

/// Refuses a CPU quota that nothing here could hold.
pub(crate) fn check_cpu_quota(policy: &Policy) -> Result<()> {
    let weaker = policy.allow_degraded.contains(&Protection::CpuQuota);
    match cpu_gate() {
        Err(gate) if policy.cpu_quota.is_some() && !weaker => Err(Error::unsupported(
            "cpu_quota",
            format!("{}, and nothing else holds a share of the CPU", gate.reason),
            gate.fix
                .replace("[memory]", "[cpu_quota]")
                .replace("degraded memory", "degraded cpu_quota"),
        )),
        _ => Ok(()),
    }
}

/// The receipt's line for a CPU quota.
pub(crate) fn record_cpu_quota(policy: &Policy, held: &mut Enforcement) {
    match (policy.cpu_quota, cpu_gate()) {
        (Some(_), Ok(())) => held.enforced(Protection::CpuQuota, "cgroup cpu.max"),
        (Some(_), Err(gate)) => held.missing(Protection::CpuQuota, gate.reason),
        (None, _) => held.off(Protection::CpuQuota, "no limit is set"),
    }
}

/// What a memory limit without a cgroup comes to.
pub(super) const PER_PROCESS: &str =
    "without it a limit holds for each process and by watching, not for the guest as a whole";

/// Turns the failure of a step that a host can forbid into what is missing.
pub(super) fn explain(error: Error) -> Error {
    let Error::Setup { step, source } = error else { return error };
    let forbidden = matches!(
        source.raw_os_error(),
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS | libc::ENOSPC | libc::EUSERS)
    );
    let about_namespaces =
        ["namespace", "mount", "owner map"].iter().any(|word| step.contains(word));
    if !forbidden || !about_namespaces {
        return Error::Setup { step, source };
    }
    let (reason, fix) = closed_gate(&source);
    Error::unsupported("namespaces", format!("could not {step}: {source}; {reason}"), fix)
}

/// The gate that is closed, as far as it can be seen from here.
fn closed_gate(source: &io::Error) -> (String, String) {
    let sysctl = |path: &str| {
        fs::read_to_string(format!("/proc/sys/{path}")).ok().map(|value| value.trim().to_owned())
    };
    let gate = |reason: &str, fix: &str| (reason.to_owned(), fix.to_owned());
    if sysctl("user/max_user_namespaces").as_deref() == Some("0") {
        return gate(
            "user.max_user_namespaces is 0",
            "as root: `sysctl -w user.max_user_namespaces=65536`",
        );
    }
    if source.raw_os_error() == Some(libc::ENOSPC) {
        return gate(
            "a limit on the number of namespaces is reached",
            "as root: raise `user.max_user_namespaces` and its neighbours with sysctl",
        );
    }
    if sysctl("kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return gate(
            "kernel.unprivileged_userns_clone is 0",
            "as root: `sysctl -w kernel.unprivileged_userns_clone=1`",
        );
    }
    if sysctl("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return gate(
            "AppArmor takes the capabilities of unprivileged user namespaces away",
            "as root: give this program an AppArmor profile with `userns,`, or \
             `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`",
        );
    }
    let filtered = fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line == "Seccomp:\t2"));
    if filtered {
        return gate(
            "this process runs under a seccomp filter, as in a container, that forbids it",
            "start the container with a profile that allows clone, unshare and mount \
             (`docker run --security-opt seccomp=unconfined`)",
        );
    }
    gate(
        "none of the known gates is closed; a security module or an outer sandbox forbids it",
        "look in the kernel log and in the configuration of what started this process",
    )
}

/// Tries it: a launcher, its template, and one sandbox.
fn probe() -> Result<(), Gate> {
    let gate = |error: Error| Gate {
        reason: error.to_string(),
        fix: error.fix().unwrap_or_default().to_owned(),
    };
    let config = SandboxConfig { work_dir: "/tmp".into(), ..SandboxConfig::default() };
    let isolator = crate::sandbox::NamespaceIsolator::new(config);
    // Whoever kills the launcher just then says nothing about this host, and what is
    // found here is remembered.
    for _ in 0..ATTEMPTS - 1 {
        match isolator.execute("true", &[]) {
            Err(Error::Internal { .. }) => {}
            other => return other.map(|_| ()).map_err(gate),
        }
    }
    isolator.execute("true", &[]).map(|_| ()).map_err(gate)
}

/// How often it is tried when it comes to no result.
const ATTEMPTS: u32 = 5;

/// Tries everything once.
pub(crate) fn probe_host() -> Host {
    Host {
        namespaces: probe(),
        landlock_abi: sys::landlock_abi(),
        seccomp: sys::seccomp_available(),
        cgroup2: Means::get().map(|_| ()).map_err(Clone::clone),
        root: rustix::process::geteuid().is_root(),
    }
}
