//! Steps → system calls: what each step of the plan is made of.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use neuroflow_launcher::wire::{Kind, MAX_SLOTS, NO_SLOT, PSEUDO_STORE, PSEUDO_USER_NAMESPACE};

use super::super::plan::{GUEST_ID, HOST_NAME, LandlockRule, Owner, Rights, Step, Steps};
use super::encode::{Arg, Clone, Data, Encoder, List};
use crate::sandbox::policy::Access;
use crate::sandbox::policy::hosts::PROXY_PORT;

/// Slots that a run's message fills with its descriptors, in this order.
pub(super) const STDIN_SLOT: u32 = 0;
/// Standard output.
pub(super) const STDOUT_SLOT: u32 = 1;
/// Standard error.
pub(super) const STDERR_SLOT: u32 = 2;
/// The socket on which init reports.
pub(super) const REPORT_SLOT: u32 = 3;
/// The cgroup, where there is one.
pub(super) const CGROUP_SLOT: u32 = 4;
/// Slots for results, free for a step to use and to leave.
const SCRATCH: u32 = 8;
/// A second one.
const SCRATCH_2: u32 = 9;
/// The host's /proc, from HoldProc to AttachProc.
const PROC_SLOT: u32 = 10;
/// The first owner map.
const FIRST_MAP_SLOT: u32 = 11;
/// The last slot. Trees that are held while something is mounted over them take
/// theirs from here down.
#[expect(clippy::cast_possible_truncation, reason = "there are a few dozen")]
const LAST_SLOT: u32 = MAX_SLOTS as u32 - 1;

/// While it is built, the new root lies over /proc: no shown path lies there,
/// and what else would be covered is still needed. In the set-up only.
const NEW_ROOT: &str = "/proc";

// From `uapi/linux/mount.h`; libc has some of them, in various widths.
const OPEN_TREE_CLONE: u32 = 1;
const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC.cast_unsigned();
const AT_RECURSIVE: u32 = 0x8000;
const AT_EMPTY_PATH: u32 = 0x1000;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;
const MOUNT_ATTR_NOEXEC: u64 = 8;
const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;

// From `uapi/linux/openat2.h`.
const RESOLVE_NO_MAGICLINKS: u64 = 2;
const RESOLVE_NO_SYMLINKS: u64 = 4;

/// What a run needs beside its steps.
#[derive(Debug)]
pub(super) struct Payload<'r> {
    /// `argv`, the program's name first.
    pub(super) argv: Vec<&'r [u8]>,
    /// `NAME=value` each.
    pub(super) envp: Vec<Vec<u8>>,
    /// The guest's filter: 8 bytes an instruction.
    pub(super) guest_filter: &'r [u8],
    /// Init's filter.
    pub(super) init_filter: &'r [u8],
    /// Whether a cgroup comes with the message.
    pub(super) cgroup: bool,
}

/// The message that makes the template.
pub(super) fn setup(template: &[Step]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut held = Held::default();
    for (index, step) in template.iter().enumerate() {
        encoder.step(index);
        encode_template(&mut encoder, step, &mut held);
    }
    let no_clone =
        Clone { flags: 0, report_slot: NO_SLOT, cgroup_slot: None, clone_step: 0, fork_step: 0 };
    encoder.finish(Kind::Setup, no_clone)
}

/// The message that starts one sandbox. Step numbers in reports count through
/// init, guest, after and next; [`step_of_run`] finds the step again.
pub(super) fn run(steps: &Steps, payload: &Payload<'_>) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut flags = 0;
    let mut fork_step = 0;
    let mut held = Held::default();
    for (index, step) in steps.init.iter().enumerate() {
        encoder.step(index);
        match step {
            Step::NewNamespaces { .. } => flags = NAMESPACES,
            Step::ForkGuest => fork_step = index,
            // The socket to the proxy comes last.
            Step::OpenWayOut if payload.cgroup => open_way_out(&mut encoder, CGROUP_SLOT + 1),
            Step::OpenWayOut => open_way_out(&mut encoder, CGROUP_SLOT),
            step => encode_init(&mut encoder, step, &mut held),
        }
    }
    let guest_start = steps.init.len();
    for (index, step) in steps.guest.iter().enumerate() {
        encoder.step(guest_start + index);
        encode_guest(&mut encoder, step, payload);
    }
    for (index, step) in steps.after.iter().enumerate() {
        encoder.step(guest_start + steps.guest.len() + index);
        match step {
            Step::ConfineInit => seccomp(&mut encoder, List::After, payload.init_filter),
            Step::NoNewPrivs => no_new_privs(&mut encoder, List::After),
            _ => unreachable!("a step of another process in init"),
        }
    }
    let next_start = guest_start + steps.guest.len() + steps.after.len();
    for (index, step) in steps.next.iter().enumerate() {
        encoder.step(next_start + index);
        encode_next(&mut encoder, step);
    }
    let clone = Clone {
        flags,
        report_slot: REPORT_SLOT,
        cgroup_slot: payload.cgroup.then_some(CGROUP_SLOT),
        clone_step: 0,
        fork_step: u32::try_from(fork_step).unwrap_or(0),
    };
    encoder.finish(Kind::Run, clone)
}

/// The step that number `step` of a run's report means.
pub(super) fn step_of_run(steps: &Steps, step: u32) -> Option<&Step> {
    let index = usize::try_from(step).ok()?;
    steps.init.iter().chain(&steps.guest).chain(&steps.after).chain(&steps.next).nth(index)
}

/// All but the network, which the launcher is in already.
const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

fn encode_next(e: &mut Encoder, step: &Step) {
    match step {
        Step::NewNetwork => {
            e.call(List::Next, libc::SYS_unshare, &[libc::CLONE_NEWNET.into()]);
        }
        Step::LoopbackUp => loopback_up(e, List::Next),
        _ => unreachable!("a step of another process in the launcher"),
    }
}

fn encode_template(e: &mut Encoder, step: &Step, held: &mut Held) {
    let list = List::Init;
    match step {
        Step::NewUserNamespace { uid, gid } => {
            let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;
            e.call(list, libc::SYS_unshare, &[flags.into()]);
            write_maps(e, list, Owner { uid: *uid, gid: *gid });
        }
        Step::NewMountNamespace => {
            e.call(list, libc::SYS_unshare, &[libc::CLONE_NEWNS.into()]);
        }
        Step::PrivateMounts => {
            let none = e.text("none");
            let root = e.text("/");
            let flags = libc::MS_REC | libc::MS_PRIVATE;
            e.call(
                list,
                libc::SYS_mount,
                &[none.into(), root.into(), 0.into(), flags.into(), 0.into()],
            );
        }
        Step::OwnerMap { map, owner, guest } => {
            let uid_map = format!("{} {} 1", owner.uid, guest.uid);
            let gid_map = format!("{} {} 1", owner.gid, guest.gid);
            let uids = e.bytes(uid_map.as_bytes());
            let gids = e.bytes(gid_map.as_bytes());
            let args = [
                uids.into(),
                Arg::from(uid_map.len() as u64),
                gids.into(),
                Arg::from(gid_map.len() as u64),
            ];
            e.pseudo(list, PSEUDO_USER_NAMESPACE, &args, map_slot(*map));
        }
        Step::HoldProc => {
            let proc = e.text("/proc");
            let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
            e.call_into(
                PROC_SLOT,
                list,
                libc::SYS_open_tree,
                &[libc::AT_FDCWD.into(), proc.into(), flags.into()],
            );
        }
        Step::NewRoot => mount_tmpfs(e, list, Path::new(NEW_ROOT), "mode=755,size=4m,nr_inodes=4k"),
        Step::MakeDirectory(path) => make_directory(e, list, &below(path)),
        Step::MakeFile { path, content } => make_file(e, list, &below(path), content.as_bytes()),
        Step::MakeSymlink { path, target } => {
            let target = e.text(target.as_os_str().as_bytes());
            let path = e.text(below(path));
            e.call(list, libc::SYS_symlinkat, &[target.into(), libc::AT_FDCWD.into(), path.into()]);
        }
        Step::Attach { source, target, access, device, map } => {
            clone_strictly(e, list, source, SCRATCH_2);
            let mut attributes = MOUNT_ATTR_NOSUID;
            attributes |= if *device { MOUNT_ATTR_NOEXEC } else { MOUNT_ATTR_NODEV };
            if *access == Access::ReadOnly {
                attributes |= MOUNT_ATTR_RDONLY;
            }
            let mapped = map.map(map_slot);
            set_attributes(e, list, SCRATCH_2, attributes, mapped, AT_RECURSIVE);
            move_mount(e, list, SCRATCH_2, &below(target));
            close(e, list, SCRATCH_2);
        }
        Step::HoldMapped { path, map } => {
            let slot = held.take_slot(path);
            clone_strictly(e, list, path, slot);
            if let Some(map) = map {
                set_attributes(e, list, slot, 0, Some(map_slot(*map)), AT_RECURSIVE);
            }
        }
        Step::Cover(path) => mount_tmpfs(e, list, path, "mode=755,size=1m,nr_inodes=1k"),
        Step::MakeWay { path, directory } => {
            for parent in parents(path) {
                make_directory(e, list, parent.as_os_str().as_bytes());
            }
            let path = path.as_os_str().as_bytes();
            if *directory { make_directory(e, list, path) } else { make_file(e, list, path, b"") }
        }
        Step::ShowTree(path) => show_tree(e, list, path, held),
        Step::AttachProc => move_mount(e, list, PROC_SLOT, &below(Path::new("/proc"))),
        Step::EnterRoot => {
            let root = e.text(NEW_ROOT);
            let here = e.text(".");
            let top = e.text("/");
            e.call(list, libc::SYS_chdir, &[root.into()]);
            e.call(list, libc::SYS_pivot_root, &[here.into(), here.into()]);
            e.call(list, libc::SYS_umount2, &[here.into(), libc::MNT_DETACH.into()]);
            e.call(list, libc::SYS_chdir, &[top.into()]);
        }
        Step::ReadOnlyRoot => {
            let root = e.text("/");
            let attributes =
                mount_attributes(e, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
            e.call(
                list,
                libc::SYS_mount_setattr,
                &[libc::AT_FDCWD.into(), root.into(), 0.into(), attributes.into(), 32.into()],
            );
        }
        Step::BecomeUnprivileged(Owner { uid, gid }) => {
            // SECBIT_NO_SETUID_FIXUP: the capabilities survive the change.
            e.call(list, libc::SYS_prctl, &[libc::PR_SET_SECUREBITS.into(), 4.into()]);
            e.call(list, libc::SYS_setgroups, &[0.into(), 0.into()]);
            e.call(list, libc::SYS_setresgid, &[(*gid).into(), (*gid).into(), (*gid).into()]);
            e.call(list, libc::SYS_setresuid, &[(*uid).into(), (*uid).into(), (*uid).into()]);
            // The change made us undumpable, and init, a copy of us, could not
            // open its own uid_map. There is nothing to read in here, and who
            // would attach needs all our capabilities.
            e.call(list, libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 1.into()]);
        }
        _ => unreachable!("a step of a run in the template"),
    }
}

fn encode_init(e: &mut Encoder, step: &Step, held: &mut Held) {
    let list = List::Init;
    match step {
        Step::DieWithLauncher => {
            e.call(list, libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG.into(), libc::SIGKILL.into()]);
        }
        Step::MapIds { outside } => write_maps(e, list, *outside),
        Step::HoldTree(path) => {
            let slot = held.take_slot(path);
            let text = e.text(path.as_os_str().as_bytes());
            let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
            e.call_into(
                slot,
                list,
                libc::SYS_open_tree,
                &[libc::AT_FDCWD.into(), text.into(), flags.into()],
            );
        }
        Step::MountTmpfs { target, size, inodes } => {
            mount_tmpfs(e, list, target, &format!("mode=1777,size={size},nr_inodes={inodes}"));
        }
        Step::MakeDirectory(path) => make_directory(e, list, path.as_os_str().as_bytes()),
        Step::MakeFile { path, content } => {
            make_file(e, list, path.as_os_str().as_bytes(), content.as_bytes())
        }
        Step::ShowTree(path) => show_tree(e, list, path, held),
        Step::MountProc => {
            let proc = e.text("proc");
            let path = e.text("/proc");
            let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
            e.call(
                list,
                libc::SYS_mount,
                &[proc.into(), path.into(), proc.into(), flags.into(), 0.into()],
            );
        }
        Step::ProtectProc(path) => {
            open_clone(e, list, path, 0);
            set_attributes(e, list, SCRATCH_2, MOUNT_ATTR_RDONLY, None, 0);
            move_mount(e, list, SCRATCH_2, path.as_bytes());
            close(e, list, SCRATCH_2);
        }
        Step::MaskProc(path) => {
            open_clone(e, list, "/dev/null", 0);
            move_mount(e, list, SCRATCH_2, path.as_bytes());
            close(e, list, SCRATCH_2);
        }
        Step::SetHostName => {
            let name = e.text(HOST_NAME);
            e.call(list, libc::SYS_sethostname, &[name.into(), Arg::from(HOST_NAME.len() as u64)]);
        }
        Step::NewKeyring => {
            // KEYCTL_JOIN_SESSION_KEYRING; a kernel without keyrings has none to leave.
            e.call(list, libc::SYS_keyctl, &[1.into(), 0.into()]).tolerate = errno(libc::ENOSYS);
        }
        Step::DropCapabilities => drop_capabilities(e, list),
        Step::NoNewPrivs => no_new_privs(e, list),
        Step::Undumpable => {
            e.call(list, libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 0.into()]);
        }
        Step::Landlock { abi, rules } => landlock(e, list, *abi, rules),
        _ => unreachable!("a step of another process in init"),
    }
}

fn encode_guest(e: &mut Encoder, step: &Step, payload: &Payload<'_>) {
    let list = List::Guest;
    match step {
        Step::NewSession => {
            e.call(list, libc::SYS_setsid, &[]);
        }
        Step::StandardStreams => {
            for (slot, fd) in [(STDIN_SLOT, 0), (STDOUT_SLOT, 1), (STDERR_SLOT, 2)] {
                e.call(list, libc::SYS_dup3, &[Arg::Slot(slot), fd.into(), 0.into()]);
            }
        }
        Step::ResourceLimit { resource, soft, hard, .. } => {
            let mut limit = soft.to_ne_bytes().to_vec();
            limit.extend_from_slice(&hard.to_ne_bytes());
            let limit = e.bytes(&limit);
            e.call(
                list,
                libc::SYS_prlimit64,
                &[0.into(), (*resource).into(), limit.into(), 0.into()],
            );
        }
        Step::EnterWorkDir(path) => {
            let path = e.text(path.as_os_str().as_bytes());
            e.call(list, libc::SYS_chdir, &[path.into()]);
        }
        Step::CloseDescriptors => {
            // CLOSE_RANGE_CLOEXEC: the report must still say that exec failed.
            e.call(list, libc::SYS_close_range, &[3.into(), u32::MAX.into(), 4.into()]);
        }
        Step::Seccomp { .. } => seccomp(e, list, payload.guest_filter),
        Step::Exec(path) => {
            let path = e.text(path.as_os_str().as_bytes());
            let argv = e.texts(list, payload.argv.iter().copied());
            let envp = e.texts(list, payload.envp.iter().map(Vec::as_slice));
            e.call(list, libc::SYS_execve, &[path.into(), argv.into(), envp.into()]);
        }
        _ => unreachable!("a step of another process in the guest"),
    }
}

/// `path` of the new root, while that still lies over [`NEW_ROOT`].
fn below(path: &Path) -> Vec<u8> {
    let mut whole = NEW_ROOT.as_bytes().to_vec();
    whole.extend_from_slice(path.as_os_str().as_bytes());
    whole
}

/// Trees that are held, by the path they will be shown at again.
#[derive(Debug, Default)]
struct Held(Vec<Option<PathBuf>>);

impl Held {
    /// A free slot for what is held of `path`.
    fn take_slot(&mut self, path: &Path) -> u32 {
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        match self.0.get_mut(free) {
            Some(slot) => *slot = Some(path.into()),
            None => self.0.push(Some(path.into())),
        }
        LAST_SLOT - u32::try_from(free).unwrap_or(0)
    }

    /// The slot of `path`, which is free again.
    fn give_back(&mut self, path: &Path) -> u32 {
        let held = self.0.iter().position(|known| known.as_deref() == Some(path)).unwrap_or(0);
        if let Some(slot) = self.0.get_mut(held) {
            *slot = None;
        }
        LAST_SLOT - u32::try_from(held).unwrap_or(0)
    }
}

fn show_tree(e: &mut Encoder, list: List, path: &Path, held: &mut Held) {
    let slot = held.give_back(path);
    move_mount(e, list, slot, path.as_os_str().as_bytes());
    close(e, list, slot);
}

/// The directories above `path`, the topmost first, without the root.
fn parents(path: &Path) -> Vec<&Path> {
    let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
    parents.pop();
    parents.reverse();
    parents
}

fn no_new_privs(e: &mut Encoder, list: List) {
    let yes = libc::PR_SET_NO_NEW_PRIVS;
    e.call(list, libc::SYS_prctl, &[yes.into(), 1.into(), 0.into(), 0.into(), 0.into()]);
}

fn map_slot(map: usize) -> u32 {
    FIRST_MAP_SLOT + u32::try_from(map).unwrap_or(u32::MAX)
}

fn errno(number: i32) -> u32 {
    number.cast_unsigned()
}

/// Maps [`GUEST_ID`] of the caller's new user namespace to one id outside. The
/// kernel lets a process do so for itself when groups cannot be dropped.
fn write_maps(e: &mut Encoder, list: List, outside: Owner) {
    write_file(e, list, "/proc/self/setgroups", b"deny");
    write_file(e, list, "/proc/self/uid_map", format!("{GUEST_ID} {} 1", outside.uid).as_bytes());
    write_file(e, list, "/proc/self/gid_map", format!("{GUEST_ID} {} 1", outside.gid).as_bytes());
}

fn write_file(e: &mut Encoder, list: List, path: &str, content: &[u8]) {
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

fn make_directory(e: &mut Encoder, list: List, path: &[u8]) {
    let path = e.text(path);
    e.call(list, libc::SYS_mkdirat, &[libc::AT_FDCWD.into(), path.into(), 0o755.into()]).tolerate =
        errno(libc::EEXIST);
}

fn make_file(e: &mut Encoder, list: List, path: &[u8], content: &[u8]) {
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

fn mount_tmpfs(e: &mut Encoder, list: List, target: &Path, options: &str) {
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
fn clone_strictly(e: &mut Encoder, list: List, path: &Path, into: u32) {
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

fn open_clone(e: &mut Encoder, list: List, path: &str, flags: u32) {
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
fn mount_attributes(e: &mut Encoder, set: u64) -> Data {
    let words: Vec<u8> = [set, 0, 0, 0].iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
    e.bytes(&words)
}

fn set_attributes(e: &mut Encoder, list: List, tree: u32, set: u64, map: Option<u32>, flags: u32) {
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

fn move_mount(e: &mut Encoder, list: List, tree: u32, target: &[u8]) {
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

fn close(e: &mut Encoder, list: List, slot: u32) {
    e.call(list, libc::SYS_close, &[Arg::Slot(slot)]);
}

/// `SIOCSIFFLAGS` on `lo` with `IFF_UP | IFF_RUNNING` (netdevice(7)).
fn loopback_up(e: &mut Encoder, list: List) {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    e.call_into(SCRATCH, list, libc::SYS_socket, &[libc::AF_INET.into(), kind.into(), 0.into()]);
    // `struct ifreq`: 16 bytes of name, then a union that begins with the flags.
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    let flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    let request = e.bytes(&request);
    e.call(
        list,
        libc::SYS_ioctl,
        &[Arg::Slot(SCRATCH), Arg::from(libc::SIOCSIFFLAGS), request.into()],
    );
    close(e, list, SCRATCH);
}

/// Listens on the loopback, and sends the socket to the host over the one in
/// `proxy`, as sendmsg(2) and cmsg(3) want it on a 64-bit machine.
fn open_way_out(e: &mut Encoder, proxy: u32) {
    let list = List::Init;
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    e.call_into(SCRATCH, list, libc::SYS_socket, &[libc::AF_INET.into(), kind.into(), 0.into()]);
    // `struct sockaddr_in`: family, port, address, padding.
    let mut address = [0_u8; 16];
    address[..2].copy_from_slice(&u16::try_from(libc::AF_INET).unwrap_or(0).to_ne_bytes());
    address[2..4].copy_from_slice(&PROXY_PORT.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    let address = e.bytes(&address);
    e.call(list, libc::SYS_bind, &[Arg::Slot(SCRATCH), address.into(), 16.into()]);
    e.call(list, libc::SYS_listen, &[Arg::Slot(SCRATCH), 128.into()]);

    // `struct cmsghdr`: length without padding, level, type; then the descriptor.
    let mut control = 20_u64.to_ne_bytes().to_vec();
    control.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control.extend_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    control.resize(24, 0);
    let control = e.bytes(&control);
    e.pseudo(list, PSEUDO_STORE, &[control.plus(16).into(), SCRATCH.into()], NO_SLOT);
    // `struct iovec`: a message must have a byte to be one.
    let byte = e.bytes(b"L");
    let vector = e.bytes(&[0_u64.to_ne_bytes(), 1_u64.to_ne_bytes()].concat());
    e.patch_pointer(list, vector, byte);
    // `struct msghdr`: name, its length, vectors, their count, control, its
    // length, flags.
    let words = [0_u64, 0, 0, 1, 0, 24, 0];
    let header = e.bytes(&words.map(u64::to_ne_bytes).concat());
    e.patch_pointer(list, header.plus(16), vector);
    e.patch_pointer(list, header.plus(32), control);
    let flags = libc::MSG_NOSIGNAL;
    e.call(list, libc::SYS_sendmsg, &[Arg::Slot(proxy), header.into(), flags.into()]);
    close(e, list, SCRATCH);
    close(e, list, proxy);
}

fn drop_capabilities(e: &mut Encoder, list: List) {
    // More than any kernel has; those it does not know are EINVAL.
    for capability in 0..=47_i32 {
        e.call(list, libc::SYS_prctl, &[libc::PR_CAPBSET_DROP.into(), capability.into()])
            .tolerate = errno(libc::EINVAL);
    }
    // SECBIT_NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each locked, and
    // KEEP_CAPS locked off (`uapi/linux/securebits.h`).
    const LOCKED: i32 = 0b1110_1111;
    e.call(list, libc::SYS_prctl, &[libc::PR_SET_SECUREBITS.into(), LOCKED.into()]);
    // _LINUX_CAPABILITY_VERSION_3, this process; three sets of 64 bits, empty.
    let mut header = 0x2008_0522_u32.to_ne_bytes().to_vec();
    header.extend_from_slice(&0_u32.to_ne_bytes());
    let header = e.bytes(&header);
    let sets = e.bytes(&[0; 24]);
    e.call(list, libc::SYS_capset, &[header.into(), sets.into()]);
}

fn seccomp(e: &mut Encoder, list: List, filter: &[u8]) {
    let instructions = e.bytes(filter);
    // `struct sock_fprog`: a 16-bit length, padding, a pointer.
    let mut program = u16::try_from(filter.len() / 8).unwrap_or(u16::MAX).to_ne_bytes().to_vec();
    program.resize(16, 0);
    let program = e.bytes(&program);
    e.patch_pointer(list, program.plus(8), instructions);
    // SECCOMP_SET_MODE_FILTER, no flags.
    e.call(list, libc::SYS_seccomp, &[1.into(), 0.into(), program.into()]);
}

// From `uapi/linux/landlock.h`.
mod access {
    pub(super) const EXECUTE: u64 = 1;
    pub(super) const WRITE_FILE: u64 = 1 << 1;
    pub(super) const READ_FILE: u64 = 1 << 2;
    pub(super) const READ_DIR: u64 = 1 << 3;
    pub(super) const TRUNCATE: u64 = 1 << 14;
    pub(super) const IOCTL_DEV: u64 = 1 << 15;
    /// What a rule on a file may hold.
    pub(super) const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
    /// Abstract unix sockets and signals, from ABI 6 on.
    pub(super) const SCOPES: u64 = 0b11;
}

/// Every right that a revision of Landlock knows.
fn handled(abi: u32) -> u64 {
    match abi {
        0 => 0,
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    }
}

fn landlock(e: &mut Encoder, list: List, abi: u32, rules: &[LandlockRule]) {
    let handled = handled(abi);
    // `struct landlock_ruleset_attr`: fs, net, scoped; older kernels know less.
    let (words, length): (&[u64], i32) = match abi {
        0..=3 => (&[handled], 8),
        4 | 5 => (&[handled, 0], 16),
        _ => (&[handled, 0, access::SCOPES], 24),
    };
    let attributes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let attributes = e.bytes(&attributes);
    e.call_into(
        SCRATCH,
        list,
        libc::SYS_landlock_create_ruleset,
        &[attributes.into(), length.into(), 0.into()],
    );
    for rule in rules {
        let rights = handled
            & match rule.rights {
                Rights::List => access::READ_DIR,
                Rights::Read => access::READ_DIR | access::READ_FILE,
                Rights::ReadExecute => access::READ_DIR | access::READ_FILE | access::EXECUTE,
                Rights::Device => {
                    access::READ_DIR
                        | access::READ_FILE
                        | access::WRITE_FILE
                        | access::IOCTL_DEV
                        | access::TRUNCATE
                }
                Rights::All => u64::MAX,
            };
        let rights = if rule.directory { rights } else { rights & access::OF_FILES };
        let path = e.text(OsStr::as_bytes(rule.path.as_os_str()));
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        e.call_into(
            SCRATCH_2,
            list,
            libc::SYS_openat,
            &[libc::AT_FDCWD.into(), path.into(), flags.into(), 0.into()],
        );
        // `struct landlock_path_beneath_attr`, packed: rights, parent_fd.
        let mut attributes = rights.to_ne_bytes().to_vec();
        attributes.resize(16, 0);
        let attributes = e.bytes(&attributes);
        e.pseudo(list, PSEUDO_STORE, &[attributes.plus(8).into(), Arg::from(SCRATCH_2)], NO_SLOT);
        // LANDLOCK_RULE_PATH_BENEATH
        e.call(
            list,
            libc::SYS_landlock_add_rule,
            &[Arg::Slot(SCRATCH), 1.into(), attributes.into(), 0.into()],
        );
        close(e, list, SCRATCH_2);
    }
    e.call(list, libc::SYS_landlock_restrict_self, &[Arg::Slot(SCRATCH), 0.into()]);
    close(e, list, SCRATCH);
}
