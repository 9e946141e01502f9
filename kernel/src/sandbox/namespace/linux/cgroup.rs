//! cgroup v2: a limit for the guest as a whole, and the figures of what it used.
//!
//! Below a cgroup that we may write to lies one *parent* a process, and below
//! that one cgroup a run:
//!
//! ```text
//! <delegated>/neuroflow-<pid of the host>/run-<n>
//! ```
//!
//! The guest is born in its cgroup (`CLONE_INTO_CGROUP`), so no instruction of it
//! runs unlimited. The parent exists while a run does, and takes the leftovers of
//! hosts that were killed with it when it is made.
//!
//! File names and meanings: `Documentation/admin-guide/cgroup-v2.rst`.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::sandbox::error::{Error, Result};
use crate::sandbox::host::Gate;
use crate::sandbox::policy::Policy;
use crate::sandbox::running::Sample;

/// The period in which a CPU quota is handed out; the kernel's own default.
const CPU_PERIOD_US: f64 = 100_000.0;

/// The controllers a run needs.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Where runs get their cgroups.
#[derive(Debug)]
pub(super) struct Delegation {
    /// A cgroup below which we may make others.
    top: PathBuf,
    /// Runs that are live.
    live: Mutex<u64>,
}

impl Delegation {
    /// The one of this process, found at the first call by making a cgroup and
    /// removing it again.
    pub(super) fn get() -> Result<&'static Self, &'static Gate> {
        static FOUND: OnceLock<Result<Delegation, Gate>> = OnceLock::new();
        FOUND.get_or_init(Self::find).as_ref()
    }

    fn find() -> Result<Self, Gate> {
        let own = own_cgroup().ok_or_else(|| Gate {
            reason: "this host has no cgroup v2 hierarchy".into(),
            fix: "boot with `systemd.unified_cgroup_hierarchy=1`, or accept a weaker limit by \
                  name: `allow_degraded: [memory]` (`--allow-degraded memory`)"
                .into(),
        })?;
        let mut tried = Vec::new();
        for candidate in own.path.ancestors().take_while(|path| path.starts_with(&own.mount)) {
            match try_candidate(candidate) {
                Ok(()) => return Ok(Self { top: candidate.into(), live: Mutex::new(0) }),
                Err(why) => tried.push(format!("{}: {why}", candidate.display())),
            }
        }
        Err(Gate {
            reason: format!("no cgroup here can be divided ({})", tried.join("; ")),
            fix: "run it under `systemd-run --user --scope -p Delegate=yes`, or in a unit with \
                  `Delegate=yes`; or accept a weaker limit by name: `allow_degraded: [memory]` \
                  (`--allow-degraded memory`)"
                .into(),
        })
    }

    fn parent(&self) -> PathBuf {
        self.top.join(format!("{PREFIX}{}", std::process::id()))
    }

    /// Makes a cgroup with the policy's limits.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] naming the file that could not be written.
    pub(super) fn make(&'static self, policy: &Policy) -> Result<Cgroup> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let parent = self.parent();
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if *live == 0 {
            sweep(&self.top);
            make_parent(&parent)?;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("run-{number}"));
        make_directory(&path)?;
        *live += 1;
        drop(live);
        let cgroup = Cgroup { path, delegation: self };
        cgroup.limit(policy)?;
        Ok(cgroup)
    }
}

/// The cgroup of one run. Dropping it kills what is in it and removes it.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
    delegation: &'static Delegation,
}

/// What the cgroup counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) cpu_user: Duration,
    pub(super) cpu_system: Duration,
    pub(super) peak_bytes: u64,
    pub(super) out_of_memory: bool,
    pub(super) forks_refused: u64,
}

impl Cgroup {
    fn limit(&self, policy: &Policy) -> Result<()> {
        if let Some(memory) = policy.memory {
            self.write("memory.max", &memory.value.to_string())?;
            // Where there is no swap at all the file is missing.
            if self.path.join("memory.swap.max").exists() {
                self.write("memory.swap.max", "0")?;
            }
            // All or nothing: a guest that lost one of its processes is no use.
            self.write("memory.oom.group", "1")?;
        }
        if let Some(quota) = policy.cpu_quota {
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
        // Linux 5.14; where it is missing, the end of init does the same.
        drop(fs::write(self.path.join("cgroup.kill"), "1"));
    }

    /// What it holds now.
    pub(super) fn sample(&self) -> Sample {
        Sample {
            memory_bytes: self.number("memory.current"),
            cpu: Duration::from_micros(self.entry("cpu.stat", "usage_usec")),
            // Init is not the guest's.
            tasks: self.number("pids.current").saturating_sub(1),
        }
    }

    /// The figures at the end.
    pub(super) fn counted(&self) -> Counted {
        Counted {
            cpu_user: Duration::from_micros(self.entry("cpu.stat", "user_usec")),
            cpu_system: Duration::from_micros(self.entry("cpu.stat", "system_usec")),
            // memory.peak is Linux 5.19.
            peak_bytes: self.number("memory.peak"),
            out_of_memory: self.entry("memory.events", "oom_kill") > 0,
            forks_refused: self.entry("pids.events", "max"),
        }
    }

    fn number(&self, file: &str) -> u64 {
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn entry(&self, file: &str, key: &str) -> u64 {
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        fs::write(self.path.join(file), value)
            .map_err(|source| Error::setup(format!("set {file} of the run's cgroup"), source))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.kill();
        remove(&self.path);
        let mut live = self.delegation.live.lock().unwrap_or_else(PoisonError::into_inner);
        *live -= 1;
        if *live == 0 {
            remove(&self.delegation.parent());
        }
    }
}

/// The names of parents begin with this.
const PREFIX: &str = "neuroflow-";

/// Where the hierarchy is mounted, and which cgroup we are in.
struct Own {
    mount: PathBuf,
    path: PathBuf,
}

fn own_cgroup() -> Option<Own> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    // Field 5 is the mount point, the type stands behind the dash (proc(5)).
    let mount = mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| fields.split(' ').nth(4).map(PathBuf::from))?
    })?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let path = if own.is_empty() { mount.clone() } else { mount.join(own) };
    Some(Own { mount, path })
}

/// Whether a cgroup with all controllers can be made below `top`.
fn try_candidate(top: &Path) -> Result<(), String> {
    let offered =
        fs::read_to_string(top.join("cgroup.controllers")).map_err(|error| error.to_string())?;
    let offered: Vec<&str> = offered.split_whitespace().collect();
    if let Some(missing) = CONTROLLERS.iter().find(|name| !offered.contains(name)) {
        return Err(format!("it has no {missing} controller"));
    }
    let trial = top.join(format!("{PREFIX}{}-trial", std::process::id()));
    fs::create_dir(&trial).map_err(|error| format!("making a cgroup in it: {error}"))?;
    let divided = divide(top);
    remove(&trial);
    divided
}

/// Hands the controllers of `top` to its children.
fn divide(top: &Path) -> Result<(), String> {
    let control = top.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control).map_err(|error| error.to_string())?;
    let wanted: Vec<String> = CONTROLLERS
        .iter()
        .filter(|name| !enabled.split_whitespace().any(|known| known == **name))
        .map(|name| format!("+{name}"))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let wanted = wanted.join(" ");
    match fs::write(&control, &wanted) {
        // It has processes of its own. If that is only us, we move into a leaf.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) && only_we_live_in(top) => {
            move_into_leaf(top).and_then(|()| fs::write(&control, &wanted))
        }
        other => other,
    }
    .map_err(|error| format!("enabling {wanted}: {error}"))
}

fn only_we_live_in(top: &Path) -> bool {
    let own = std::process::id().to_string();
    fs::read_to_string(top.join("cgroup.procs"))
        .is_ok_and(|list| list.lines().all(|pid| pid == own))
}

fn move_into_leaf(top: &Path) -> io::Result<()> {
    let leaf = top.join("neuroflow-host");
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())
}

fn make_parent(parent: &Path) -> Result<()> {
    make_directory(parent)?;
    divide(parent).map_err(|why| {
        Error::setup(
            format!("divide the cgroup {}: {why}", parent.display()),
            io::ErrorKind::Other.into(),
        )
    })
}

fn make_directory(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::setup(format!("make the cgroup {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Removes the cgroups of hosts that no longer live.
fn sweep(top: &Path) {
    let Ok(entries) = fs::read_dir(top) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        let Some(pid) = pid else { continue };
        if Path::new(&format!("/proc/{pid}")).exists() {
            continue;
        }
        let Ok(runs) = fs::read_dir(entry.path()) else { continue };
        runs.flatten()
            .filter(|run| run.path().is_dir())
            .for_each(|run| drop(fs::remove_dir(run.path())));
        drop(fs::remove_dir(entry.path()));
    }
}

/// Removes a cgroup whose last process is ending or has ended.
fn remove(path: &Path) {
    for _ in 0..100 {
        match fs::remove_dir(path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            _ => return,
        }
    }
}
