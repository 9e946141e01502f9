//! The process back end on Linux: the launcher of the namespace back end, with
//! fewer steps.
//!
//! The guest sees the host's own files. But limits and the end of a run must hold
//! for whatever it starts, and only a PID namespace takes a whole tree with it,
//! and only a user namespace counts processes for one run (`RLIMIT_NPROC` counts
//! a user of the whole machine otherwise, and root not at all). So it gets both
//! wherever the host gives them.
//!
//! Where the host gives none there is a weaker way, see [`alone`].

mod alone;
mod receipt;
mod steps;

use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::super::command::Command;
use super::super::config::SandboxSecurityLevel as Level;
use super::super::error::{Error, Result};
use super::super::host::{Gate, Host};
use super::super::namespace::plan::Surroundings;
use super::super::namespace::{self, Prepared, launch_of, look};
use super::super::plan::{Backend, Plan};
use super::super::policy::{Policy, Syscalls};
use super::super::resolve::ResolvedProgram;
use super::super::running::verdict::Ended;
use super::super::running::{Running, Sample};
use super::super::seccomp::{Base, Filter, Sockets};

/// What outlives a run: the launcher.
#[derive(Debug, Default)]
pub(super) struct Isolator {
    launcher: namespace::Isolator,
}

/// There is none: every guest here is one of the launcher.
#[derive(Debug)]
pub(crate) enum Guest {}

impl Guest {
    pub(crate) fn ended_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    pub(crate) fn kill(&self) {
        match *self {}
    }

    pub(crate) fn sample(&mut self, _: Option<u64>) -> Sample {
        match *self {}
    }

    pub(crate) fn collect(self) -> Result<Ended> {
        match self {}
    }
}

/// Whether a guest can get a network that is not the host's.
pub(super) fn has_network_namespaces() -> bool {
    Host::get().namespaces.is_ok()
}

/// Whether a share of the CPU can be held, where the host gives us cgroups.
pub(super) fn has_cgroups() -> bool {
    true
}

impl Isolator {
    /// What would be done.
    pub(super) fn plan(
        &self,
        policy: &Policy,
        program: &ResolvedProgram,
        command: &Command,
    ) -> Result<Plan> {
        let prepared = prepare(policy, program, self.launcher.unmappable())?;
        Ok(prepared.into_plan(Backend::Process, program, command))
    }

    /// Starts the guest.
    pub(super) fn start(
        &self,
        policy: &Policy,
        program: &ResolvedProgram,
        mut command: Command,
    ) -> Result<Running> {
        let at = Instant::now();
        let prepare = |unmappable| prepare(policy, program, unmappable);
        self.launcher.launch(at, &mut command, policy, &prepare)
    }
}

/// Looks at the host and works out the steps.
fn prepare(policy: &Policy, program: &ResolvedProgram, unmappable: bool) -> Result<Prepared> {
    if let Err(gate) = &Host::get().namespaces {
        return prepare_alone(policy, program, gate);
    }
    let around = look(policy, unmappable)?;
    check(policy, &around)?;
    steps::check_way(policy, &around, program)?;
    // At STRICT the network namespace is the wall: the guest keeps its loopback.
    let filter = filter(policy, Sockets::Internet)?;
    let launch = launch_of(program, filter.as_ref());
    let covers = steps::covers(policy, &around);
    Ok(Prepared {
        steps: steps::of(policy, &around, &covers, &launch),
        enforcement: receipt::of(policy, &around, filter.as_ref(), launch.cgroup),
        warnings: filter.iter().flat_map(Filter::cautions).cloned().collect(),
        filter,
        around,
    })
}

/// Likewise, where the host has no namespaces to give.
fn prepare_alone(policy: &Policy, program: &ResolvedProgram, gate: &Gate) -> Result<Prepared> {
    // No mount namespace, so no owner maps: the work dir is lent.
    let around = look(policy, true)?;
    check(policy, &around)?;
    alone::check(policy, &around, gate)?;
    steps::check_way(policy, &around, program)?;
    let filter = filter(policy, Sockets::Unix)?;
    let launch = launch_of(program, filter.as_ref());
    let mut enforcement = receipt::of(policy, &around, filter.as_ref(), launch.cgroup);
    alone::weaken(&mut enforcement, policy, &around, gate);
    let mut warnings = vec![format!("the process back end is weaker here: {}", gate.reason)];
    warnings.extend(filter.iter().flat_map(Filter::cautions).cloned());
    Ok(Prepared {
        steps: alone::steps(policy, &around, &launch),
        enforcement,
        warnings,
        filter,
        around,
    })
}

/// The filter of the level, with the user's own profile on top. `strict` says
/// which sockets are left from STRICT on, where the filter may be what stands
/// between the guest and the network.
fn filter(policy: &Policy, strict: Sockets) -> Result<Option<Filter>> {
    let sockets = if policy.level >= Level::Strict { strict } else { Sockets::Internet };
    Ok(match (&policy.syscalls, policy.level) {
        (Syscalls::Unfiltered, _) | (Syscalls::Default, Level::Minimal) => None,
        (syscalls, _) => Some(Filter::on(Base::Process(sockets), syscalls)?),
    })
}

/// Refuses what this host cannot enforce, before anything starts.
fn check(policy: &Policy, around: &Surroundings) -> Result<()> {
    namespace::check_cpu_quota(policy)?;
    if policy.syscalls != Syscalls::Unfiltered && !Host::get().seccomp {
        return Err(Error::unsupported(
            "enable_seccomp",
            "this kernel has no seccomp filters",
            "use a kernel with CONFIG_SECCOMP_FILTER, or do without by name: \
             `enable_seccomp: false`",
        ));
    }
    if policy.level < Level::Strict {
        return Ok(());
    }
    if around.landlock_abi == 0 {
        return Err(Error::unsupported(
            "security_level: strict",
            "this kernel has no Landlock, or it is not among the `lsm=` modules of the boot",
            "boot with `lsm=landlock,…`, or use `security_level: standard`",
        ));
    }
    if let Some((path, inside)) = policy.read_only_inside_writable().next() {
        return Err(Error::unsupported(
            "allowed_paths",
            format!(
                "`{}` is read-only inside the writable `{}`, which Landlock cannot express",
                path.display(),
                inside.display(),
            ),
            "use the namespace back end",
        ));
    }
    Ok(())
}
