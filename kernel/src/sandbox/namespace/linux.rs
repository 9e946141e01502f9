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
mod way_out;

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cgroup::Means;
pub(crate) use gates::{check_cpu_quota, probe_host, record_cpu_quota};
pub(crate) use guest::Guest;
use handover::Handover;
use launch::Launcher;
use program::Payload;
use surroundings::Identity;
pub(crate) use surroundings::look;

use super::plan::{Launch, Step, Steps, Surroundings};
use crate::sandbox::command::Command;
use crate::sandbox::config::SandboxConfig;
use crate::sandbox::error::{Error, Result};
use crate::sandbox::outcome::Enforcement;
use crate::sandbox::plan::{Backend, Plan, PlannedStep};
use crate::sandbox::policy::{Network, Policy, Syscalls};
use crate::sandbox::resolve::{ResolvedProgram, Startable, startable};
use crate::sandbox::running::verdict::Limits;
use crate::sandbox::running::{self, GuestEnds, Running, Started, Watch};
use crate::sandbox::seccomp::Filter;

/// The state of an isolator: its launcher, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Isolator {
    ready: Mutex<Option<Ready>>,
    /// What the last run of a config was prepared to; the next is like it.
    known: Mutex<Option<Arc<Known>>>,
    /// A try has shown that what is to be shown cannot be idmapped.
    unmappable: AtomicBool,
}

/// A launcher, and the template it was made for.
#[derive(Clone, Debug)]
struct Ready {
    launcher: Arc<Launcher>,
    template: Arc<Vec<Step>>,
    /// Which files the shown paths were then.
    identities: Arc<Vec<Identity>>,
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

/// A config checked and prepared for a program.
#[derive(Debug)]
struct Known {
    policy: Policy,
    program: PathBuf,
    prepared: Arc<Prepared>,
}

/// What differs from run to run.
struct Run<'r> {
    at: Instant,
    command: &'r mut Command,
    policy: &'r Policy,
    prepared: Arc<Prepared>,
}

impl Isolator {
    pub(super) fn plan(&self, command: &Command, config: &SandboxConfig) -> Result<Plan> {
        let policy = Policy::new(config)?;
        let program = match startable(command, &policy)? {
            Startable::Program(program) => program,
            Startable::Refused(why) => return Err(Error::config(why)),
        };
        let prepared = prepare(&policy, &program, self.unmappable())?;
        Ok(prepared.into_plan(Backend::Namespace, &program, command))
    }

    /// `Err` in the `Ok` is a command that the policy does not allow.
    pub(super) fn start(
        &self,
        mut command: Command,
        config: &SandboxConfig,
    ) -> Result<Result<Running, String>> {
        let at = Instant::now();
        let known = lock(&self.known).clone();
        if let Some(known) = known
            && let Some(ready) = self.usable(&known.policy)
        {
            match startable(&command, &known.policy)? {
                Startable::Program(program) if program.path == known.program => {
                    let (policy, prepared) = (&known.policy, Arc::clone(&known.prepared));
                    return Run { at, command: &mut command, policy, prepared }
                        .start(ready)
                        .map(Ok);
                }
                Startable::Program(_) => {}
                Startable::Refused(why) => return Ok(Err(why)),
            }
        }

        let policy = Policy::new(config)?;
        let program = match startable(&command, &policy)? {
            Startable::Program(program) => program,
            Startable::Refused(why) => return Ok(Err(why)),
        };
        let (prepared, ready) =
            self.ready(&policy, &|unmappable| prepare(&policy, &program, unmappable))?;
        let run = Run { at, command: &mut command, policy: &policy, prepared };
        let prepared = Arc::clone(&run.prepared);
        let running = run.start(ready)?;
        *lock(&self.known) = Some(Arc::new(Known { policy, program: program.path, prepared }));
        Ok(Ok(running))
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
        Run { at, command, policy, prepared }.start(ready)
    }

    /// Prepares a run and its launcher; once more without owner maps, if it shows
    /// that the filesystems here do not take them.
    fn ready(
        &self,
        policy: &Policy,
        prepare: &dyn Fn(bool) -> Result<Prepared>,
    ) -> Result<(Arc<Prepared>, Ready)> {
        // Not to be asked again: another thread may find out meanwhile.
        let unmappable = self.unmappable();
        let prepared = prepare(unmappable)?;
        surroundings::make_work_dir(policy)?;
        match self.launcher(policy, &prepared.steps.template) {
            Ok(ready) => Ok((Arc::new(prepared), ready)),
            Err(error) if launch::is_unmappable(&error) && !unmappable => {
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

    /// The launcher, if it lives and what its template shows is what lies at the
    /// policy's paths now: somebody may have removed and remade the work dir.
    fn usable(&self, policy: &Policy) -> Option<Ready> {
        let ready = lock(&self.ready).clone()?;
        let usable =
            ready.launcher.is_usable() && surroundings::identities(policy) == *ready.identities;
        usable.then_some(ready)
    }

    /// The launcher whose template is this one, spawned if need be.
    fn launcher(&self, policy: &Policy, template: &[Step]) -> Result<Ready> {
        if let Some(ready) = self.usable(policy)
            && *ready.template == template
        {
            return Ok(ready);
        }
        let ready = Ready {
            identities: Arc::new(surroundings::identities(policy)),
            launcher: Arc::new(Launcher::spawn(template)?),
            template: Arc::new(template.to_vec()),
        };
        *lock(&self.ready) = Some(ready.clone());
        Ok(ready)
    }
}

/// Makes the guest of a root caller the owner of its own pipes, or it could not
/// open `/dev/stdout`. No more than that hangs on it.
fn give_streams(ends: &GuestEnds, around: &Surroundings) {
    let Some(guest) = around.guest.filter(|_| around.root) else { return };
    let owner = rustix::process::Uid::from_raw(guest.uid);
    let group = rustix::process::Gid::from_raw(guest.gid);
    for end in [&ends.stdin, &ends.stdout, &ends.stderr] {
        let _ = rustix::fs::fchown(end, Some(owner), Some(group));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run<'_> {
    fn start(self, ready: Ready) -> Result<Running> {
        let Run { at, command, policy, prepared } = self;
        let (ends, streams) = running::open_streams(command.take_stdin(), policy.max_output)
            .map_err(|source| Error::setup("open the guest's streams", source))?;
        give_streams(&ends, &prepared.around);
        let (reports, theirs) = launch::seqpacket_pair()
            .map_err(|source| Error::setup("open the sandbox's report socket", source))?;
        let delegation = ready.launcher.delegation();
        let cgroup = delegation.map(|delegation| delegation.make(policy)).transpose()?;
        let born_in = cgroup.as_ref().map(cgroup::Cgroup::open).transpose()?;

        let message = message(command, policy, &prepared, born_in.is_some());
        let mut descriptors = vec![
            ends.stdin.as_fd(),
            ends.stdout.as_fd(),
            ends.stderr.as_fd(),
            theirs.as_fd(),
            ready.launcher.process(),
        ];
        descriptors.extend(born_in.as_ref().map(AsFd::as_fd));
        let way_out = match &policy.network {
            Network::Hosts(rules) => Some(way_out::open(rules)?),
            Network::None | Network::All => None,
        };
        descriptors.extend(way_out.as_ref().map(|(_, inside)| inside.as_fd()));
        // Before the guest can look at it.
        let handover = lend(policy, &prepared.around)?;
        let cloned =
            ready.launcher.run(&prepared.steps, &message, &descriptors).map_err(gates::explain)?;

        let alone = matches!(prepared.steps.init.first(), Some(Step::ForkInit { .. }));
        let memory = cgroup.is_none();
        let watch = Watch { memory, cpu: true, tasks: alone && memory };
        let enforcement = prepared.enforcement.clone();
        let guest = Guest {
            cgroup,
            _handover: handover,
            init: cloned.init,
            pid: cloned.pid,
            reports,
            proxy: way_out.map(|(proxy, _)| proxy),
            prepared,
            program: command.get_program().to_string_lossy().into_owned(),
            _launcher: ready.launcher,
        };
        Running::new(Started {
            guest: running::Guest::Namespace(Box::new(guest)),
            streams,
            at,
            limits: Limits::of(policy, command),
            watch,
            enforcement,
        })
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
        cgroup: Means::get().is_ok(),
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
