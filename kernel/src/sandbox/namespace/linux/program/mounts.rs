//! Steps that make files, mounts and maps.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use neuroflow_launcher::wire::{NO_SLOT, PSEUDO_STORE};

use super::super::super::plan::{GUEST_ID, Owner};
use super::super::encode::{Arg, Data, Encoder, List};
use super::{SCRATCH, SCRATCH_2, errno};

// From `uapi/linux/mount.h`; libc has some of them, in various widths.
pub(super) const OPEN_TREE_CLONE: u32 = 1;
pub(super) const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC.cast_unsigned();
pub(super) const AT_RECURSIVE: u32 = 0x8000;
pub(super) const AT_EMPTY_PATH: u32 = 0x1000;
pub(super) const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
pub(super) const MOUNT_ATTR_RDONLY: u64 = 1;
pub(super) const MOUNT_ATTR_NOSUID: u64 = 2;
pub(super) const MOUNT_ATTR_NODEV: u64 = 4;
pub(super) const MOUNT_ATTR_NOEXEC: u64 = 8;
pub(super) const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;

// From `uapi/linux/openat2.h`.
pub(super) const RESOLVE_NO_MAGICLINKS: u64 = 2;
pub(super) const RESOLVE_NO_SYMLINKS: u64 = 4;
/// Maps [`GUEST_ID`] of the caller's new user namespace to one id outside. The
/// kernel lets a process do so for itself when groups cannot be dropped.
pub(super) fn write_maps(e: &mut Encoder, list: List, outside: Owner) {
    write_file(e, list, "/proc/self/setgroups", b"deny");
    write_file(e, list, "/proc/self/uid_map", format!("{GUEST_ID} {} 1", outside.uid).as_bytes());
    write_file(e, list, "/proc/self/gid_map", format!("{GUEST_ID} {} 1", outside.gid).as_bytes());
}

pub(super) fn write_file(e: &mut Encoder, list: List, path: &str, content: &[u8]) {
    let path = e.text(path);
    let flags = libc::O_WRONLY | libc::O_CLOEXEC;
    e.call_into(
        SCRATCH,
        list,
        libc::SYS_openat,
        &[libc::AT_FDCWD.into(), path.into(), flags.into(), 0.into()],
    );
    let data = e.bytes(content);
    e.call(
        list,
        libc::SYS_write,
        &[Arg::Slot(SCRATCH), data.into(), Arg::from(content.len() as u64)],
    );
    close(e, list, SCRATCH);
}

pub(super) fn make_directory(e: &mut Encoder, list: List, path: &[u8]) {
    let path = e.text(path);
    e.call(list, libc::SYS_mkdirat, &[libc::AT_FDCWD.into(), path.into(), 0o755.into()]).tolerate =
        errno(libc::EEXIST);
}

pub(super) fn make_file(e: &mut Encoder, list: List, path: &[u8], content: &[u8]) {
    let path = e.text(path);
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    e.call_into(
        SCRATCH,
        list,
        libc::SYS_openat,
        &[libc::AT_FDCWD.into(), path.into(), flags.into(), 0o644.into()],
    );
    if !content.is_empty() {
        let data = e.bytes(content);
        e.call(
            list,
            libc::SYS_write,
            &[Arg::Slot(SCRATCH), data.into(), Arg::from(content.len() as u64)],
        );
    }
    close(e, list, SCRATCH);
}

pub(super) fn mount_tmpfs(e: &mut Encoder, list: List, target: &Path, options: &str) {
    let tmpfs = e.text("tmpfs");
    let target = e.text(target.as_os_str().as_bytes());
    let options = e.text(options);
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    e.call(
        list,
        libc::SYS_mount,
        &[tmpfs.into(), target.into(), tmpfs.into(), flags.into(), options.into()],
    );
}

/// Clones the tree at `path` into a slot. No link in the path is followed, so what is shown is what the policy named, whatever an earlier
/// guest has put there.
pub(super) fn clone_strictly(e: &mut Encoder, list: List, path: &Path, into: u32) {
    let text = e.text(path.as_os_str().as_bytes());
    let empty = e.text("");
    // `struct open_how`: flags, mode, resolve.
    let how: Vec<u8> = [
        u64::from((libc::O_PATH | libc::O_CLOEXEC).cast_unsigned()),
        0,
        RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    ]
    .iter()
    .flat_map(|word| word.to_ne_bytes())
    .collect();
    let how = e.bytes(&how);
    e.call_into(
        SCRATCH,
        list,
        libc::SYS_openat2,
        &[libc::AT_FDCWD.into(), text.into(), how.into(), 24.into()],
    );
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH;
    e.call_into(into, list, libc::SYS_open_tree, &[Arg::Slot(SCRATCH), empty.into(), flags.into()]);
    close(e, list, SCRATCH);
}

pub(super) fn open_clone(e: &mut Encoder, list: List, path: &str, flags: u32) {
    let text = e.text(path);
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags;
    e.call_into(
        SCRATCH_2,
        list,
        libc::SYS_open_tree,
        &[libc::AT_FDCWD.into(), text.into(), flags.into()],
    );
}

/// `struct mount_attr`: attr_set, attr_clr, propagation, userns_fd.
pub(super) fn mount_attributes(e: &mut Encoder, set: u64) -> Data {
    let words: Vec<u8> = [set, 0, 0, 0].iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
    e.bytes(&words)
}

pub(super) fn set_attributes(
    e: &mut Encoder,
    list: List,
    tree: u32,
    set: u64,
    map: Option<u32>,
    flags: u32,
) {
    let empty = e.text("");
    let idmap = if map.is_some() { MOUNT_ATTR_IDMAP } else { 0 };
    let attributes = mount_attributes(e, set | idmap);
    if let Some(map) = map {
        e.pseudo(list, PSEUDO_STORE, &[attributes.plus(24).into(), map.into()], NO_SLOT);
    }
    let flags = flags | AT_EMPTY_PATH;
    e.call(
        list,
        libc::SYS_mount_setattr,
        &[Arg::Slot(tree), empty.into(), flags.into(), attributes.into(), 32.into()],
    );
}

pub(super) fn move_mount(e: &mut Encoder, list: List, tree: u32, target: &[u8]) {
    let empty = e.text("");
    let target = e.text(target);
    e.call(
        list,
        libc::SYS_move_mount,
        &[
            Arg::Slot(tree),
            empty.into(),
            libc::AT_FDCWD.into(),
            target.into(),
            MOVE_MOUNT_F_EMPTY_PATH.into(),
        ],
    );
}

pub(super) fn close(e: &mut Encoder, list: List, slot: u32) {
    e.call(list, libc::SYS_close, &[Arg::Slot(slot)]);
}
