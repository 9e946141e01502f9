//! Policy → list of steps. Pure and portable: the order of a start can be read,
//! printed and tested on any machine.
//!
//! [`Steps::new`] is the one place that decides what happens and when. Adding a
//! protection means adding a line there and teaching
//! [`program`](super::linux::program) which system calls it is made of.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::sandbox::policy::hosts::PROXY_PORT;
use crate::sandbox::policy::{Access, Network, Policy};

/// The identity the guest has inside: an ordinary user, never 0.
pub const GUEST_ID: u32 = 1000;

/// What the sandbox calls itself.
pub const HOST_NAME: &str = "sandbox";

/// One step of a start. Its `Display` is the line of `neuroflow explain` and of
/// an error: `mount proc on /proc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Enter a user namespace of the launcher's own, in which it may mount.
    NewUserNamespace {
        /// The caller's ids, which become [`GUEST_ID`].
        uid: u32,
        /// Likewise for the group.
        gid: u32,
    },
    /// Enter a mount namespace of the launcher's own: the template.
    NewMountNamespace,
    /// Cut the template off from mounts and unmounts of the host.
    PrivateMounts,
    /// Make the map by which files of `owner` belong to the guest.
    OwnerMap {
        /// Number of the map; [`Step::Attach`] names it.
        map: usize,
        /// Who owns the files on disk.
        owner: Owner,
        /// Who the guest is for the host.
        guest: Owner,
    },
    /// Keep hold of the host's /proc: the kernel lets a sandbox mount a fresh
    /// one only while a whole one is in sight.
    HoldProc,
    /// Begin an empty root on a tmpfs.
    NewRoot,
    /// Make a directory in the new root.
    MakeDirectory(PathBuf),
    /// Make a file in the new root.
    MakeFile {
        /// Where.
        path: PathBuf,
        /// What is in it; empty for a mount point.
        content: String,
    },
    /// Make a symbolic link in the new root.
    MakeSymlink {
        /// Where.
        path: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// Show a file or tree of the host in the new root.
    Attach {
        /// Path on the host; no symbolic link in it is followed.
        source: PathBuf,
        /// Path in the new root.
        target: PathBuf,
        /// What may be done with it.
        access: Access,
        /// Whether it is one of the harmless devices.
        device: bool,
        /// The [`Step::OwnerMap`] it is seen through.
        map: Option<usize>,
    },
    /// Put the host's /proc, which every sandbox covers with its own, in place.
    AttachProc,
    /// Without a root of our own: keep hold of a path as the guest shall see it.
    HoldMapped {
        /// The path; no symbolic link in it is followed.
        path: PathBuf,
        /// The [`Step::OwnerMap`] it is seen through.
        map: Option<usize>,
    },
    /// Without a root of our own: hide a directory that the guest's user could
    /// not enter, and with it what is in it.
    Cover(PathBuf),
    /// Make the way through a covered directory to something shown.
    MakeWay {
        /// Where it shall be shown.
        path: PathBuf,
        /// Whether that is a directory.
        directory: bool,
    },
    /// Make the new root the root, and let go of everything else.
    EnterRoot,
    /// Make the root itself read-only.
    ReadOnlyRoot,
    /// Stop being host root; keep the capabilities for starting sandboxes.
    BecomeUnprivileged(Owner),

    /// Enter a fresh network namespace, for the next init to be born into. It
    /// takes the kernel a millisecond, so it is made while nobody waits.
    NewNetwork,
    /// Clone init into namespaces of its own.
    NewNamespaces {
        /// Whether init is born in a cgroup of the run's own.
        cgroup: bool,
    },
    /// End init, and with it the sandbox, when the launcher ends.
    DieWithLauncher,
    /// Name the one user that exists inside.
    MapIds {
        /// The guest's ids as the launcher sees them.
        outside: Owner,
    },
    /// Remember what is shown at a path that the next mount will cover.
    HoldTree(PathBuf),
    /// Mount an empty private tmpfs.
    MountTmpfs {
        /// Where.
        target: PathBuf,
        /// Bytes.
        size: u64,
        /// Files and directories.
        inodes: u64,
    },
    /// Show again what [`Step::HoldTree`] remembered.
    ShowTree(PathBuf),
    /// Mount a fresh proc that shows this PID namespace alone.
    MountProc,
    /// Make a part of /proc read-only.
    ProtectProc(&'static str),
    /// Hide a part of /proc.
    MaskProc(&'static str),
    /// Bring the sandbox's own loopback interface up.
    LoopbackUp,
    /// Listen on the sandbox's loopback, and hand the socket out to the host's
    /// proxy: the one way out to the hosts that are allowed.
    OpenWayOut,
    /// Name the host inside.
    SetHostName,
    /// Leave the session keyring of the caller.
    NewKeyring,
    /// Give up every capability, for good.
    DropCapabilities,
    /// Set `no_new_privs`.
    NoNewPrivs,
    /// Make init unreadable for the guest: no attaching, no /proc/1/mem.
    Undumpable,
    /// Restrict file access once more, by Landlock.
    Landlock {
        /// Which revision of Landlock.
        abi: u32,
        /// The rules.
        rules: Vec<LandlockRule>,
    },
    /// Fork the guest, which is not PID 1.
    ForkGuest,

    /// Leave the session, and with it the terminal, of the caller.
    NewSession,
    /// Put the three standard streams in place.
    StandardStreams,
    /// Set a resource limit of the guest and what it starts.
    ResourceLimit {
        /// The name, as in setrlimit(2).
        name: &'static str,
        /// The number of the resource.
        resource: u32,
        /// Soft limit.
        soft: u64,
        /// Hard limit.
        hard: u64,
    },
    /// Change into the work dir.
    EnterWorkDir(PathBuf),
    /// Have every descriptor but the standard streams closed by the exec.
    CloseDescriptors,
    /// Filter the guest's system calls.
    Seccomp {
        /// Instructions of the filter.
        instructions: usize,
    },
    /// Start the program.
    Exec(PathBuf),
    /// Let init do nothing but wait: a filter of a handful of calls.
    ConfineInit,
}

/// A pair of numeric ids on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A path hierarchy and what Landlock allows below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandlockRule {
    /// The top of the hierarchy, as seen inside.
    pub path: PathBuf,
    /// What may be done below it.
    pub rights: Rights,
    /// A file takes fewer rights than a directory.
    pub directory: bool,
}

/// What a [`LandlockRule`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// List directories.
    List,
    /// Read files and list directories.
    Read,
    /// Read, and execute.
    ReadExecute,
    /// Read and write existing files; no making of files.
    Device,
    /// Everything.
    All,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewUserNamespace { uid, gid } => {
                write!(f, "enter a user namespace ({GUEST_ID} is host user {uid}, group {gid})")
            }
            Self::NewMountNamespace => f.write_str("enter a mount namespace"),
            Self::PrivateMounts => f.write_str("make all mounts private"),
            Self::OwnerMap { map, owner, guest } => write!(
                f,
                "make owner map {map}: host user {} is the guest, host user {}",
                owner.uid, guest.uid
            ),
            Self::HoldProc => f.write_str("keep hold of the host's /proc"),
            Self::NewRoot => f.write_str("begin an empty root on a tmpfs"),
            Self::MakeDirectory(path) => write!(f, "make the directory {}", path.display()),
            Self::MakeFile { path, .. } => write!(f, "make the file {}", path.display()),
            Self::MakeSymlink { path, target } => {
                write!(f, "link {} to {}", path.display(), target.display())
            }
            Self::Attach { source, target, access, device, map } => {
                let access = match access {
                    Access::ReadOnly => "read-only",
                    Access::ReadWrite => "read-write",
                };
                let device = if *device { ", device" } else { "" };
                write!(f, "show {} {access}{device}", source.display())?;
                if source != target {
                    write!(f, " as {}", target.display())?;
                }
                match map {
                    Some(map) => write!(f, ", through owner map {map}"),
                    None => Ok(()),
                }
            }
            Self::AttachProc => f.write_str("put the host's /proc where it will be covered"),
            Self::HoldMapped { path, map: None } => write!(f, "keep hold of {}", path.display()),
            Self::HoldMapped { path, map: Some(map) } => {
                write!(f, "keep hold of {}, seen through owner map {map}", path.display())
            }
            Self::Cover(path) => {
                write!(f, "cover {}, which the guest could not enter", path.display())
            }
            Self::MakeWay { path, .. } => write!(f, "make the way to {}", path.display()),
            Self::EnterRoot => f.write_str("enter the new root and let go of the old one"),
            Self::ReadOnlyRoot => f.write_str("make the root read-only"),
            Self::BecomeUnprivileged(owner) => {
                write!(f, "become host user {}, group {}", owner.uid, owner.gid)
            }
            Self::NewNamespaces { cgroup } => {
                f.write_str(
                    "clone init into new user, PID, mount, IPC, UTS and cgroup namespaces",
                )?;
                f.write_str(if *cgroup { ", born in the run's cgroup" } else { "" })
            }
            Self::DieWithLauncher => f.write_str("end with the launcher"),
            Self::MapIds { outside } => {
                write!(
                    f,
                    "map user {GUEST_ID} to {} and group {GUEST_ID} to {}",
                    outside.uid, outside.gid
                )
            }
            Self::HoldTree(path) => write!(f, "keep hold of {}", path.display()),
            Self::MountTmpfs { target, size, inodes } => {
                write!(f, "mount a tmpfs on {} ({size} bytes, {inodes} inodes)", target.display())
            }
            Self::ShowTree(path) => write!(f, "show {} again", path.display()),
            Self::MountProc => f.write_str("mount proc on /proc"),
            Self::ProtectProc(path) => write!(f, "make {path} read-only"),
            Self::MaskProc(path) => write!(f, "hide {path}"),
            Self::NewNetwork => f.write_str("enter a fresh network namespace"),
            Self::LoopbackUp => f.write_str("bring the loopback interface up"),
            Self::OpenWayOut => {
                write!(
                    f,
                    "listen on 127.0.0.1:{PROXY_PORT} and hand the socket to the host's proxy"
                )
            }
            Self::SetHostName => write!(f, "set the host name to {HOST_NAME}"),
            Self::NewKeyring => f.write_str("join a keyring of its own"),
            Self::DropCapabilities => f.write_str("drop all capabilities"),
            Self::NoNewPrivs => f.write_str("set no_new_privs"),
            Self::Undumpable => f.write_str("make init undumpable"),
            Self::Landlock { abi, rules } => {
                write!(f, "apply Landlock ABI {abi} with {} rules", rules.len())
            }
            Self::ForkGuest => f.write_str("fork the guest"),
            Self::NewSession => f.write_str("begin a session"),
            Self::StandardStreams => f.write_str("put the standard streams in place"),
            Self::ResourceLimit { name, soft, hard, .. } => match (*soft, *hard) {
                (soft, hard) if soft == hard => write!(f, "set {name} to {soft}"),
                (soft, hard) => write!(f, "set {name} to {soft} (hard {hard})"),
            },
            Self::EnterWorkDir(path) => write!(f, "enter {}", path.display()),
            Self::CloseDescriptors => f.write_str("close every other descriptor at exec"),
            Self::Seccomp { instructions } => {
                write!(f, "install the seccomp filter ({instructions} instructions)")
            }
            Self::Exec(path) => write!(f, "execute {}", path.display()),
            Self::ConfineInit => f.write_str("confine init to waiting"),
        }
    }
}

/// What the plan needs to know of this machine, found by looking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The caller's ids.
    pub caller: Option<Owner>,
    /// Whether the caller is host root.
    pub root: bool,
    /// Which ids the guest has for the host.
    pub guest: Option<Owner>,
    /// Top-level system directories, as they are here.
    pub system: Vec<(PathBuf, Entry)>,
    /// Files and directories of /etc that programs need and that tell nothing.
    pub etc: Vec<(PathBuf, Entry)>,
    /// The host's resolv.conf, for a guest that has the host's network.
    pub resolv_conf: Option<String>,
    /// Who owns each of the [`shown`] paths, in that order, and whether it is a
    /// directory.
    pub shown: Vec<(Owner, bool)>,
    /// Entries of [`HIDDEN_PROC`] that exist.
    pub hidden_proc: Vec<&'static str>,
    /// The Landlock ABI; 0 for none.
    pub landlock_abi: u32,
    /// Whether the shown paths lie on filesystems that cannot be idmapped.
    pub unmappable: bool,
}

impl Surroundings {
    fn caller(&self) -> Owner {
        self.caller.unwrap_or(Owner { uid: GUEST_ID, gid: GUEST_ID })
    }

    /// The guest's ids as the launcher sees them: rootless, it sees itself as
    /// [`GUEST_ID`] of a user namespace of its own.
    fn guest_ids(&self) -> Owner {
        match self.guest {
            Some(guest) if self.root => guest,
            _ => Owner { uid: GUEST_ID, gid: GUEST_ID },
        }
    }
}

/// What kind of thing a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A symbolic link with this target.
    Link(PathBuf),
}

/// Parts of /proc that tell of the whole machine, or of kernel memory.
///
/// Those that only root can read are out of reach already: the guest is not root
/// for the host. They are hidden if others can read them.
pub const HIDDEN_PROC: &[&str] = &[
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kmsg",
    "/proc/kallsyms",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/slabinfo",
    "/proc/vmallocinfo",
    "/proc/pagetypeinfo",
    "/proc/iomem",
    "/proc/interrupts",
    "/proc/modules",
    // Open for writing to everybody, to be woken when the machine is short of something.
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/irq",
    "/proc/pressure/memory",
    "/proc/sysrq-trigger",
    "/proc/latency_stats",
];

/// Parts of /proc that steer the machine; they are shown read-only.
const STEERING_PROC: &[&str] = &["/proc/sys"];

/// The devices that harm nobody, with their numbers.
pub const DEVICES: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
];

/// The steps of a start, by the process that takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Once per launcher: the template.
    pub template: Vec<Step>,
    /// By the launcher, for every run, ahead of time.
    pub next: Vec<Step>,
    /// By init, for every run; the first is the clone that makes init.
    pub init: Vec<Step>,
    /// By the guest, up to its exec.
    pub guest: Vec<Step>,
    /// By init, once the guest is forked.
    pub after: Vec<Step>,
}

/// What differs from run to run under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The executable, as seen inside.
    pub program: PathBuf,
    /// Instructions of the seccomp filter, where there is one.
    pub seccomp: Option<usize>,
    /// Whether a cgroup limits memory, so that address space need not.
    pub cgroup: bool,
}

impl Steps {
    /// Works out every step, in order. The reason stands beside a line that
    /// cannot move.
    #[must_use]
    pub fn new(policy: &Policy, around: &Surroundings, launch: &Launch) -> Self {
        Self { template: Self::template(policy, around), ..Self::run(policy, around, launch) }
    }

    /// The steps of the template alone.
    #[must_use]
    pub fn template(policy: &Policy, around: &Surroundings) -> Vec<Step> {
        template(policy, around, around.caller(), around.guest_ids())
    }

    /// The steps of a run alone.
    #[must_use]
    pub fn run(policy: &Policy, around: &Surroundings, launch: &Launch) -> Self {
        Self {
            template: Vec::new(),
            next: match policy.network {
                Network::None | Network::Hosts(_) => own_network(),
                Network::All => Vec::new(),
            },
            init: init(policy, around, around.guest_ids(), launch.cgroup),
            guest: guest_steps(policy, launch),
            after: vec![Step::ConfineInit],
        }
    }

    /// All steps with the process that takes each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Step)> {
        let template = self.template.iter().map(|step| ("launcher", step));
        let next = self.next.iter().map(|step| ("launcher", step));
        let init = self.init.iter().map(|step| ("init", step));
        let guest = self.guest.iter().map(|step| ("guest", step));
        let after = self.after.iter().map(|step| ("init", step));
        template.chain(next).chain(init).chain(guest).chain(after)
    }
}

fn template(policy: &Policy, around: &Surroundings, caller: Owner, guest: Owner) -> Vec<Step> {
    let mut steps = Vec::new();
    if !around.root {
        steps.push(Step::NewUserNamespace { uid: caller.uid, gid: caller.gid });
    }
    steps.push(Step::NewMountNamespace);
    // First of all mounts, or those below would show on the host.
    steps.push(Step::PrivateMounts);
    // Needs the host's /proc, so before the new root covers it.
    let maps = owner_maps(around, guest);
    steps.extend(maps.iter().enumerate().map(|(map, owner)| Step::OwnerMap {
        map,
        owner: *owner,
        guest,
    }));
    steps.push(Step::HoldProc);
    steps.push(Step::NewRoot);

    for (path, entry) in &around.system {
        show_system(&mut steps, path, entry);
    }
    steps.push(Step::MakeDirectory("/etc".into()));
    for (name, content) in ETC_FILES {
        steps.push(Step::MakeFile { path: (*name).into(), content: (*content).into() });
    }
    for (path, entry) in &around.etc {
        show_system(&mut steps, path, entry);
    }
    if let (Network::All, Some(content)) = (&policy.network, &around.resolv_conf) {
        steps.push(Step::MakeFile { path: "/etc/resolv.conf".into(), content: content.clone() });
    }
    steps.push(Step::MakeDirectory("/dev".into()));
    for (device, ..) in DEVICES {
        steps.push(Step::MakeFile { path: (*device).into(), content: String::new() });
        steps.push(Step::Attach {
            source: (*device).into(),
            target: (*device).into(),
            access: Access::ReadWrite,
            device: true,
            map: None,
        });
    }
    for (link, target) in DEVICE_LINKS {
        steps.push(Step::MakeSymlink { path: (*link).into(), target: (*target).into() });
    }
    for mount_point in ["/dev/shm", "/tmp", "/var", "/var/tmp", "/run", "/home"] {
        steps.push(Step::MakeDirectory(mount_point.into()));
    }
    let mut made = Vec::new();
    for (index, (path, access)) in shown(policy).enumerate() {
        let (owner, directory) = around.shown.get(index).copied().unwrap_or((caller, true));
        make_parents(&mut steps, &mut made, path);
        if directory {
            push_once(&mut steps, &mut made, path);
        } else {
            steps.push(Step::MakeFile { path: path.into(), content: String::new() });
        }
        steps.push(Step::Attach {
            source: path.into(),
            target: path.into(),
            access,
            device: false,
            map: maps.iter().position(|mapped| *mapped == owner),
        });
    }
    steps.push(Step::MakeDirectory("/proc".into()));
    steps.push(Step::AttachProc);
    steps.push(Step::EnterRoot);
    // After the last directory was made in it.
    steps.push(Step::ReadOnlyRoot);
    if around.root {
        // Last: what stands above needs host root.
        steps.push(Step::BecomeUnprivileged(guest));
    }
    steps
}

/// The work dir, then the allowed paths, parents before what lies below them,
/// so that no mount covers another.
pub fn shown(policy: &Policy) -> impl Iterator<Item = (&Path, Access)> {
    let work_dir = std::iter::once((policy.work_dir.as_path(), Access::ReadWrite));
    let paths = policy.allowed_paths.iter().map(|allowed| (allowed.path.as_path(), allowed.access));
    let mut all: Vec<_> = work_dir.chain(paths).collect();
    all.sort_by_key(|(path, _)| path.components().count());
    all.into_iter()
}

/// The owners whose files the guest gets as its own. Rootless there is none: the
/// guest is the caller.
pub(crate) fn owner_maps(around: &Surroundings, guest: Owner) -> Vec<Owner> {
    let mut maps: Vec<Owner> = Vec::new();
    if around.root && !around.unmappable {
        for (owner, _) in &around.shown {
            if !maps.contains(owner) && *owner != guest {
                maps.push(*owner);
            }
        }
    }
    maps
}

fn show_system(steps: &mut Vec<Step>, path: &Path, entry: &Entry) {
    match entry {
        Entry::Link(target) => {
            steps.push(Step::MakeSymlink { path: path.into(), target: target.clone() });
            return;
        }
        Entry::Directory => steps.push(Step::MakeDirectory(path.into())),
        Entry::File => {
            steps.push(Step::MakeFile { path: path.into(), content: String::new() });
        }
    }
    steps.push(Step::Attach {
        source: path.into(),
        target: path.into(),
        access: Access::ReadOnly,
        device: false,
        map: None,
    });
}

fn make_parents(steps: &mut Vec<Step>, made: &mut Vec<PathBuf>, path: &Path) {
    let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
    parents.pop();
    for parent in parents.into_iter().rev() {
        push_once(steps, made, parent);
    }
}

fn push_once(steps: &mut Vec<Step>, made: &mut Vec<PathBuf>, path: &Path) {
    if !made.iter().any(|known| known == path) {
        made.push(path.into());
        steps.push(Step::MakeDirectory(path.into()));
    }
}

/// Symbolic links that programs expect in /dev.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Files of /etc that are ours: the host's own would tell about the host.
const ETC_FILES: &[(&str, &str)] = &[
    (
        "/etc/passwd",
        "guest:x:1000:1000:guest:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("/etc/group", "guest:x:1000:\nnogroup:x:65534:\n"),
    ("/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"),
    ("/etc/hostname", "sandbox\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

fn init(policy: &Policy, around: &Surroundings, guest: Owner, cgroup: bool) -> Vec<Step> {
    let mut steps = vec![
        Step::NewNamespaces { cgroup },
        Step::DieWithLauncher,
        Step::MapIds { outside: guest },
    ];

    private_tmp(&mut steps, policy, around);
    steps.push(Step::MountProc);
    steps.extend(STEERING_PROC.iter().map(|path| Step::ProtectProc(path)));
    steps.extend(around.hidden_proc.iter().map(|path| Step::MaskProc(path)));
    if let Network::Hosts(_) = policy.network {
        steps.push(Step::OpenWayOut);
    }
    steps.push(Step::SetHostName);
    steps.push(Step::NewKeyring);
    // After the last mount: a mount needs CAP_SYS_ADMIN, and Landlock refuses it.
    steps.push(Step::DropCapabilities);
    steps.push(Step::NoNewPrivs);
    steps.push(Step::Undumpable);
    if policy.landlock && around.landlock_abi > 0 {
        let rules = landlock_rules(policy, around);
        steps.push(Step::Landlock { abi: around.landlock_abi, rules });
    }
    steps.push(Step::ForkGuest);
    steps
}

/// Mounts a private tmpfs on /tmp and /dev/shm.
pub(crate) fn private_tmp(steps: &mut Vec<Step>, policy: &Policy, around: &Surroundings) {
    // What the policy shows below /tmp and /dev/shm is in the template, and the
    // private tmpfs would cover it.
    let tmp = Path::new("/tmp");
    let shm = Path::new("/dev/shm");
    for (target, size, inodes) in [(tmp, TMP_BYTES, TMP_INODES), (shm, SHM_BYTES, SHM_INODES)] {
        if shown(policy).any(|(path, _)| path == target) {
            continue;
        }
        let below: Vec<&Path> = topmost_below(policy, target);
        steps.extend(below.iter().map(|path| Step::HoldTree(path.into())));
        steps.push(Step::MountTmpfs { target: target.into(), size, inodes });
        let mut made = vec![target.to_path_buf(), "/dev".into()];
        for path in below {
            make_parents(steps, &mut made, path);
            let directory = shown(policy)
                .zip(&around.shown)
                .find(|((known, _), _)| *known == path)
                .is_none_or(|(_, (_, directory))| *directory);
            if directory {
                push_once(steps, &mut made, path);
            } else {
                steps.push(Step::MakeFile { path: path.into(), content: String::new() });
            }
            steps.push(Step::ShowTree(path.into()));
        }
    }
}

/// The shown paths below `target` that lie below no other of them.
fn topmost_below<'p>(policy: &'p Policy, target: &Path) -> Vec<&'p Path> {
    let mut top: Vec<&Path> = Vec::new();
    for (path, _) in shown(policy) {
        if path.starts_with(target) && !top.iter().any(|above| path.starts_with(above)) {
            top.push(path);
        }
    }
    top
}

const TMP_BYTES: u64 = 64 << 20;
const TMP_INODES: u64 = 16 << 10;
const SHM_BYTES: u64 = 64 << 20;
const SHM_INODES: u64 = 1 << 10;

fn landlock_rules(policy: &Policy, around: &Surroundings) -> Vec<LandlockRule> {
    let mut rules = Vec::new();
    let mut allow = |path: &Path, rights, directory| {
        rules.push(LandlockRule { path: path.into(), rights, directory });
    };
    allow(Path::new("/"), Rights::List, true);
    for (path, entry) in &around.system {
        if *entry == Entry::Directory {
            allow(path, Rights::ReadExecute, true);
        }
    }
    allow(Path::new("/etc"), Rights::Read, true);
    allow(Path::new("/proc"), Rights::Read, true);
    allow(Path::new("/dev"), Rights::Device, true);
    allow(Path::new("/dev/shm"), Rights::All, true);
    allow(Path::new("/tmp"), Rights::All, true);
    for (index, (path, access)) in shown(policy).enumerate() {
        let directory = around.shown.get(index).is_none_or(|(_, directory)| *directory);
        let rights = match access {
            Access::ReadOnly => Rights::ReadExecute,
            Access::ReadWrite => Rights::All,
        };
        allow(path, rights, directory);
    }
    rules
}

/// A network of the guest's own, with nobody in it.
pub(crate) fn own_network() -> Vec<Step> {
    vec![Step::NewNetwork, Step::LoopbackUp]
}

pub(crate) fn guest_steps(policy: &Policy, launch: &Launch) -> Vec<Step> {
    let mut steps = vec![Step::NewSession, Step::StandardStreams];
    steps.extend(resource_limits(policy, launch.cgroup));
    steps.push(Step::EnterWorkDir(policy.work_dir.clone()));
    steps.push(Step::CloseDescriptors);
    if let Some(instructions) = launch.seccomp {
        // Last before the exec: the calls above need not be on the list.
        steps.push(Step::Seccomp { instructions });
    }
    steps.push(Step::Exec(launch.program.clone()));
    steps
}

/// Resource numbers of Linux (`asm-generic/resource.h`); the same on x86-64 and
/// AArch64.
mod resource {
    pub(super) const CPU: u32 = 0;
    pub(super) const FSIZE: u32 = 1;
    pub(super) const DATA: u32 = 2;
    pub(super) const CORE: u32 = 4;
    pub(super) const NPROC: u32 = 6;
    pub(super) const NOFILE: u32 = 7;
    pub(super) const MEMLOCK: u32 = 8;
    pub(super) const AS: u32 = 9;
    pub(super) const MSGQUEUE: u32 = 12;
    pub(super) const NICE: u32 = 13;
    pub(super) const RTPRIO: u32 = 14;
}

/// What stacks and the loader may map beyond the memory limit, where private
/// writable mappings stand in for memory.
pub const DATA_HEADROOM: u64 = 64 << 20;

/// What may be mapped beyond the memory limit in all. Much is only reserved:
/// glibc's allocator takes 64 MiB of address space for every thread, of which
/// the default limit allows 64.
pub const ADDRESS_SPACE_HEADROOM: u64 = 4 << 30;

/// Files a guest may have open at once.
const OPEN_FILES: u64 = 1024;

fn resource_limits(policy: &Policy, cgroup: bool) -> Vec<Step> {
    let mut limits = Vec::new();
    let mut set = |name, resource, soft, hard| {
        limits.push(Step::ResourceLimit { name, resource, soft, hard });
    };
    if let Some(limit) = policy.cpu_time {
        // SIGXCPU at the soft limit can be ignored, SIGKILL at the hard one not.
        set("RLIMIT_CPU", resource::CPU, limit.value, limit.value.saturating_add(1));
    }
    if let Some(limit) = policy.memory
        && !cgroup
    {
        let data = limit.value.saturating_add(DATA_HEADROOM);
        set("RLIMIT_DATA", resource::DATA, data, data);
        let space = limit.value.saturating_add(ADDRESS_SPACE_HEADROOM);
        set("RLIMIT_AS", resource::AS, space, space);
    }
    if let Some(limit) = policy.file_size {
        set("RLIMIT_FSIZE", resource::FSIZE, limit.value, limit.value);
    }
    if let Some(limit) = policy.max_processes {
        // One more for init, which counts as the same user.
        let processes = limit.value.saturating_add(1);
        set("RLIMIT_NPROC", resource::NPROC, processes, processes);
    }
    set("RLIMIT_NOFILE", resource::NOFILE, OPEN_FILES, OPEN_FILES);
    set("RLIMIT_CORE", resource::CORE, 0, 0);
    set("RLIMIT_MEMLOCK", resource::MEMLOCK, 64 << 10, 64 << 10);
    set("RLIMIT_MSGQUEUE", resource::MSGQUEUE, 64 << 10, 64 << 10);
    set("RLIMIT_NICE", resource::NICE, 0, 0);
    set("RLIMIT_RTPRIO", resource::RTPRIO, 0, 0);
    limits
}
