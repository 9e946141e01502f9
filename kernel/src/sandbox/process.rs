//! The process back end: a plain process with limits, for code one trusts.
//!
//! It shows the guest the host's own files and interpreters and keeps it inside
//! limits of memory, CPU, time, file size, processes and output. How much more
//! it does is the [level](super::SandboxSecurityLevel): see [`ProcessIsolator`].

#[cfg(all(unix, not(all(target_os = "linux", not(neuroflow_portable)))))]
mod limits;
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
mod linux;
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
use linux as imp;
#[cfg(all(unix, not(all(target_os = "linux", not(neuroflow_portable)))))]
mod unix;
#[cfg(all(unix, not(all(target_os = "linux", not(neuroflow_portable)))))]
use unix as imp;
#[cfg(not(unix))]
mod windows;
#[cfg(not(unix))]
use windows as imp;

use std::sync::Arc;

pub(crate) use imp::Guest;

use super::command::Command;
use super::config::{SandboxConfig, SandboxSecurityLevel};
use super::error::{Error, Result};
use super::namespace::NamespaceIsolator;
use super::outcome::{Enforcement, Exit, Outcome, Protection};
use super::plan::Plan;
use super::policy::{Network, Policy};
use super::resolve::{Startable, startable};
use super::running::{Killer, Running};

/// The process sandbox.
///
/// On Linux the guest lives in namespaces of its own at every level, for the
/// limits and the end of the run to hold for all it starts. What a level adds:
///
/// * MINIMAL: nothing;
/// * STANDARD: `no_new_privs`, and a filter that refuses dangerous system calls;
/// * STRICT: Landlock to the work dir, the allowed paths and the system's own
///   read-only files; private temporary files; no network;
/// * PARANOID: it is the [namespace sandbox](NamespaceIsolator), or a refusal.
///
/// As root the guest is an unprivileged user, to whom the work dir and the
/// allowed paths belong while it runs.
///
/// ```
/// use kernel::sandbox::{Command, ProcessIsolator, SandboxConfig};
///
/// let isolator = ProcessIsolator::new(SandboxConfig::default());
/// let outcome = isolator.execute("echo", &["hello"])?;
/// assert_eq!(outcome.stdout, b"hello\n");
/// # Ok::<(), kernel::sandbox::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProcessIsolator {
    config: SandboxConfig,
    imp: Arc<imp::Isolator>,
    /// What PARANOID asks for.
    namespace: Arc<NamespaceIsolator>,
}

impl ProcessIsolator {
    /// A sandbox of this config, which is checked with each run.
    #[must_use]
    pub fn new(config: SandboxConfig) -> Self {
        let namespace = Arc::new(NamespaceIsolator::new(config.clone()));
        Self { config, imp: Arc::default(), namespace }
    }

    /// The config.
    #[must_use]
    pub fn config(&self) -> &SandboxConfig {
        &self.config
    }

    /// Tells what would be done for `command`, and does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a contradiction, [`Error::Unsupported`] for what
    /// this host cannot enforce, [`Error::NotFound`] and
    /// [`Error::NotExecutable`] for the program.
    pub fn plan(&self, command: &Command) -> Result<Plan> {
        if self.is_paranoid() {
            return self.namespace.plan(command);
        }
        let policy = self.policy()?;
        let program = match startable(command, &policy)? {
            Startable::Program(program) => program,
            Startable::Refused(why) => return Err(Error::config(why)),
        };
        self.imp.plan(&policy, &program, command)
    }

    /// Starts `command` and returns while it runs.
    ///
    /// # Errors
    ///
    /// As for [`plan`](Self::plan); [`Error::Config`] for a command that is not
    /// on the list; and [`Error::Setup`] for a step that failed just now. What
    /// fails next to the guest's first instruction comes from [`Running::wait`].
    pub fn start(&self, command: Command) -> Result<Running> {
        match self.try_start(command)? {
            Ok(running) => Ok(running),
            Err(refused) => Err(Error::config(refused)),
        }
    }

    /// Runs `command` to its end.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start) and [`Running::wait`], but a command that
    /// is not on the list is an `Ok` with [`Exit::Refused`].
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
        if self.is_paranoid() {
            return self.namespace.run_with(command, killer);
        }
        match self.try_start(command)? {
            Ok(running) => running.killed_by(killer).wait(),
            Err(refused) => Ok(Outcome::refused(Exit::Refused(refused))),
        }
    }

    /// Runs `program` with `args` to its end, with nothing on its stdin.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn execute(&self, program: &str, args: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(program);
        command.args(args);
        self.run(command)
    }

    /// `Err` in the `Ok` is a command that the policy does not allow.
    fn try_start(&self, command: Command) -> Result<Result<Running, String>> {
        if self.is_paranoid() {
            return self.namespace.start(command).map(Ok);
        }
        let policy = self.policy()?;
        match startable(&command, &policy)? {
            Startable::Program(program) => self.imp.start(&policy, &program, command).map(Ok),
            Startable::Refused(why) => Ok(Err(why)),
        }
    }

    fn is_paranoid(&self) -> bool {
        self.config.security_level == SandboxSecurityLevel::Paranoid
    }

    /// The config, found consistent and possible for this back end.
    fn policy(&self) -> Result<Policy> {
        let policy = Policy::new(&self.config)?;
        if matches!(policy.network, Network::Hosts(_)) && !imp::has_network_namespaces() {
            return Err(Error::unsupported(
                "allowed_hosts",
                "without network namespaces the process back end cannot tell hosts apart",
                "use a host with namespaces (`neuroflow check`), or `allowed_hosts: [\"*\"]`",
            ));
        }
        let weaker = policy.allow_degraded.contains(&Protection::CpuQuota);
        if policy.cpu_quota.is_some() && !weaker && !imp::has_cgroups() {
            return Err(Error::unsupported(
                "cpu_quota",
                "this system has no cgroups, and nothing else holds a share of the CPU",
                "use a Linux host, or do without it by name: `allow_degraded: [cpu_quota]`",
            ));
        }
        Ok(policy)
    }
}

/// The part of the receipt that the supervision holds, on every system.
fn supervised(policy: &Policy) -> Enforcement {
    let mut held = Enforcement::default();
    held.enforced(Protection::Descriptors, "three pipes; all others are closed by the exec");
    held.enforced(Protection::Environment, "built from PATH, HOME, LANG, TMPDIR and the config");
    held.enforced(
        Protection::Output,
        "read past the cap and thrown away; ended at ten times the cap",
    );
    match policy.timeout {
        Some(_) => held.enforced(Protection::Timeout, "a deadline of the supervisor"),
        None => held.off(Protection::Timeout, "no limit is set"),
    }
    match policy.allowed_commands.as_slice() {
        [] => held.off(Protection::AllowedCommands, "allowed_commands is empty"),
        _ => held.enforced(Protection::AllowedCommands, "the resolved executable, at the start"),
    }
    held
}
