//! A cgroup below which we may make others: found by trying, and divided.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hierarchy::Own;
use super::parent::{self, Parent};
use super::{Cgroup, files};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::policy::Policy;

/// The controllers without which a cgroup is no use to us.
const NEEDED: [&str; 2] = ["memory", "pids"];

/// The one that only a CPU quota needs. The managers of users had it not to give
/// before systemd 252.
const OPTIONAL: &str = "cpu";

/// Where runs get their cgroups.
#[derive(Debug)]
pub(in super::super) struct Delegation {
    /// A cgroup below which we may make others.
    top: PathBuf,
    /// Whether the cgroups below have the CPU controller.
    cpu: bool,
    /// The parents of the live runs, by the cap that those have together, with how
    /// many there are below each.
    parents: Mutex<BTreeMap<Option<u64>, (Parent, u64)>>,
}

impl Delegation {
    /// Divides `top` between us and our runs, if that can be done.
    pub(super) fn at(top: &Path) -> Result<Self, Closed> {
        try_candidate(top)?;
        let cpu =
            controllers(&top.join("cgroup.subtree_control")).iter().any(|name| name == OPTIONAL);
        Ok(Self { top: top.into(), cpu, parents: Mutex::default() })
    }

    /// The nearest one at or above `own`, or why each of those is none.
    pub(super) fn find(own: &Own) -> Result<Self, Vec<(PathBuf, Closed)>> {
        if own.read_only {
            return Err(vec![(own.mount.clone(), Closed::ReadOnly)]);
        }
        let mut tried = Vec::new();
        for candidate in own.path.ancestors().take_while(|path| path.starts_with(&own.mount)) {
            // We moved here from above, see `move_into_leaf`.
            if candidate.file_name().is_some_and(|name| name == LEAF) {
                continue;
            }
            match Self::at(candidate) {
                Ok(found) => return Ok(found),
                Err(closed) => tried.push((candidate.to_owned(), closed)),
            }
        }
        Err(tried)
    }

    /// Whether a share of the CPU can be held.
    pub(super) fn has_cpu(&self) -> bool {
        self.cpu
    }

    /// Makes a cgroup with the policy's limits.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] naming the file that could not be written.
    pub(in super::super) fn make(self: &Arc<Self>, policy: &Policy) -> Result<Cgroup> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut parents = self.lock();
        let total = None;
        let (parent, runs) = match parents.get_mut(&total) {
            Some(known) => known,
            None => {
                let parent = Parent::make(&self.top)?;
                parents.entry(total).or_insert((parent, 0))
            }
        };
        let path = parent.path().join(format!("run-{number}"));
        let made = files::make(&path)
            .map_err(|error| Error::setup(format!("make the cgroup {}", path.display()), error));
        match made {
            Ok(()) => *runs += 1,
            Err(error) => {
                if *runs == 0 {
                    parents.remove(&total);
                }
                return Err(error);
            }
        }
        drop(parents);
        // From here on its drop takes care of it.
        let cgroup = Cgroup::new(path, total, Arc::clone(self));
        cgroup.limit(policy)?;
        Ok(cgroup)
    }

    /// A run below the parent of that cap has ended, its cgroup is removed.
    pub(super) fn run_ended(&self, total: Option<u64>) {
        let mut parents = self.lock();
        if let Some((_, runs)) = parents.get_mut(&total) {
            *runs -= 1;
            if *runs == 0 {
                parents.remove(&total);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<u64>, (Parent, u64)>> {
        self.parents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a cgroup cannot be divided between us and our runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// The whole tree is mounted read-only.
    ReadOnly,
    /// It has this controller not to give.
    Lacks(&'static str),
    /// We may not make cgroups in it.
    NotOurs,
    /// Other processes than us live right in it, so it can have no children with
    /// limits (the rule of no internal processes).
    Inhabited,
    /// What the system said about this.
    Failed(String),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly => f.write_str("it is mounted read-only"),
            Self::Lacks(controller) => write!(f, "it has no {controller} controller"),
            Self::NotOurs => f.write_str("making a cgroup in it is not permitted"),
            Self::Inhabited => f.write_str("other processes live in it"),
            Self::Failed(what) => f.write_str(what),
        }
    }
}

impl Closed {
    fn because(doing: &str, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EROFS) => Self::ReadOnly,
            Some(libc::EACCES | libc::EPERM) => Self::NotOurs,
            Some(libc::EBUSY) => Self::Inhabited,
            _ => Self::Failed(format!("{doing}: {error}")),
        }
    }
}

/// Whether a cgroup with the controllers we need can be made below `top`.
fn try_candidate(top: &Path) -> Result<(), Closed> {
    let offered = controllers(&top.join("cgroup.controllers"));
    if let Some(missing) = NEEDED.iter().find(|name| !offered.iter().any(|known| known == **name)) {
        return Err(Closed::Lacks(missing));
    }
    parent::sweep(top);
    let trial = top.join(format!("neuroflow-{}-trial", std::process::id()));
    files::make(&trial).map_err(|error| Closed::because("making a cgroup in it", &error))?;
    let divided = divide(top);
    files::remove(&trial);
    divided
}

/// Hands the controllers of `top` to its children.
pub(super) fn divide(top: &Path) -> Result<(), Closed> {
    let control = top.join("cgroup.subtree_control");
    let enabled = controllers(&control);
    let is_enabled = |name: &str| enabled.iter().any(|known| known == name);
    let wanted: Vec<String> =
        NEEDED.iter().filter(|name| !is_enabled(name)).map(|name| format!("+{name}")).collect();
    if !wanted.is_empty() {
        let wanted = wanted.join(" ");
        match fs::write(&control, &wanted) {
            // It has processes of its own. If that is only us, we move into a leaf.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && only_we_live_in(top) => {
                move_into_leaf(top).and_then(|()| fs::write(&control, &wanted))
            }
            other => other,
        }
        .map_err(|error| Closed::because(&format!("enabling {wanted}"), &error))?;
    }
    // By itself, since a kernel with real-time groups refuses it while a real-time
    // process is about; whether it is there shows in the file.
    let offered = controllers(&top.join("cgroup.controllers"));
    if offered.iter().any(|name| name == OPTIONAL) && !is_enabled(OPTIONAL) {
        drop(fs::write(&control, format!("+{OPTIONAL}")));
    }
    Ok(())
}

fn controllers(file: &Path) -> Vec<String> {
    let list = fs::read_to_string(file).unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}

fn only_we_live_in(top: &Path) -> bool {
    let own = std::process::id().to_string();
    fs::read_to_string(top.join("cgroup.procs"))
        .is_ok_and(|list| list.lines().all(|pid| pid == own))
}

/// Where the process that divides its own cgroup moves to.
const LEAF: &str = "neuroflow-host";

fn move_into_leaf(top: &Path) -> io::Result<()> {
    let leaf = top.join(LEAF);
    files::make(&leaf)?;
    fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that looks like a cgroup which offers these controllers.
    fn stand_in(path: &Path, offered: &str) {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("cgroup.controllers"), offered).unwrap();
        fs::write(path.join("cgroup.subtree_control"), "").unwrap();
    }

    fn own(mount: &Path, path: &str) -> Own {
        Own { mount: mount.into(), path: mount.join(path), read_only: false }
    }

    #[test]
    fn nearest_cgroup_that_can_be_divided_is_taken() {
        let mount = tempfile::tempdir().unwrap();
        stand_in(mount.path(), "cpu memory pids\n");
        stand_in(&mount.path().join("a"), "cpu memory pids\n");
        stand_in(&mount.path().join("a/b"), "pids\n");

        let found = Delegation::find(&own(mount.path(), "a/b")).unwrap();

        assert_eq!(found.top, mount.path().join("a"));
    }

    #[test]
    fn what_each_cgroup_lacks_is_told() {
        let mount = tempfile::tempdir().unwrap();
        stand_in(mount.path(), "cpuset\n");
        stand_in(&mount.path().join("a"), "memory\n");

        let tried = Delegation::find(&own(mount.path(), "a")).unwrap_err();

        assert_eq!(
            tried,
            [
                (mount.path().join("a"), Closed::Lacks("pids")),
                (mount.path().to_owned(), Closed::Lacks("memory")),
            ]
        );
    }

    #[test]
    fn a_cgroup_without_the_cpu_controller_will_do_and_says_so() {
        let mount = tempfile::tempdir().unwrap();
        for (controllers, has_cpu) in [("memory pids", false), ("cpu memory pids", true)] {
            stand_in(mount.path(), controllers);
            fs::write(mount.path().join("cgroup.subtree_control"), controllers).unwrap();

            let found = Delegation::find(&own(mount.path(), "")).unwrap();

            assert_eq!(found.has_cpu(), has_cpu);
        }
    }

    #[test]
    fn what_the_system_says_is_understood() {
        for (errno, closed) in [
            (libc::EROFS, Closed::ReadOnly),
            (libc::EBUSY, Closed::Inhabited),
            (libc::EACCES, Closed::NotOurs),
            (libc::EPERM, Closed::NotOurs),
        ] {
            assert_eq!(Closed::because("x", &io::Error::from_raw_os_error(errno)), closed);
        }
    }

    #[test]
    fn a_read_only_tree_is_not_written_to() {
        let mount = tempfile::tempdir().unwrap();
        stand_in(mount.path(), "cpu memory pids\n");
        let own = Own { read_only: true, ..own(mount.path(), "") };

        assert_eq!(Delegation::find(&own).unwrap_err()[0].1, Closed::ReadOnly);
    }

    #[test]
    fn the_leaf_of_a_host_is_not_divided_again() {
        let mount = tempfile::tempdir().unwrap();
        stand_in(mount.path(), "cpu memory pids\n");
        stand_in(&mount.path().join(LEAF), "cpu memory pids\n");

        let found = Delegation::find(&own(mount.path(), LEAF)).unwrap();

        assert_eq!(found.top, mount.path());
    }
}
