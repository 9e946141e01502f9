//! cgroup v2: a limit for the guest as a whole, and the figures of what it used.
//!
//! Below a cgroup that we may divide lies a *parent* of this process's, and below
//! that one cgroup a run:
//!
//! ```text
//! <top>/neuroflow-<pid of the host>/run-<n>
//! ```
//!
//! The guest is born in its cgroup (`CLONE_INTO_CGROUP`), so no instruction of it
//! runs unlimited. The parent exists while a run does, and its making removes those
//! of hosts that were killed ([`parent`]).
//!
//! Where the top is depends ([`means`]): the nearest cgroup, from our own upwards,
//! that lets itself be divided, which is any for root, and for others one that was
//! delegated to them ([`delegation`]); else, for an ordinary user, a scope that the
//! user's service manager makes around the launcher ([`scope`]).
//!
//! File names and meanings: `Documentation/admin-guide/cgroup-v2.rst`.

mod bus;
mod delegation;
mod files;
mod hierarchy;
mod means;
mod parent;
mod scope;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) use delegation::Delegation;
pub(super) use means::Means;
use rustix::fs::{Mode, OFlags};
pub(super) use scope::around as scope_around;

use crate::sandbox::error::{Error, Result};
use crate::sandbox::outcome::Pressure;
use crate::sandbox::policy::Policy;
use crate::sandbox::running::Sample;
use crate::sandbox::running::verdict::Shortage;

/// The period in which a CPU quota is handed out; the kernel's own default.
const CPU_PERIOD_US: f64 = 100_000.0;

/// The cgroup of one run. Dropping it kills what is in it and removes it.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
    /// The cap it shares with the others below its parent.
    total: Option<u64>,
    delegation: Arc<Delegation>,
}

/// What the cgroup counted.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) cpu_user: Duration,
    pub(super) cpu_system: Duration,
    /// `None` before Linux 5.19.
    pub(super) peak_bytes: Option<u64>,
    /// Most processes and threads at once, init not counted; `None` before 6.12.
    pub(super) peak_tasks: Option<u64>,
    pub(super) short_of_memory: Option<Shortage>,
    pub(super) forks_refused: u64,
    /// `None` where pressure is not measured.
    pub(super) pressure: Option<Pressure>,
}

impl Cgroup {
    fn new(path: PathBuf, total: Option<u64>, delegation: Arc<Delegation>) -> Self {
        Self { path, total, delegation }
    }

    fn limit(&self, policy: &Policy) -> Result<()> {
        if let Some(memory) = policy.memory {
            self.write("memory.max", &memory.value.to_string())?;
            // Where there is no swap at all the file is missing.
            if self.path.join("memory.swap.max").exists() {
                self.write("memory.swap.max", "0")?;
            }
        }
        // All or nothing: a guest that lost one of its processes is no use.
        self.write("memory.oom.group", "1")?;
        if let Some(quota) = policy.cpu_quota
            && self.delegation.has_cpu()
        {
            // Microseconds of each period; the policy knows bounds that fit.
            let share = (quota.value * CPU_PERIOD_US).round();
            self.write("cpu.max", &format!("{share} {CPU_PERIOD_US}"))?;
        }
        if let Some(processes) = policy.max_processes {
            // One more for init, which is not the guest's.
            self.write("pids.max", &processes.value.saturating_add(1).to_string())?;
        }
        Ok(())
    }

    /// A descriptor for the clone to be born in.
    pub(super) fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|errno| Error::setup("open the run's cgroup", errno.into()))
    }

    /// Kills all that is in it.
    pub(super) fn kill(&self) {
        files::kill(&self.path);
    }

    /// What it holds now.
    pub(super) fn sample(&self) -> Sample {
        let number = |file| files::number(&self.path, file).unwrap_or_default();
        let cpu = files::entry(&self.path, "cpu.stat", "usage_usec").unwrap_or_default();
        Sample {
            memory_bytes: number("memory.current"),
            cpu: Duration::from_micros(cpu),
            // Init is not the guest's.
            tasks: number("pids.current").saturating_sub(1),
        }
    }

    /// The figures at the end.
    pub(super) fn counted(&self) -> Counted {
        let cpu = fs::read_to_string(self.path.join("cpu.stat")).unwrap_or_default();
        let time = |key| Duration::from_micros(files::entry_of(&cpu, key).unwrap_or_default());
        Counted {
            cpu_user: time("user_usec"),
            cpu_system: time("system_usec"),
            peak_bytes: files::number(&self.path, "memory.peak"),
            peak_tasks: files::number(&self.path, "pids.peak").map(|peak| peak.saturating_sub(1)),
            short_of_memory: self.short_of_memory(),
            forks_refused: files::entry(&self.path, "pids.events", "max").unwrap_or_default(),
            pressure: self.pressure(),
        }
    }

    /// Whether something of it was ended for memory, and whose.
    fn short_of_memory(&self) -> Option<Shortage> {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let happened = |key| files::entry_of(&events, key).is_some_and(|times| times > 0);
        match (happened("oom_kill"), happened("oom")) {
            (false, _) => None,
            // `oom` counts where the limit was met, `oom_kill` where somebody died.
            (true, true) => Some(Shortage::OfTheGuest),
            (true, false) => Some(Shortage::OfTheHost),
        }
    }

    fn pressure(&self) -> Option<Pressure> {
        let stall = |file| files::stall(&self.path, file);
        Some(Pressure {
            cpu: stall("cpu.pressure")?,
            memory: stall("memory.pressure")?,
            io: stall("io.pressure")?,
        })
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        fs::write(self.path.join(file), value)
            .map_err(|source| Error::setup(format!("set {file} of the run's cgroup"), source))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.kill();
        files::remove(&self.path);
        self.delegation.run_ended(self.total);
    }
}
