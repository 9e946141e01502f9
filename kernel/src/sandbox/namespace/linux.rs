//! The namespace back end on Linux: one launcher an isolator, one report socket
//! a run.

mod cgroup;
mod encode;
mod gates;
mod guest;
mod handover;
mod init_filter;
mod launch;
mod program;
mod receipt;
mod surroundings;
mod sys;

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cgroup::Delegation;
pub(crate) use gates::probe_host;
pub(crate) use guest::Guest;
use handover::Handover;
use launch::Launcher;
use program::Payload;

use super::plan::{Launch, Steps, Surroundings};
use crate::sandbox::command::Command;
use crate::sandbox::error::{Error, Result};
use crate::sandbox::plan::{Backend, Plan, PlannedStep};
use crate::sandbox::policy::{Policy, Syscalls};
use crate::sandbox::resolve::{ResolvedProgram, Startable, startable};
use crate::sandbox::running::verdict::Limits;
use crate::sandbox::running::{self, Running, Started, Watch};
use crate::sandbox::seccomp::Filter;

/// The state of an isolator: its launcher, once there is one.
#[derive(Debug, Default)]
pub(super) struct Isolator {
    launcher: Mutex<Option<Ready>>,
    /// A try has shown that what is to be shown cannot be idmapped.
    unmappable: AtomicBool,
}

/// A launcher, and the template it was made for.
#[derive(Clone, Debug)]
struct Ready {
    launcher: Arc<Launcher>,
    template: Arc<Vec<super::plan::Step>>,
}

/// All that is known before anything is done.
#[derive(Debug)]
struct Prepared {
    policy: Policy,
    program: ResolvedProgram,
    filter: Option<Filter>,
    steps: Steps,
    around: Surroundings,
}

impl Isolator {
    pub(super) fn plan(&self, command: &Command, policy: &Policy) -> Result<Plan> {
        let prepared = match prepare(command, policy.clone(), self.unmappable())? {
            Ok(prepared) => prepared,
            Err(refused) => return Err(Error::config(refused)),
        };
        let steps = prepared.steps.iter();
        let argv = std::iter::once(prepared.program.path.as_os_str())
            .chain(command.get_args().iter().map(|arg| arg.as_os_str()));
        let (enforcement, warnings) =
            receipt::of(&prepared.policy, &prepared.around, prepared.filter.as_ref());
        Ok(Plan {
            backend: Backend::Namespace,
            argv: argv.map(|arg| arg.to_string_lossy().into_owned()).collect(),
            steps: steps
                .map(|(process, step)| PlannedStep { process, action: step.to_string() })
                .collect(),
            enforcement,
            warnings,
        })
    }

    /// `Err` in the `Ok` is a command that the policy does not allow.
    pub(super) fn start(
        &self,
        mut command: Command,
        policy: Policy,
    ) -> Result<Result<Running, String>> {
        let at = Instant::now();
        let (prepared, ready) = match self.ready(&command, policy)? {
            Ok(ready) => ready,
            Err(refused) => return Ok(Err(refused)),
        };
        let (ends, streams) =
            running::open_streams(command.take_stdin(), prepared.policy.max_output)
                .map_err(|source| Error::setup("open the guest's streams", source))?;
        let (reports, theirs) = launch::seqpacket_pair()
            .map_err(|source| Error::setup("open the sandbox's report socket", source))?;

        let cgroup = match Delegation::get() {
            Ok(delegation) => Some(delegation.make(&prepared.policy)?),
            Err(_) => None,
        };
        let born_in = cgroup.as_ref().map(cgroup::Cgroup::open).transpose()?;
        let message = message(&command, &prepared, born_in.is_some());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut descriptors =
            vec![ends.stdin.as_fd(), ends.stdout.as_fd(), ends.stderr.as_fd(), theirs.as_fd()];
        descriptors.extend(born_in.as_ref().map(AsFd::as_fd));
        // Before the guest can look at it.
        let handover = lend(&prepared)?;
        let cloned =
            ready.launcher.run(&prepared.steps, &message, &descriptors).map_err(gates::explain)?;

        let (enforcement, _) =
            receipt::of(&prepared.policy, &prepared.around, prepared.filter.as_ref());
        let cgroup_missing = cgroup.is_none();
        let guest = Guest {
            cgroup,
            _handover: handover,
            init: cloned.init,
            pid: cloned.pid,
            reports,
            steps: Arc::new(prepared.steps),
            program,
            _launcher: ready.launcher,
        };
        let running = Running::new(Started {
            guest: running::Guest::Namespace(guest),
            streams,
            at,
            limits: Limits::of(&prepared.policy),
            watch: Watch { memory: cgroup_missing, cpu: true },
            enforcement,
        })?;
        Ok(Ok(running))
    }

    /// Prepares a run and its launcher; once more without owner maps, if it shows
    /// that the filesystems here do not take them.
    fn ready(
        &self,
        command: &Command,
        policy: Policy,
    ) -> Result<Result<(Prepared, Ready), String>> {
        let prepared = match prepare(command, policy, self.unmappable())? {
            Ok(prepared) => prepared,
            Err(refused) => return Ok(Err(refused)),
        };
        surroundings::make_work_dir(&prepared.policy)?;
        match self.launcher(&prepared.steps) {
            Ok(ready) => Ok(Ok((prepared, ready))),
            Err(error) if launch::is_unmappable(&error) && !self.unmappable() => {
                self.unmappable.store(true, Ordering::Relaxed);
                self.ready(command, prepared.policy)
            }
            Err(error) => Err(gates::explain(error)),
        }
    }

    fn unmappable(&self) -> bool {
        self.unmappable.load(Ordering::Relaxed)
    }

    /// The launcher whose template is that of `steps`, spawned if need be.
    fn launcher(&self, steps: &Steps) -> Result<Ready> {
        let mut launcher = self.launcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = launcher.as_ref()
            && ready.launcher.is_usable()
            && *ready.template == steps.template
        {
            return Ok(ready.clone());
        }
        let spawned = Launcher::spawn(steps)?;
        let ready =
            Ready { launcher: Arc::new(spawned), template: Arc::new(steps.template.clone()) };
        *launcher = Some(ready.clone());
        Ok(ready)
    }
}

/// Looks at the host and works out the steps. `Err` in the `Ok` is a command
/// that the policy does not allow.
fn prepare(
    command: &Command,
    policy: Policy,
    unmappable: bool,
) -> Result<Result<Prepared, String>> {
    let program = match startable(command, &policy)? {
        Startable::Program(program) => program,
        Startable::Refused(why) => return Ok(Err(why)),
    };
    let around = surroundings::look(&policy, unmappable)?;
    gates::check(&policy, &around)?;
    let filter = match &policy.syscalls {
        Syscalls::Unfiltered => None,
        syscalls => Some(Filter::for_policy(syscalls)?),
    };
    let launch = Launch {
        program: program.path.clone(),
        seccomp: filter.as_ref().map(|filter| filter.instructions().len()),
        cgroup: Delegation::get().is_ok(),
    };
    let steps = Steps::new(&policy, &around, &launch);
    Ok(Ok(Prepared { policy, program, filter, steps, around }))
}

/// Lends the work dir to the guest where that is the only way to let it in.
fn lend(prepared: &Prepared) -> Result<Option<Handover>> {
    let around = &prepared.around;
    let (Some(caller), Some(guest), true) =
        (around.caller, around.guest, around.root && around.unmappable)
    else {
        return Ok(None);
    };
    let work_dir = &prepared.policy.work_dir;
    let (owner, _) = surroundings::owner(&prepared.policy, work_dir, caller)?;
    match owner.uid {
        // Lent already, or it is the guest's own.
        uid if uid == guest.uid && uid < surroundings::FIRST_GUEST_ID => Ok(None),
        uid if uid == guest.uid => Handover::lend(work_dir, caller, guest).map(Some),
        _ => Handover::lend(work_dir, owner, guest).map(Some),
    }
}

fn message(command: &Command, prepared: &Prepared, cgroup: bool) -> Vec<u8> {
    let environment = &prepared.policy.environment;
    let argv0 = command.get_program();
    let args = command.get_args().iter().map(|arg| OsStr::as_bytes(arg));
    let guest_filter = prepared.filter.as_ref().map(Filter::to_bytes).unwrap_or_default();
    let init_filter = init_filter::bytes();
    let payload = Payload {
        argv: std::iter::once(argv0.as_bytes()).chain(args).collect(),
        envp: environment
            .iter()
            .map(|(name, value)| format!("{name}={value}").into_bytes())
            .collect(),
        guest_filter: &guest_filter,
        init_filter: &init_filter,
        cgroup,
    };
    program::run(&prepared.steps, &payload)
}
