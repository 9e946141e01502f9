//! The format of what the host sends to the launcher and what comes back.
//!
//! A message is a list of *calls*: system calls with their operands, made one
//! after the other. The launcher decides nothing; which calls, and in which
//! order, is written down once, in the kernel crate's plan.
//!
//! Both ends are the same build on the same machine, so the layout is
//! `repr(C)` in native byte order. The host is trusted; the launcher checks
//! only what a defect of ours could break (magic, lengths).

/// First word of every message; changes whenever the layout does.
pub const MAGIC: u32 = 0x4e46_0001;

/// Largest message that travels inline; a larger one comes in a memfd, which is
/// then the first descriptor. Below the 208 KiB that Linux gives a socket.
pub const INLINE_MAX: usize = 128 * 1024;

/// Most descriptors that travel with one message, and most slots of a run.
pub const MAX_SLOTS: usize = 32;

/// The launcher's own descriptors are moved to numbers from here on; those of a
/// run stay below, so that a child can close everything else in one call.
pub const PRIVATE_FD_BASE: u32 = 64;

/// The launcher's end of the socket, at its start.
pub const SOCKET_FD: i32 = 3;
/// A pidfd of the host, at the launcher's start: when it ends, so do we.
pub const HOST_FD: i32 = 4;
/// The launcher's own program, at its start; closed first.
pub const PROGRAM_FD: i32 = 5;

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Make `init` calls in the launcher itself: the template.
    Setup = 1,
    /// Start a sandbox: clone, make `init` calls in the child, fork the guest.
    Run = 2,
}

/// Where a list of calls lies in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Span {
    /// Bytes from the start of the message to the first call.
    pub offset: u32,
    /// How many calls.
    pub count: u32,
}

/// The start of every message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u32,
    /// A [`Kind`].
    pub kind: u32,
    /// Bytes of the whole message.
    pub length: u32,
    /// Slot of the socket on which the run reports; always given.
    pub report_slot: u32,
    /// `clone3` flags of init; `CLONE_PIDFD` is added.
    pub clone_flags: u64,
    /// Slot of the cgroup to be born in, or [`NO_SLOT`].
    pub cgroup_slot: u32,
    /// Step to name when the clone itself fails.
    pub clone_step: u32,
    /// Step to name when init cannot fork the guest.
    pub fork_step: u32,
    /// Not 0: the run wants what `next` makes, fresh: a network namespace.
    pub needs_next: u32,
    /// Calls the launcher makes when it has answered, to have ready what the
    /// next run will be born into.
    pub next: Span,
    /// Calls of init (of the launcher itself in a [`Kind::Setup`]).
    pub init: Span,
    /// Calls of the guest; the last one is `execve`.
    pub guest: Span,
    /// Calls of init after it has forked the guest.
    pub after: Span,
}

/// No descriptor.
pub const NO_SLOT: u32 = u32::MAX;

/// One system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Call {
    /// The system call's number, or one of the `PSEUDO_*` below.
    pub number: u32,
    /// Index of the plan's step this call belongs to, for the report.
    pub step: u32,
    /// Slot that keeps the result, or [`NO_SLOT`].
    pub save: u32,
    /// An errno that counts as success (`EEXIST` of a `mkdir`), or 0.
    pub tolerate: u32,
    /// An [`Operand`] kind for each argument.
    pub kinds: [u8; 8],
    /// The arguments.
    pub args: [u64; 6],
}

/// The argument is the number itself.
pub const IMMEDIATE: u8 = 0;
/// The argument is a pointer: the message's address plus this offset.
pub const POINTER: u8 = 1;
/// The argument is what this slot holds.
pub const SLOT: u8 = 2;

/// Writes the low 32 bits of slot `args[1]` at offset `args[0]` of the message:
/// structures such as `mount_attr` carry descriptors inside.
pub const PSEUDO_STORE: u32 = 0xffff_0001;
/// Turns `args[1]` words from offset `args[0]` on from offsets into addresses:
/// `argv` and `envp` are arrays of pointers.
pub const PSEUDO_POINTERS: u32 = 0xffff_0002;
/// Makes a user namespace whose `uid_map` is the text at `args[0]` (`args[1]`
/// bytes) and whose `gid_map` is the text at `args[2]` (`args[3]` bytes), and
/// keeps a descriptor of it. For idmapped mounts.
pub const PSEUDO_USER_NAMESPACE: u32 = 0xffff_0003;
/// Fails with `ESRCH` if the process whose pidfd slot `args[0]` holds has ended.
pub const PSEUDO_LIVES: u32 = 0xffff_0004;

/// What a [`Report`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Event {
    /// A call failed before the guest's first instruction; nothing runs.
    Failed = 1,
    /// The guest ended; `status` is wait(2)'s.
    Ended = 2,
    /// Nothing of the sandbox runs any more; usage is that of all of it.
    Gone = 3,
    /// The launcher's answer to a message: done; with a pidfd for a run.
    Done = 4,
}

/// One record from the launcher, init or the guest-to-be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Report {
    /// An [`Event`].
    pub event: u32,
    /// [`Event::Failed`]: the step that failed.
    pub step: u32,
    /// [`Event::Failed`]: what the system said.
    pub errno: i32,
    /// [`Event::Ended`]: as wait(2) gives it. [`Event::Done`]: init's pid.
    pub status: i32,
    /// CPU time in user mode, in microseconds.
    pub cpu_user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub cpu_system_us: u64,
    /// Peak resident set of the largest process, in KiB.
    pub max_rss_kib: u64,
}
