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
pub(crate) use surroundings::look;

use super::plan::{Launch, Steps, Surroundings};
use crate::sandbox::command::Command;
use crate::sandbox::error::{Error, Result};
use crate::sandbox::outcome::Enforcement;
use crate::sandbox::plan::{Backend, Plan, PlannedStep};
use crate::sandbox::policy::{Policy, Syscalls};
use crate::sandbox::resolve::{ResolvedProgram, Startable, startable};
use crate::sandbox::running::verdict::Limits;
use crate::sandbox::running::{self, Running, Started, Watch};
use crate::sandbox::seccomp::Filter;

/// The state of an isolator: its launcher, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Isolator {
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
pub(crate) struct Prepared {
    pub(crate) filter: Option<Filter>,
    pub(crate) steps: Steps,
    pub(crate) around: Surroundings,
    /// The receipt the steps come to.
    pub(crate) enforcement: Enforcement,
    /// One sentence for each default that is weaker here than it could be.
    pub(crate) warnings: Vec<String>,
}

impl Isolator {
    pub(super) fn plan(&self, command: &Command, policy: &Policy) -> Result<Plan> {
        let program = match startable(command, policy)? {
            Startable::Program(program) => program,
            Startable::Refused(why) => return Err(Error::config(why)),
        };
        let prepared = prepare(policy, &program, self.unmappable())?;
        Ok(prepared.into_plan(Backend::Namespace, &program, command))
    }

    /// `Err` in the `Ok` is a command that the policy does not allow.
    pub(super) fn start(
        &self,
        mut command: Command,
        policy: &Policy,
    ) -> Result<Result<Running, String>> {
        let at = Instant::now();
        let program = match startable(&command, policy)? {
            Startable::Program(program) => program,
            Startable::Refused(why) => return Ok(Err(why)),
        };
        let prepare = |unmappable| prepare(policy, &program, unmappable);
        self.launch(at, &mut command, policy, &prepare).map(Ok)
    }

    /// Starts a guest by the steps that `prepare` works out. The process back end
    /// comes in here, with fewer of them.
    pub(crate) fn launch(
        &self,
        at: Instant,
        command: &mut Command,
        policy: &Policy,
        prepare: &dyn Fn(bool) -> Result<Prepared>,
    ) -> Result<Running> {
        let (prepared, ready) = self.ready(policy, prepare)?;
        let (ends, streams) = running::open_streams(command.take_stdin(), policy.max_output)
            .map_err(|source| Error::setup("open the guest's streams", source))?;
        let (reports, theirs) = launch::seqpacket_pair()
            .map_err(|source| Error::setup("open the sandbox's report socket", source))?;

        let cgroup = match Delegation::get() {
            Ok(delegation) => Some(delegation.make(policy)?),
            Err(_) => None,
        };
        let born_in = cgroup.as_ref().map(cgroup::Cgroup::open).transpose()?;
        let message = message(command, policy, &prepared, born_in.is_some());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut descriptors =
            vec![ends.stdin.as_fd(), ends.stdout.as_fd(), ends.stderr.as_fd(), theirs.as_fd()];
        descriptors.extend(born_in.as_ref().map(AsFd::as_fd));
        // Before the guest can look at it.
        let handover = lend(policy, &prepared.around)?;
        let cloned =
            ready.launcher.run(&prepared.steps, &message, &descriptors).map_err(gates::explain)?;

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
        Running::new(Started {
            guest: running::Guest::Namespace(guest),
            streams,
            at,
            limits: Limits::of(policy),
            watch: Watch { memory: cgroup_missing, cpu: true },
            enforcement: prepared.enforcement,
        })
    }

    /// Prepares a run and its launcher; once more without owner maps, if it shows
    /// that the filesystems here do not take them.
    fn ready(
        &self,
        policy: &Policy,
        prepare: &dyn Fn(bool) -> Result<Prepared>,
    ) -> Result<(Prepared, Ready)> {
        let prepared = prepare(self.unmappable())?;
        surroundings::make_work_dir(policy)?;
        match self.launcher(&prepared.steps) {
            Ok(ready) => Ok((prepared, ready)),
            Err(error) if launch::is_unmappable(&error) && !self.unmappable() => {
                self.unmappable.store(true, Ordering::Relaxed);
                self.ready(policy, prepare)
            }
            Err(error) => Err(gates::explain(error)),
        }
    }

    /// Whether owner maps cannot be had here.
    pub(crate) fn unmappable(&self) -> bool {
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

impl Prepared {
    /// What would be done, in words.
    pub(crate) fn into_plan(
        self,
        backend: Backend,
        program: &ResolvedProgram,
        command: &Command,
    ) -> Plan {
        let argv = std::iter::once(program.path.as_os_str())
            .chain(command.get_args().iter().map(|arg| arg.as_os_str()));
        Plan {
            backend,
            argv: argv.map(|arg| arg.to_string_lossy().into_owned()).collect(),
            steps: self
                .steps
                .iter()
                .map(|(process, step)| PlannedStep { process, action: step.to_string() })
                .collect(),
            enforcement: self.enforcement,
            warnings: self.warnings,
        }
    }
}

/// Looks at the host and works out the steps.
fn prepare(policy: &Policy, program: &ResolvedProgram, unmappable: bool) -> Result<Prepared> {
    let around = surroundings::look(policy, unmappable)?;
    gates::check(policy, &around)?;
    let filter = match &policy.syscalls {
        Syscalls::Unfiltered => None,
        syscalls => Some(Filter::for_policy(syscalls)?),
    };
    let launch = launch_of(program, filter.as_ref());
    let steps = Steps::new(policy, &around, &launch);
    let (enforcement, warnings) = receipt::of(policy, &around, filter.as_ref());
    Ok(Prepared { filter, steps, around, enforcement, warnings })
}

/// What differs from run to run.
pub(crate) fn launch_of(program: &ResolvedProgram, filter: Option<&Filter>) -> Launch {
    Launch {
        program: program.path.clone(),
        seccomp: filter.map(|filter| filter.instructions().len()),
        cgroup: Delegation::get().is_ok(),
    }
}

/// Lends the work dir to the guest where that is the only way to let it in.
fn lend(policy: &Policy, around: &Surroundings) -> Result<Option<Handover>> {
    let (Some(caller), Some(guest), true) =
        (around.caller, around.guest, around.root && around.unmappable)
    else {
        return Ok(None);
    };
    let work_dir = &policy.work_dir;
    let (owner, _) = surroundings::owner(policy, work_dir, caller)?;
    match owner.uid {
        // Lent already, or it is the guest's own.
        uid if uid == guest.uid && uid < surroundings::FIRST_GUEST_ID => Ok(None),
        uid if uid == guest.uid => Handover::lend(work_dir, caller, guest).map(Some),
        _ => Handover::lend(work_dir, owner, guest).map(Some),
    }
}

fn message(command: &Command, policy: &Policy, prepared: &Prepared, cgroup: bool) -> Vec<u8> {
    let environment = &policy.environment;
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
