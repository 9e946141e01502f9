//! The vocabulary of a start: what a step can be, and its words.

use std::fmt;
use std::path::PathBuf;

use crate::sandbox::policy::Access;
use crate::sandbox::policy::hosts::PROXY_PORT;

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
    /// Without namespaces: fork init, a supervisor and no PID 1.
    ForkInit {
        /// Whether it is born in a cgroup of the run's own.
        cgroup: bool,
    },
    /// Without namespaces: become the parent of whatever the guest orphans, and be
    /// told by SIGTERM to end it all; when the launcher ends, for one.
    AdoptOrphans,
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

    /// Let signals through that init has blocked.
    UnblockSignals,
    /// Without namespaces: keep the guest from signalling, tracing and reading the
    /// processes outside it, by a Landlock domain (ABI 6) that is nothing else.
    ScopeSignals,
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
            Self::ForkInit { cgroup } => {
                f.write_str("fork a supervisor")?;
                f.write_str(if *cgroup { ", born in the run's cgroup" } else { "" })
            }
            Self::AdoptOrphans => f.write_str("adopt what the guest orphans, to end it"),
            Self::ScopeSignals => f.write_str("keep away from processes outside, by Landlock"),
            Self::UnblockSignals => f.write_str("let all signals through"),
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
