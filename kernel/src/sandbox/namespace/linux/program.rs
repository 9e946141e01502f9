//! Steps → system calls: what each step of the plan is made of.

mod landlock;
mod mounts;
mod network;
mod privileges;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{landlock, scope_signals};
use mounts::{
    AT_RECURSIVE, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE, clone_strictly, close, make_directory, make_file,
    mount_attributes, mount_tmpfs, move_mount, open_clone, set_attributes, write_maps,
};
use network::{loopback_up, open_way_out};
use neuroflow_launcher::wire::{Kind, MAX_SLOTS, NO_SLOT, PSEUDO_LIVES, PSEUDO_USER_NAMESPACE};
use privileges::{drop_capabilities, no_new_privs, seccomp, signals};

use super::super::plan::{HOST_NAME, Owner, Step, Steps};
use super::encode::{Arg, Clone, Encoder, List};
use crate::sandbox::policy::Access;

/// Slots that a run's message fills with its descriptors, in this order.
pub(super) const STDIN_SLOT: u32 = 0;
/// Standard output.
pub(super) const STDOUT_SLOT: u32 = 1;
/// Standard error.
pub(super) const STDERR_SLOT: u32 = 2;
/// The socket on which init reports.
pub(super) const REPORT_SLOT: u32 = 3;
/// A pidfd of the launcher.
pub(super) const LAUNCHER_SLOT: u32 = 4;
/// The cgroup, where there is one.
pub(super) const CGROUP_SLOT: u32 = 5;
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
            Step::ForkInit { .. } => flags = 0,
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

/// Asks for `signal` when the launcher ends. Who asks too late is not told: so
/// it is looked at afterwards.
fn end_with_launcher(e: &mut Encoder, list: List, signal: libc::c_int) {
    e.call(list, libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG.into(), signal.into()]);
    e.pseudo(list, PSEUDO_LIVES, &[Arg::from(LAUNCHER_SLOT)], NO_SLOT);
}

fn encode_init(e: &mut Encoder, step: &Step, held: &mut Held) {
    let list = List::Init;
    match step {
        Step::AdoptOrphans => {
            e.call(list, libc::SYS_prctl, &[libc::PR_SET_CHILD_SUBREAPER.into(), 1.into()]);
            signals(e, list, libc::SIG_BLOCK, &[libc::SIGTERM, libc::SIGCHLD]);
            // After the block: it is not to die of it, but to end the others.
            end_with_launcher(e, list, libc::SIGTERM);
        }
        Step::DieWithLauncher => {
            end_with_launcher(e, list, libc::SIGKILL);
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
        Step::ScopeSignals => scope_signals(e, list),
        Step::UnblockSignals => signals(e, list, libc::SIG_SETMASK, &[]),
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

fn map_slot(map: usize) -> u32 {
    FIRST_MAP_SLOT + u32::try_from(map).unwrap_or(u32::MAX)
}

fn errno(number: i32) -> u32 {
    number.cast_unsigned()
}
