//! The process back end: a plain process with limits, for code one trusts.
//!
//! It shows the guest the host's own files and interpreters and keeps it inside
//! limits of memory, CPU, time, file size, processes and output. How much more
//! it does is the [level](super::SandboxSecurityLevel): see [`ProcessIsolator`].

pub(crate) mod limits;

// Until it has a twin of its own, Linux is served as any other Unix.
#[cfg(unix)]
#[path = "process/unix.rs"]
mod imp;
#[cfg(not(unix))]
#[path = "process/windows.rs"]
mod imp;

use std::fs;

pub(crate) use imp::Guest;

use super::command::Command;
use super::config::SandboxConfig;
use super::error::{Error, Result};
use super::outcome::{Enforcement, Exit, Outcome, Protection};
use super::plan::{Backend, Plan};
use super::policy::{Network, Policy};
use super::resolve::{ResolvedProgram, Startable, startable};
use super::running::{Killer, Running};

/// The process sandbox.
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
}

/// What a twin needs to start a guest.
pub(crate) struct Launch<'run> {
    /// What is allowed.
    policy: &'run Policy,
    /// What to run.
    command: Command,
    /// The file it names.
    program: &'run ResolvedProgram,
    /// The receipt, as planned.
    enforcement: Enforcement,
}

impl ProcessIsolator {
    /// A sandbox of this config, which is checked with each run.
    #[must_use]
    pub fn new(config: SandboxConfig) -> Self {
        Self { config }
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
        let policy = Policy::new(&self.config)?;
        check(&policy)?;
        let (argv0, refused) = match startable(command, &policy)? {
            Startable::Program(program) => (program.path.to_string_lossy().into_owned(), None),
            Startable::Refused(why) => {
                (command.get_program().to_string_lossy().into_owned(), Some(why))
            }
        };
        let args = command.get_args().iter().map(|arg| arg.to_string_lossy().into_owned());
        let (steps, enforcement) = imp::plan(&policy)?;
        Ok(Plan {
            backend: Backend::Process,
            argv: std::iter::once(argv0).chain(args).collect(),
            steps,
            enforcement: receipt(&policy, enforcement),
            warnings: refused.into_iter().collect(),
        })
    }

    /// Starts `command` and returns while it runs.
    ///
    /// # Errors
    ///
    /// As for [`plan`](Self::plan); [`Error::Config`] for a command that is not
    /// on the list; and [`Error::Setup`] for a step that failed just now.
    pub fn start(&self, command: Command) -> Result<Running> {
        let policy = Policy::new(&self.config)?;
        check(&policy)?;
        match startable(&command, &policy)? {
            Startable::Program(program) => start(&policy, command, &program),
            Startable::Refused(why) => Err(Error::config(why)),
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
        let policy = Policy::new(&self.config)?;
        check(&policy)?;
        match startable(&command, &policy)? {
            Startable::Program(program) => {
                start(&policy, command, &program)?.killed_by(killer).wait()
            }
            Startable::Refused(why) => Ok(Outcome::refused(Exit::Refused(why))),
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
}

fn start(policy: &Policy, command: Command, program: &ResolvedProgram) -> Result<Running> {
    let (_, enforcement) = imp::plan(policy)?;
    fs::create_dir_all(&policy.work_dir)
        .map_err(|source| Error::setup(format!("make {}", policy.work_dir.display()), source))?;
    let enforcement = receipt(policy, enforcement);
    Running::new(imp::start(Launch { policy, command, program, enforcement })?)
}

/// Refuses what this back end cannot do.
fn check(policy: &Policy) -> Result<()> {
    if let Network::Hosts(_) = policy.network {
        return Err(Error::unsupported(
            "allowed_hosts",
            "the process back end has no network wall that could tell hosts apart",
            "use the namespace back end, or allowed_hosts: [\"*\"]",
        ));
    }
    Ok(())
}

/// Adds what the supervision holds on every system.
fn receipt(policy: &Policy, mut receipt: Enforcement) -> Enforcement {
    receipt.enforced(Protection::Descriptors, "three pipes; all others are closed before exec");
    receipt.enforced(Protection::Environment, "a clean one is given to exec");
    receipt.enforced(Protection::Output, "the supervisor counts, and ends at 10 times the cap");
    let by_time = "the supervisor's clock";
    match policy.timeout {
        Some(_) => receipt.enforced(Protection::Timeout, by_time),
        None => receipt.off(Protection::Timeout, "timeout: none"),
    }
    if policy.allowed_commands.is_empty() {
        receipt.off(Protection::AllowedCommands, "allowed_commands: any");
    } else {
        receipt.enforced(Protection::AllowedCommands, "the resolved file, compared at the start");
    }
    receipt
}
