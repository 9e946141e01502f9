//! Looking at the host: what the plan is worked out from.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::Path;

use super::super::plan::{DEVICES, Entry, HIDDEN_PROC, Owner, Surroundings, shown};
use super::sys;
use crate::sandbox::error::{Error, Result};
use crate::sandbox::policy::{Network, Policy};

/// Where systems keep programs and libraries.
const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What programs read in /etc and what tells nothing about the host.
const ETC: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/pki",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl",
];

/// The first host id given to guests of root. Beyond what systemd hands out to
/// containers (0x0008_0000 to 0x6fff_ffff) and below 2^31.
pub(super) const FIRST_GUEST_ID: u32 = 0x7000_0000;

/// Looks at everything the plan depends on.
///
/// `unmappable` is what a try has shown: the guest of root then is who owns the
/// work dir, as long as that is not root.
pub(crate) fn look(policy: &Policy, unmappable: bool) -> Result<Surroundings> {
    let caller = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    let id = FIRST_GUEST_ID + (std::process::id() & 0xffff);
    let mut guest = Owner { uid: id, gid: id };
    if unmappable {
        let (owner, _) = owner(policy, &policy.work_dir, caller)?;
        if owner.uid != 0 {
            guest = owner;
        }
    }
    Ok(Surroundings {
        caller: Some(caller),
        root: caller.uid == 0,
        guest: Some(guest),
        system: SYSTEM.iter().filter_map(entry).collect(),
        etc: ETC.iter().filter_map(entry).collect(),
        resolv_conf: match policy.network {
            Network::All => fs::read_to_string("/etc/resolv.conf").ok(),
            Network::None | Network::Hosts(_) => None,
        },
        shown: shown(policy).map(|(path, _)| owner(policy, path, caller)).collect::<Result<_>>()?,
        hidden_proc: HIDDEN_PROC.iter().copied().filter(|path| others_can_read(path)).collect(),
        landlock_abi: sys::landlock_abi(),
        unmappable,
    })
}

fn others_can_read(path: &str) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0)
}

fn entry(path: &&str) -> Option<(std::path::PathBuf, Entry)> {
    let path = Path::new(path);
    let kind = fs::symlink_metadata(path).ok()?.file_type();
    let entry = if kind.is_symlink() {
        Entry::Link(fs::read_link(path).ok()?)
    } else if kind.is_dir() {
        Entry::Directory
    } else {
        Entry::File
    };
    Some((path.into(), entry))
}

/// Who owns a shown path, and whether it is a directory. A work dir that is
/// still to be made will be the caller's.
pub(super) fn owner(policy: &Policy, path: &Path, caller: Owner) -> Result<(Owner, bool)> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((Owner { uid: found.uid(), gid: found.gid() }, found.is_dir())),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path == policy.work_dir => {
            Ok((caller, true))
        }
        Err(source) => Err(Error::setup(format!("look at {}", path.display()), source)),
    }
}

/// Which file a path is: device and inode; `None` where there is nothing.
pub(super) type Identity = Option<(u64, u64)>;

/// Which files the shown paths are now.
pub(super) fn identities(policy: &Policy) -> Vec<Identity> {
    let identity = |path| fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()));
    shown(policy).map(|(path, _)| identity(path)).collect()
}

/// Makes the work dir where it is missing, for its owner alone. A default one
/// lies in a directory that everybody can write to, so it must be ours.
pub(super) fn make_work_dir(policy: &Policy) -> Result<()> {
    let path = &policy.work_dir;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(path)
        .map_err(|source| Error::setup(format!("make the work dir {}", path.display()), source))?;
    let found = fs::symlink_metadata(path)
        .map_err(|source| Error::setup(format!("look at {}", path.display()), source))?;
    if !policy.work_dir_named && found.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::config(format!(
            "the default work dir `{}` belongs to user {}; name another one with `work_dir`",
            path.display(),
            found.uid()
        )));
    }
    Ok(())
}

/// Checks that the devices to be shown are what their names say: what is bound
/// over a path to hide it must really be /dev/null.
pub(super) fn check_devices() -> Result<()> {
    for (path, major, minor) in DEVICES {
        let found = fs::symlink_metadata(path)
            .map_err(|source| Error::setup(format!("look at {path}"), source))?;
        let number = rustix::fs::makedev(*major, *minor);
        if !found.file_type().is_char_device() || found.rdev() != number {
            return Err(Error::setup(
                format!("use {path}: it is not the device {major}:{minor}"),
                io::ErrorKind::InvalidData.into(),
            ));
        }
    }
    Ok(())
}
