//! The process back end on any Unix: a session of its own, limits, one group.
//!
//! It has what POSIX has: no way to keep a guest from leaving its process group,
//! so what a guest puts into a session of its own is not ended with it. The
//! receipt says so. Linux has a twin that can do more.

#[path = "unix_sys.rs"]
mod sys;

use std::ffi::OsStr;
use std::fs;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::process as std_process;
use std::thread::JoinHandle;
use std::time::Instant;

use super::super::command::Command;
use super::super::config::SandboxSecurityLevel;
use super::super::error::{Error, Result};
use super::super::outcome::{Enforcement, Protection};
use super::super::plan::{Backend, Plan, PlannedStep};
use super::super::policy::Policy;
use super::super::resolve::ResolvedProgram;
use super::super::running::verdict::{Ended, Limits};
use super::super::running::{self, Running, Sample, Started, Watch, open_streams};
use super::{limits, supervised};

/// Nothing outlives a run.
#[derive(Debug, Default)]
pub(super) struct Isolator;

/// A started guest, the leader of its process group.
#[derive(Debug)]
pub(crate) struct Guest {
    pid: i32,
    /// Its other end is held by `waiter` until the guest has ended.
    ended: PipeReader,
    /// Waits for the guest without reaping it: until `collect` its pid is ours.
    waiter: Option<JoinHandle<()>>,
}

impl Guest {
    /// Readable once the guest has ended.
    pub(crate) fn ended_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// Ends the process group.
    pub(crate) fn kill(&self) {
        sys::kill_group(self.pid);
    }

    /// Not watched: there is no portable way to look at a tree of processes.
    #[allow(clippy::unused_self, reason = "the other twin needs it")]
    pub(crate) fn sample(&mut self, _suspect: Option<u64>) -> Sample {
        Sample::default()
    }

    /// Reaps the guest and ends what is left of its group.
    pub(crate) fn collect(mut self) -> Result<Ended> {
        if let Some(waiter) = self.waiter.take() {
            // It ends when the guest does. A panic in it would be a defect, and
            // reaping below works all the same.
            drop(waiter.join());
        }
        // Before it is reaped: afterwards its number may be another's.
        self.kill();
        sys::reap(self.pid).map_err(|source| Error::internal("wait for the guest", source))
    }
}

/// Whether a guest can get a network that is not the host's.
#[cfg_attr(
    all(target_os = "linux", not(neuroflow_portable)),
    expect(dead_code, reason = "the other twin has them")
)]
pub(super) fn has_network_namespaces() -> bool {
    false
}

/// Whether a share of the CPU can be held, where the host gives us cgroups.
#[cfg_attr(
    all(target_os = "linux", not(neuroflow_portable)),
    expect(dead_code, reason = "the other twin has them")
)]
pub(super) fn has_cgroups() -> bool {
    false
}

#[expect(clippy::unused_self, reason = "the other twin has state")]
impl Isolator {
    /// What would be done.
    pub(super) fn plan(
        &self,
        policy: &Policy,
        program: &ResolvedProgram,
        command: &Command,
    ) -> Result<Plan> {
        check(policy)?;
        let step = |action| PlannedStep { process: "guest", action };
        let mut steps = vec![step("leave the host's session and process group".into())];
        for limit in limits::of(policy) {
            let (name, soft, hard) = (limit.name, limit.soft, limit.hard);
            steps.push(step(format!("set {name} to {soft} (hard {hard})")));
        }
        steps.push(step("close every other descriptor at exec".into()));
        let argv = std::iter::once(program.path.as_os_str())
            .chain(command.get_args().iter().map(|arg| arg.as_os_str()));
        Ok(Plan {
            backend: Backend::Process,
            argv: argv.map(|arg| arg.to_string_lossy().into_owned()).collect(),
            steps,
            enforcement: receipt(policy),
            warnings: Vec::new(),
        })
    }

    /// Starts the guest.
    pub(super) fn start(
        &self,
        policy: &Policy,
        program: &ResolvedProgram,
        mut command: Command,
    ) -> Result<Running> {
        let at = Instant::now();
        check(policy)?;
        fs::create_dir_all(&policy.work_dir).map_err(|source| {
            Error::setup(format!("make the work dir {}", policy.work_dir.display()), source)
        })?;
        #[expect(clippy::disallowed_methods, reason = "this is where guests are started")]
        let mut start = std_process::Command::new(&program.path);
        start
            .args(command.get_args())
            .env_clear()
            .envs(&policy.environment)
            .current_dir(&policy.work_dir);
        sys::prepare(&mut start, command.get_program(), limits::of(policy));

        let (guest_ends, streams) = open_streams(command.take_stdin(), policy.max_output)
            .map_err(|source| Error::setup("open the guest's streams", source))?;
        start.stdin(guest_ends.stdin).stdout(guest_ends.stdout).stderr(guest_ends.stderr);
        let child = start.spawn().map_err(|source| start_error(command.get_program(), source))?;
        // Our copies of the guest's ends go with it, or we would hold them open.
        drop(start);

        let guest = watch(&child).map_err(|source| Error::setup("wait for the guest", source))?;
        Running::new(Started {
            guest: running::Guest::Process(guest),
            streams,
            at,
            limits: Limits::of(policy, &command),
            watch: Watch::default(),
            enforcement: receipt(policy),
        })
    }
}

/// The levels above STANDARD are walls that POSIX does not have. What STANDARD
/// has on Linux is a second line, and the receipt says that it is missing.
fn check(policy: &Policy) -> Result<()> {
    if policy.level <= SandboxSecurityLevel::Standard {
        return Ok(());
    }
    Err(Error::unsupported(
        format!("security_level: {}", policy.level.name()),
        "files and the network can be walled off on Linux only",
        "use the WASM back end, or `security_level: standard`",
    ))
}

fn receipt(policy: &Policy) -> Enforcement {
    let mut held = supervised(policy);
    if policy.level > SandboxSecurityLevel::Minimal {
        held.missing(Protection::NoNewPrivs, "a feature of Linux");
        held.missing(Protection::Syscalls, "a feature of Linux");
    }
    held.degraded(
        Protection::Cleanup,
        "SIGKILL to the process group",
        "what leaves the group with setsid is not ended with the run",
    );
    held.missing(Protection::Processes, "there are no namespaces");
    held.missing(Protection::Identity, "the guest is the user that runs the host");
    held.missing(Protection::Filesystem, "the guest reaches what its user reaches");
    held.missing(Protection::Network, "the guest has the host's network");
    match policy.memory {
        Some(_) => held.degraded(
            Protection::Memory,
            "RLIMIT_AS (per process)",
            "what several processes take together is not limited",
        ),
        None => held.off(Protection::Memory, "no limit is set"),
    }
    match policy.cpu_time {
        Some(_) => held.enforced(Protection::CpuTime, "RLIMIT_CPU (per process)"),
        None => held.off(Protection::CpuTime, "no limit is set"),
    }
    match policy.cpu_quota {
        Some(_) => held.missing(Protection::CpuQuota, "cgroups are a feature of Linux"),
        None => held.off(Protection::CpuQuota, "no limit is set"),
    }
    match policy.file_size {
        Some(_) => held.enforced(Protection::FileSize, "RLIMIT_FSIZE"),
        None => held.off(Protection::FileSize, "no limit is set"),
    }
    match policy.max_processes {
        Some(_) => held.missing(
            Protection::MaxProcesses,
            "RLIMIT_NPROC counts every process of the user, on the whole machine",
        ),
        None => held.off(Protection::MaxProcesses, "no limit is set"),
    }
    held
}

/// The errno of a step before `execve` and that of `execve` come the same way.
fn start_error(program: &OsStr, source: io::Error) -> Error {
    match source.raw_os_error() {
        Some(libc::EACCES | libc::ENOEXEC | libc::ENOENT | libc::E2BIG | libc::ETXTBSY) => {
            Error::NotExecutable { program: program.to_string_lossy().into_owned(), source }
        }
        _ => Error::setup("set the guest's limits and start it", source),
    }
}

/// Starts the thread that tells when the guest has ended.
fn watch(child: &std_process::Child) -> io::Result<Guest> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let (ended, held_until_end) = io::pipe()?;
    let waiter = std::thread::Builder::new().name("guest-waiter".into()).spawn(move || {
        sys::wait_without_reaping(pid);
        drop(held_until_end);
    });
    match waiter {
        Ok(waiter) => Ok(Guest { pid, ended, waiter: Some(waiter) }),
        Err(error) => {
            sys::kill_group(pid);
            drop(sys::reap(pid));
            Err(error)
        }
    }
}
