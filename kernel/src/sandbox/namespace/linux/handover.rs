//! Lending the work dir to the guest where its filesystem cannot be idmapped.
//!
//! A guest of host root is an unprivileged user there, and cannot write to a
//! directory of root's. Through an idmapped mount it can, and what it makes
//! belongs to root at once. Some filesystems have no such mounts (overlayfs,
//! NFS; tmpfs before Linux 6.3): there the directory itself, not what was in it
//! before, is given to the guest for the run, and what the guest has made is
//! given to the owner afterwards.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};

use super::super::plan::Owner;
use crate::sandbox::error::{Error, Result};

/// Work dirs that are lent, and to how many runs of this process.
static LENT: Mutex<BTreeMap<PathBuf, u64>> = Mutex::new(BTreeMap::new());

/// A lent work dir. Dropping the last one of a directory takes it back.
#[derive(Debug)]
pub(super) struct Handover {
    path: PathBuf,
    owner: Owner,
    guest: Owner,
}

impl Handover {
    /// Lends `path`, which belongs to `owner`, to `guest`.
    pub(super) fn lend(path: &Path, owner: Owner, guest: Owner) -> Result<Self> {
        let mut lent = LENT.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = lent.entry(path.into()).or_default();
        if *runs == 0 {
            let doing = || format!("lend {} to the guest", path.display());
            let directory = open(path).map_err(|source| Error::setup(doing(), source))?;
            change(directory.as_fd(), "", guest, AtFlags::EMPTY_PATH)
                .map_err(|source| Error::setup(doing(), source))?;
        }
        *runs += 1;
        Ok(Self { path: path.into(), owner, guest })
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        let mut lent = LENT.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(runs) = lent.get_mut(&self.path) else { return };
        *runs -= 1;
        if *runs == 0 {
            lent.remove(&self.path);
            if let Ok(top) = open(&self.path) {
                take_back(top.as_fd(), self.guest, self.owner);
            }
        }
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)?)
}

fn change(directory: BorrowedFd<'_>, name: &str, to: Owner, flags: AtFlags) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(to.uid), Gid::from_raw(to.gid));
    Ok(rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags)?)
}

/// Gives what belongs to `guest` below `top`, and `top` itself, to `owner`.
///
/// No link is followed, and no path is walked twice: each directory is opened
/// from `top` by a path that must stay below it. chown(2) clears the set-id bits.
/// What lies deeper than a path can name stays the guest's, whom nobody is.
fn take_back(top: BorrowedFd<'_>, guest: Owner, owner: Owner) {
    let mut directories = vec![PathBuf::from(".")];
    while let Some(path) = directories.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
        let Ok(directory) = rustix::fs::openat2(top, &path, flags, Mode::empty(), resolve) else {
            continue;
        };
        let Ok(entries) = Dir::read_from(&directory) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Ok(found) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if found.st_uid == guest.uid {
                let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
                let nofollow = AtFlags::SYMLINK_NOFOLLOW;
                let _ = rustix::fs::chownat(&directory, name, Some(uid), Some(gid), nofollow);
            }
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                use std::os::unix::ffi::OsStrExt;
                directories.push(path.join(std::ffi::OsStr::from_bytes(name.to_bytes())));
            }
        }
    }
    // The top last: until then the guest's id alone gets in.
    let _ = change(top, "", owner, AtFlags::EMPTY_PATH);
}
