//! One sandbox: cloning init, what init does, and reaping it.

use crate::calls::{self, Failure};
use crate::message::{Message, report, report_failure, report_started};
use crate::sys::{NR, exit};
use crate::wire::{Event, Header, Kind, NO_SLOT, PRIVATE_FD_BASE, Report};
use crate::{call, make_private, watch};

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
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

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
    call(NR.clone3, &[&raw const args as u64, size_of::<CloneArgs>() as u64])
}

/// A live sandbox, as the event loop remembers it.
pub struct Sandbox {
    pid: u64,
    pidfd: u64,
    report: u64,
}

impl Sandbox {
    /// The three numbers in one word: a pid has 22 bits at most (PID_MAX_LIMIT),
    /// a descriptor 20 (the default of fs.nr_open).
    fn pack(&self) -> u64 {
        self.pid << 40 | self.pidfd << 20 | self.report
    }

    pub fn unpack(word: u64) -> Self {
        Self { pid: word >> 40, pidfd: word >> 20 & 0xf_ffff, report: word & 0xf_ffff }
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

    match start(&mut message, &header) {
        Ok((pid, pidfd)) => {
            let pidfd = make_private(pidfd);
            let report_end = make_private(message.slots[header.report_slot as usize]);
            let sandbox = Sandbox { pid, pidfd, report: report_end };
            watch(epoll, pidfd, sandbox.pack());
            report_started(socket, pid as i32, pidfd);
        }
        Err(Failure { step, errno }) => report_failure(socket, step, errno),
    }
    close_run_descriptors();
    message.wipe();
}

/// Clones init. In the child this does not return.
fn start(message: &mut Message, header: &Header) -> Result<(u64, u64), Failure> {
    calls::make(message, header.before)?;
    let cgroup = match header.cgroup_slot {
        NO_SLOT => u64::MAX,
        slot => message.slots[slot as usize],
    };
    let mut pidfd = -1;
    let pid = clone_into(header.clone_flags, Some(&mut pidfd), cgroup)
        .map_err(|errno| Failure { step: header.clone_step, errno })?;
    if pid == 0 { init(message, header) } else { Ok((pid, pidfd as u64)) }
}

/// The life of PID 1.
fn init(message: &mut Message, header: &Header) -> ! {
    // First of all: the launcher's socket and the other runs' report ends are
    // open here too, and would never reach end of file.
    let _ = call(NR.close_range, &[u64::from(PRIVATE_FD_BASE), u64::from(u32::MAX), 0]);
    let report_end = make_private(message.slots[header.report_slot as usize]);
    let guest = calls::make(message, header.init).and_then(|()| {
        clone(0, None).map_err(|errno| Failure { step: header.fork_step, errno })
    });
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
    forget(message);
    wait_for(guest, report_end)
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
        let (pid, ended) = wait(u64::MAX);
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
pub fn reap(sandbox: Sandbox) {
    let (_, ended) = wait(sandbox.pid);
    report(sandbox.report, &Report { event: Event::Gone as u32, ..ended });
    let _ = call(NR.close, &[sandbox.report]);
    let _ = call(NR.close, &[sandbox.pidfd]);
}

/// wait4(2) for one process (`u64::MAX`: any), with what it and those it waited
/// for have used.
fn wait(pid: u64) -> (Result<u64, i32>, Report) {
    const WALL: u64 = 0x4000_0000;
    let mut status = 0_i32;
    // `struct rusage`: two timevals, then 14 longs of which maxrss is the first.
    let mut usage = [0_u64; 18];
    let pid = loop {
        let pid =
            call(NR.wait4, &[pid, &raw mut status as u64, WALL, usage.as_mut_ptr() as u64]);
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
