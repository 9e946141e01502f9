//! The cgroup above those of the runs of one process, and what processes that
//! were killed have left of theirs.
//!
//! A parent belongs to whoever has it locked (`flock` on its directory). The lock
//! ends with the process, however that ends, so whoever gets the lock of a parent
//! that it did not make knows that the owner is gone. A pid in the name would not
//! do: pids come again, and a container's are not ours.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{delegation, files};
use crate::sandbox::error::{Error, Result};

/// The names of parents begin with this, and go on with the pid of the owner and,
/// where that name is taken, another number.
const PREFIX: &str = "neuroflow-";

/// A parent, locked. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Parent {
    path: PathBuf,
    _lock: OwnedFd,
}

/// More than anybody meets.
const ATTEMPTS: u32 = 1000;

impl Parent {
    /// Makes one below `top`, after removing those whose owners are gone, and
    /// hands its controllers to the runs below.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] naming the directory that could not be made or divided.
    pub(super) fn make(top: &Path) -> Result<Self> {
        sweep(top);
        let own = std::process::id();
        for attempt in 0..ATTEMPTS {
            let path = match attempt {
                0 => top.join(format!("{PREFIX}{own}")),
                _ => top.join(format!("{PREFIX}{own}-{attempt}")),
            };
            let failed =
                |source| Error::setup(format!("make the cgroup {}", path.display()), source);
            // It is another's: one of the same pid in another container, another
            // of ours, or somebody is just looking whether it is left over.
            let Some(lock) = take(&path).map_err(failed)? else { continue };
            let parent = Self { path, _lock: lock };
            delegation::divide(&parent.path).map_err(|closed| {
                let step = format!("divide the cgroup {}: {closed}", parent.path.display());
                Error::setup(step, io::ErrorKind::Other.into())
            })?;
            return Ok(parent);
        }
        let step = format!("make a cgroup below {}: all names are taken", top.display());
        Err(Error::setup(step, io::ErrorKind::AlreadyExists.into()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        files::remove(&self.path);
    }
}

/// Makes the directory and locks it; `None` where somebody else has the lock.
fn take(path: &Path) -> io::Result<Option<OwnedFd>> {
    for _ in 0..ATTEMPTS {
        files::make(path)?;
        match lock(path) {
            Ok(lock) => {
                // It was there already, of a process that had our pid.
                clear(path);
                return Ok(Some(lock));
            }
            Err(Errno::WOULDBLOCK) => return Ok(None),
            // Swept away before we could lock it.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Locks the directory that is at `path`.
fn lock(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    // What we have locked may have been removed before we had.
    let (locked, there) = (rustix::fs::fstat(&directory)?, rustix::fs::stat(path)?);
    if (locked.st_dev, locked.st_ino) == (there.st_dev, there.st_ino) {
        Ok(directory)
    } else {
        Err(Errno::NOENT)
    }
}

/// Removes the parents below `top` that nobody has locked, with what is in them.
pub(super) fn sweep(top: &Path) {
    for path in children(top).filter(|path| is_parent(path)) {
        if let Ok(_lock) = lock(&path) {
            clear(&path);
            files::remove(&path);
        }
    }
}

/// Whether its name is one that [`Parent::make`] gives.
fn is_parent(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix(PREFIX)).is_some_and(|rest| {
        !rest.is_empty()
            && rest.split('-').all(|number| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            })
    })
}

/// Ends what runs in the cgroups below a parent whose owner is gone, and removes
/// them.
fn clear(parent: &Path) {
    for run in children(parent) {
        files::kill(&run);
        files::remove(&run);
    }
}

fn children(cgroup: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory can stand in for a cgroup: what is written is a file, and a
    /// cgroup's own files are not what `rmdir` minds.
    fn top() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn only_parents_look_like_parents() {
        for (name, is) in [
            ("neuroflow-17", true),
            ("neuroflow-17-2", true),
            ("neuroflow-host", false),
            ("neuroflow-17-trial", false),
            ("neuroflow-", false),
            ("neuroflow-17-", false),
            ("17", false),
        ] {
            assert_eq!(is_parent(Path::new(name)), is, "{name}");
        }
    }

    #[test]
    fn parent_of_the_living_is_let_be_and_that_of_the_dead_is_removed() {
        let top = top();
        let (living, dead) = (top.path().join("neuroflow-1"), top.path().join("neuroflow-2"));
        let lock = take(&living).unwrap().unwrap();
        fs::create_dir(&dead).unwrap();
        fs::create_dir(dead.join("run-0")).unwrap();

        sweep(top.path());

        assert!(living.exists());
        assert!(!dead.exists());
        drop(lock);
        sweep(top.path());
        assert!(!living.exists());
    }

    #[test]
    fn name_that_is_locked_is_not_taken() {
        let top = top();
        let path = top.path().join("neuroflow-1");
        let _lock = take(&path).unwrap().unwrap();

        assert!(take(&path).unwrap().is_none());
    }

    #[test]
    fn directory_that_was_removed_and_made_again_is_not_the_one_that_is_locked() {
        let top = top();
        let path = top.path().join("neuroflow-1");
        fs::create_dir(&path).unwrap();
        let _removed = lock(&path).unwrap();
        fs::remove_dir(&path).unwrap();

        assert_eq!(lock(&path).unwrap_err(), Errno::NOENT);
        let lock = take(&path).unwrap().unwrap();

        let inode = |stat: rustix::fs::Stat| stat.st_ino;
        assert_eq!(
            inode(rustix::fs::fstat(&lock).unwrap()),
            inode(rustix::fs::stat(&path).unwrap())
        );
    }
}
