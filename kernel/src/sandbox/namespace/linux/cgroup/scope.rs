//! A scope of its own for a launcher, from the user's service manager.
//!
//! An ordinary user's processes live in cgroups that belong to root, as a rule.
//! Below its own manager, `user@<uid>.service`, a user may have cgroups with limits,
//! and the manager makes one for whoever asks: a *scope* around processes that are
//! there already. We ask for one around the launcher, `Delegate=yes`, and divide
//! it: guests are born below their launcher. The host itself stays where it is.
//!
//! When the last process in it has ended the manager removes the scope with all
//! below it, also if nobody is left to tidy up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::bus::{Bus, Failure};
use super::delegation::Delegation;
use super::files;
use super::hierarchy::Own;
use crate::sandbox::namespace::linux::launch::Launcher;

/// How long the manager may take to move a process.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes a scope and keeps the launcher that is in it for the first to need one.
/// Tells whether it has the CPU controller.
///
/// # Errors
///
/// What the manager said; nothing where there is none to ask.
pub(super) fn try_one(own: &Own) -> Result<bool, Option<String>> {
    // Root makes cgroups without asking.
    if rustix::process::geteuid().is_root() {
        return Err(None);
    }
    // Nobody needs to start anything where the manager has nothing to give.
    let offered = fs::read_to_string(manager(own).join("cgroup.controllers")).map_err(|_| None)?;
    for controller in ["memory", "pids"] {
        if !offered.split_whitespace().any(|name| name == controller) {
            return Err(Some(format!("the user's manager has no {controller} controller")));
        }
    }
    let told = |why: String| Some(format!("a scope of the user's manager: {why}"));
    let launcher = Launcher::spawn_in_scope().map_err(|error| told(error.to_string()))?;
    let cpu = launcher.delegation().is_some_and(|delegation| delegation.has_cpu());
    launcher.spare();
    Ok(cpu)
}

/// The cgroup of the user's manager, where systemd has it.
fn manager(own: &Own) -> PathBuf {
    let uid = rustix::process::getuid().as_raw();
    own.mount.join(format!("user.slice/user-{uid}.slice/user@{uid}.service"))
}

/// Has a scope made around a process of ours, moves that to a leaf of it and
/// divides it.
///
/// # Errors
///
/// What did not go as it should, in words.
pub(in super::super) fn around(pid: u32) -> Result<Delegation, String> {
    let own = super::hierarchy::own().map_err(|_| "no cgroup v2 is mounted".to_owned())?;
    let unit = format!("neuroflow-{}-{pid}.scope", std::process::id());
    let mut bus = Bus::of_the_manager().map_err(|failure| failure.to_string())?;
    bus.start_scope(&unit, "Sandboxes of NeuroFlow", pid).map_err(|failure| failure.to_string())?;
    let top = moved(&own, pid, &unit)?;
    let leaf = top.join("launcher");
    files::make(&leaf)
        .and_then(|()| fs::write(leaf.join("cgroup.procs"), pid.to_string()))
        .map_err(|error| format!("moving the launcher to a leaf of {unit}: {error}"))?;
    Delegation::at(&top).map_err(|closed| format!("{unit}: {closed}"))
}

/// Waits until the process is in its scope: the manager answers when it has begun.
fn moved(own: &Own, pid: u32, unit: &str) -> Result<PathBuf, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/"));
        if let Some(path) = path.map(Path::new).filter(|path| path.ends_with(unit)) {
            return Ok(own.mount.join(path));
        }
        if Instant::now() >= deadline {
            return Err(Failure::Silent.to_string());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
