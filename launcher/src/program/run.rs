//! One sandbox: cloning init, what init does, and reaping it.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::calls::{self, Failure};
use crate::message::{Message, report, report_failure, report_started};
use crate::sys::{NR, exit};
use crate::wire::{Event, Header, Kind, NO_SLOT, PRIVATE_FD_BASE, Report};
use crate::{call, keep, make_private, sweep, unwatch, watch};

/// `struct clone_args` (`uapi/linux/sched.h`).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const SIGCHLD: u64 = 17;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_NEWPID: u64 = 0x2000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const ENOSYS: i32 = 38;

/// Forks, into new namespaces where `flags` names some. The child has a copy of
/// everything and goes on where this returns 0.
pub fn clone(flags: u64, pidfd: Option<&mut i32>) -> Result<u64, i32> {
    clone_into(flags, pidfd, u64::MAX)
}

fn clone_into(flags: u64, pidfd: Option<&mut i32>, cgroup: u64) -> Result<u64, i32> {
    let mut args = CloneArgs { flags, exit_signal: SIGCHLD, ..CloneArgs::default() };
    if let Some(pidfd) = pidfd {
        args.flags |= CLONE_PIDFD;
        args.pidfd = pidfd as *mut i32 as u64;
    }
    if cgroup != u64::MAX {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup;
    }
    match call(NR.clone3, &[&raw const args as u64, size_of::<CloneArgs>() as u64]) {
        // Filters that cannot look behind its pointer answer so (Docker's does).
        Err(ENOSYS) if cgroup == u64::MAX => {
            // The same flags in a word; the first three arguments are in the same
            // order on every architecture. The pidfd comes where the parent's
            // copy of the pid would.
            call(NR.clone, &[args.flags | SIGCHLD, 0, args.pidfd, 0, 0])
        }
        other => other,
    }
}

/// Whether what [`Header::next`] makes is fresh: made, and no run was born into
/// it yet. One thread, so plain loads and stores will do.
static NEXT_IS_FRESH: AtomicBool = AtomicBool::new(false);

/// Makes it, unless it is fresh.
fn freshen(message: &mut Message, header: &Header) -> Result<(), Failure> {
    if header.needs_next != 0 && !NEXT_IS_FRESH.load(Ordering::Relaxed) {
        calls::make(message, header.next)?;
        NEXT_IS_FRESH.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// A live sandbox, as the event loop remembers it.
pub struct Sandbox {
    pid: u64,
    pidfd: u64,
    report: u64,
    mounts: u64,
}

/// Descriptors have numbers below this: our own limit sees to it.
pub const MOST_DESCRIPTORS: u64 = 1 << 14;

/// No descriptor, where there may be none: 0 is /dev/null.
const NO_DESCRIPTOR: u64 = 0;

impl Sandbox {
    /// The four numbers in one word: a pid has 22 bits at most (PID_MAX_LIMIT).
    fn pack(&self) -> u64 {
        self.pid << 42 | self.pidfd << 28 | self.report << 14 | self.mounts
    }

    pub fn unpack(word: u64) -> Self {
        let descriptor = |shift: u32| word >> shift & (MOST_DESCRIPTORS - 1);
        Self {
            pid: word >> 42,
            pidfd: descriptor(28),
            report: descriptor(14),
            mounts: descriptor(0),
        }
    }
}

/// Takes hold of a sandbox's mount namespace, so that the kernel takes it apart
/// when we let go and not while its end is waited for: that takes it an RCU grace
/// period. A kernel that cannot (before 6.11) just takes it apart earlier.
fn hold_mounts(pidfd: u64) -> u64 {
    /// `_IO(0xFF, 3)` of `uapi/linux/pidfd.h`.
    const PIDFD_GET_MNT_NAMESPACE: u64 = 0xff03;
    match call(NR.ioctl, &[pidfd, PIDFD_GET_MNT_NAMESPACE, 0]) {
        Ok(namespace) => make_private(namespace).unwrap_or(NO_DESCRIPTOR),
        Err(_) => NO_DESCRIPTOR,
    }
}

/// Handles one message.
pub fn serve(socket: u64, epoll: u64) {
    let mut message = Message::receive(socket);
    let header = message.header();
    if header.kind == Kind::Setup as u32 {
        let done = calls::make(&mut message, header.init);
        close_run_descriptors();
        message.wipe();
        match done {
            Ok(()) => report(socket, &Report { event: Event::Done as u32, ..Report::default() }),
            Err(Failure { step, errno }) => report_failure(socket, step, errno),
        }
        return;
    }

    let started = start(&mut message, &header)
        .and_then(|(pid, pidfd)| adopt(&message, &header, epoll, pid, pidfd));
    match started {
        Ok((pid, pidfd)) => report_started(socket, pid as i32, pidfd),
        Err(Failure { step, errno }) => report_failure(socket, step, errno),
    }
    // The guest runs now; what follows is in nobody's way. A failure shows again,
    // and is reported, when the next run asks for it.
    let _ = freshen(&mut message, &header);
    close_run_descriptors();
    message.wipe();
}

/// Takes init into the event loop, or ends it if there is no room.
fn adopt(
    message: &Message,
    header: &Header,
    epoll: u64,
    pid: u64,
    pidfd: u64,
) -> Result<(u64, u64), Failure> {
    let adopted = make_private(pidfd).and_then(|pidfd| {
        let report = make_private(message.slots[header.report_slot as usize])?;
        let sandbox = Sandbox { pid, pidfd, report, mounts: hold_mounts(pidfd) };
        watch(epoll, pidfd, sandbox.pack()).map(|_| (pid, pidfd))
    });
    adopted.map_err(|errno| {
        const SIGKILL: u64 = 9;
        let _ = call(NR.kill, &[pid, SIGKILL]);
        let _ = wait(pid, 0);
        Failure { step: header.clone_step, errno }
    })
}

/// Clones init. In the child this does not return.
fn start(message: &mut Message, header: &Header) -> Result<(u64, u64), Failure> {
    freshen(message, header)?;
    if header.needs_next != 0 {
        NEXT_IS_FRESH.store(false, Ordering::Relaxed);
    }
    let cgroup = match header.cgroup_slot {
        NO_SLOT => u64::MAX,
        slot => message.slots[slot as usize],
    };
    let mut pidfd = -1;
    let pid = clone_into(header.clone_flags, Some(&mut pidfd), cgroup)
        .map_err(|errno| Failure { step: header.clone_step, errno })?;
    if pid == 0 { init(message, header) } else { Ok((pid, pidfd as u64)) }
}

/// The life of init, PID 1 where it has a namespace.
fn init(message: &mut Message, header: &Header) -> ! {
    // First of all: the launcher's socket and the other runs' report ends are
    // open here too, and would never reach end of file.
    let _ = call(NR.close_range, &[u64::from(PRIVATE_FD_BASE), u64::from(u32::MAX), 0]);
    let report_end = keep(message.slots[header.report_slot as usize]);
    let guest = calls::make(message, header.init)
        .and_then(|()| clone(0, None).map_err(|errno| Failure { step: header.fork_step, errno }));
    let guest = match guest {
        Ok(0) => become_guest(message, header, report_end),
        Ok(guest) => guest,
        Err(Failure { step, errno }) => {
            report_failure(report_end, step, errno);
            exit(1)
        }
    };
    // The guest's pipes: while we hold them, nobody sees them close.
    let _ = call(NR.close_range, &[0, u64::from(PRIVATE_FD_BASE) - 1, 0]);
    if let Err(Failure { step, errno }) = calls::make(message, header.after) {
        report_failure(report_end, step, errno);
        exit(1);
    }
    let has_namespace = header.clone_flags & CLONE_NEWPID != 0;
    forget(message);
    if has_namespace { wait_for(guest, report_end) } else { sweep::wait_for(guest, report_end) }
}

/// Makes the guest's calls; the last is `execve`.
fn become_guest(message: &mut Message, header: &Header, report_end: u64) -> ! {
    if let Err(Failure { step, errno }) = calls::make(message, header.guest) {
        report_failure(report_end, step, errno);
    }
    exit(127)
}

/// Wipes the message where it lies; `wipe` would want to own it.
fn forget(message: &mut Message) {
    let length = u64::from(message.header().length);
    let mut at = 0;
    while at + 8 <= length {
        message.store(at, 0_u64);
        at += 8;
    }
}

/// Reaps whatever ends until the guest does, tells how, and ends the namespace:
/// the kernel kills what is left in it.
fn wait_for(guest: u64, report_end: u64) -> ! {
    loop {
        let (pid, ended) = wait(WAIT_FOR_ANY, 0);
        match pid {
            Ok(pid) if pid == guest => {
                report(report_end, &Report { event: Event::Ended as u32, ..ended });
                exit(0)
            }
            Ok(_) => {}
            Err(_) => exit(1),
        }
    }
}

/// Tells the host that nothing of this sandbox runs any more, and what it used.
pub fn reap(sandbox: Sandbox, epoll: u64) {
    unwatch(epoll, sandbox.pidfd);
    let (_, ended) = wait(sandbox.pid, 0);
    report(sandbox.report, &Report { event: Event::Gone as u32, ..ended });
    let _ = call(NR.close, &[sandbox.report]);
    let _ = call(NR.close, &[sandbox.pidfd]);
    if sandbox.mounts != NO_DESCRIPTOR {
        let _ = call(NR.close, &[sandbox.mounts]);
    }
}

/// wait4(2) for any child.
pub const WAIT_FOR_ANY: u64 = u64::MAX;
/// wait4(2) does not wait: 0 where nobody has ended.
pub const NO_HANG: u64 = 1;

/// wait4(2) for one process or any, with what it and those it waited for have
/// used.
pub fn wait(pid: u64, options: u64) -> (Result<u64, i32>, Report) {
    const WALL: u64 = 0x4000_0000;
    let mut status = 0_i32;
    // `struct rusage`: two timevals, then 14 longs of which maxrss is the first.
    let mut usage = [0_u64; 18];
    let pid = loop {
        let pid = call(NR.wait4, &[pid, &raw mut status as u64, WALL | options, usage.as_mut_ptr() as u64]);
        const EINTR: i32 = 4;
        if pid != Err(EINTR) {
            break pid;
        }
    };
    let report = Report {
        status,
        cpu_user_us: usage[0] * 1_000_000 + usage[1],
        cpu_system_us: usage[2] * 1_000_000 + usage[3],
        max_rss_kib: usage[4],
        ..Report::default()
    };
    (pid, report)
}

/// Closes what came with a message. 0, 1 and 2 are the launcher's own.
fn close_run_descriptors() {
    let _ = call(NR.close_range, &[3, u64::from(PRIVATE_FD_BASE) - 1, 0]);
}
