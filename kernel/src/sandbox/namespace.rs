//! The namespace back end: a Linux process that sees only what its plan shows it.
//!
//! # Theory of operation
//!
//! Four processes take part in a run:
//!
//! * the **host**, which may be a Python interpreter with many threads. It turns
//!   the policy into [`plan::Steps`], encodes them as lists of system calls and
//!   waits for reports;
//! * the **launcher**, one per isolator: a static program of a few KiB that
//!   holds no secret. Once, it makes the *template*: a mount namespace that
//!   shows only what the policy shows. Then it clones an init for every run;
//! * **init**, PID 1 of the new namespaces. It makes the calls of the plan,
//!   forks the guest, gives up what it does not need, and reaps whatever the
//!   guest leaves behind;
//! * the **guest**, the program we were asked to run. It is not PID 1, since the
//!   kernel withholds signals from an init that has no handler for them.
//!
//! The host is never forked: it may be large, hold secrets and have threads
//! whose locks would stay held. It spawns the launcher once and talks to it over
//! a socket. Host dies → launcher ends → every init dies → the kernel kills what
//! is in their PID namespaces.
//!
//! Which calls are made, by whom and in which order stands in one place,
//! [`plan::Steps::new`]; what a step is made of in `linux/program.rs`; who
//! executes it in the launcher crate.

pub mod plan;

#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
mod linux;
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
use linux as imp;
#[cfg(not(all(target_os = "linux", not(neuroflow_portable))))]
mod unsupported;
#[cfg(not(all(target_os = "linux", not(neuroflow_portable))))]
use unsupported as imp;

pub(crate) use imp::{Guest, probe_host};
// The process back end starts its guests by the same launcher.
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
pub(crate) use linux::{Isolator, Prepared, check_cpu_quota, launch_of, look, record_cpu_quota};

use super::command::Command;
use super::config::SandboxConfig;
use super::error::{Error, Result};
use super::outcome::{Exit, Outcome};
use super::plan::Plan;
use super::running::{Killer, Running};

/// Runs programs in Linux namespaces: the recommended sandbox.
///
/// The guest has its own user, PID, mount, network, IPC, UTS and cgroup
/// namespace, a private root that shows the work dir, the allowed paths and the
/// system's read-only files, no capability, `no_new_privs`, Landlock and a
/// seccomp allow-list. Works as root and as an ordinary user.
///
/// ```no_run
/// use kernel::sandbox::{NamespaceIsolator, SandboxConfig};
///
/// let isolator = NamespaceIsolator::new(SandboxConfig::default());
/// let outcome = isolator.execute("python3", &["-c", "print(1)"])?;
/// assert_eq!(outcome.stdout, b"1\n");
/// # Ok::<(), kernel::sandbox::Error>(())
/// ```
#[derive(Debug)]
pub struct NamespaceIsolator {
    config: SandboxConfig,
    imp: imp::Isolator,
}

impl NamespaceIsolator {
    /// Remembers the config; it is checked when something is to be run.
    #[must_use]
    pub fn new(config: SandboxConfig) -> Self {
        Self { config, imp: Default::default() }
    }

    /// What would be done for `command`; nothing is.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start), but for what only shows in the doing.
    pub fn plan(&self, command: &Command) -> Result<Plan> {
        self.imp.plan(command, &self.config)
    }

    /// Starts `command`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](super::Error::Config) for a config that contradicts
    /// itself, [`Unsupported`](super::Error::Unsupported) for one that this host
    /// cannot enforce, [`Setup`](super::Error::Setup) when a step fails. A
    /// failure inside init comes from [`Running::wait`].
    pub fn start(&self, command: Command) -> Result<Running> {
        match self.imp.start(command, &self.config)? {
            Ok(running) => Ok(running),
            Err(refused) => Err(Error::config(refused)),
        }
    }

    /// Runs `command` to its end.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start), but a command that is not on the list is
    /// an `Ok` with [`Exit::Refused`]. How the guest fares is never an error.
    pub fn run(&self, command: Command) -> Result<Outcome> {
        self.run_with(command, &Killer::new())
    }

    /// Like [`run`](Self::run), and can be ended from another thread by `killer`,
    /// also before anything has started.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn run_with(&self, command: Command, killer: &Killer) -> Result<Outcome> {
        match self.imp.start(command, &self.config)? {
            Ok(running) => running.killed_by(killer).wait(),
            Err(refused) => Ok(Outcome::refused(Exit::Refused(refused))),
        }
    }

    /// Runs `program` to its end, with nothing on its stdin.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn execute(&self, program: &str, args: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(program);
        command.args(args);
        self.run(command)
    }
}
