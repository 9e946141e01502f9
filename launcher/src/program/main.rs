//! The launcher: one small process per isolator that owns its sandboxes.
//!
//! # Theory of operation
//!
//! Four processes take part in a run:
//!
//! * the **host** spawns the launcher once, with an empty environment and three
//!   descriptors: a socket, a pidfd of itself, and this program. It sends lists
//!   of system calls ([`wire`]) and waits for reports;
//! * the **launcher**, this program, is single-threaded and holds no secret. It
//!   first makes the template: the mount namespace that all its sandboxes start
//!   from. Then it clones an init for every run, and reaps it. It ends when the
//!   socket closes or the host dies;
//! * **init** is a copy of the launcher that became PID 1 of new namespaces. It
//!   makes the calls of the plan, forks the guest, gives up what it does not
//!   need, and waits. `PR_SET_PDEATHSIG` ends it with the launcher, and with it
//!   everything in its PID namespace;
//! * the **guest** is not PID 1, since the kernel withholds from an init the
//!   signals for which it has no handler.
//!
//! A copy of this process is cheap (a few pages) and safe to go on in: one
//! thread, no allocator, no lock. Nothing here allocates.
//!
//! Errors go to the host as (step, errno); nothing is ever printed.

#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(unsafe_code, reason = "there is no safe layer below this program: it is that layer")]
#![allow(dead_code, reason = "the wire format has names that only the host uses")]

mod calls;
mod message;
mod run;
mod sweep;
mod sys;
#[path = "../wire.rs"]
mod wire;

use sys::{NR, exit};

/// What an epoll event is about, where it is not a sandbox.
const SOCKET: u64 = u64::MAX;
const HOST: u64 = u64::MAX - 1;

/// `struct epoll_event`, packed on x86-64 alone (`uapi/linux/eventpoll.h`).
#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
struct EpollEvent {
    events: u32,
    data: u64,
}

const EPOLLIN: u32 = 1;
const EPOLL_CTL_ADD: u64 = 1;
const EPOLL_CTL_DEL: u64 = 2;
const EPOLL_CLOEXEC: u64 = 0o2_000_000;

pub extern "C" fn main() -> ! {
    let _ = call(NR.close, &[wire::PROGRAM_FD as u64]);
    let socket = keep(wire::SOCKET_FD as u64);
    let host = keep(wire::HOST_FD as u64);
    raise_descriptor_limit();
    let epoll = match call(NR.epoll_create1, &[EPOLL_CLOEXEC]) {
        Ok(epoll) => keep(epoll),
        Err(_) => exit(71),
    };
    if watch(epoll, socket, SOCKET).and(watch(epoll, host, HOST)).is_err() {
        exit(71);
    }

    loop {
        let mut event = EpollEvent { events: 0, data: 0 };
        let one = call(NR.epoll_pwait, &[epoll, &raw mut event as u64, 1, u64::MAX, 0, 8]);
        if one != Ok(1) {
            continue;
        }
        match event.data {
            HOST => exit(0),
            SOCKET => run::serve(socket, epoll),
            sandbox => run::reap(run::Sandbox::unpack(sandbox), epoll),
        }
    }
}

/// Takes as many descriptors as we may have and can number; every live sandbox
/// costs three. It cannot fail to be less than before.
fn raise_descriptor_limit() {
    const RLIMIT_NOFILE: u64 = 7;
    let mut limit = [0_u64; 2];
    let _ = call(NR.prlimit64, &[0, RLIMIT_NOFILE, 0, limit.as_mut_ptr() as u64]);
    limit[0] = limit[1].min(run::MOST_DESCRIPTORS);
    let _ = call(NR.prlimit64, &[0, RLIMIT_NOFILE, limit.as_ptr() as u64, 0]);
}

/// Adds a descriptor to the event loop.
fn watch(epoll: u64, fd: u64, data: u64) -> Result<u64, i32> {
    let event = EpollEvent { events: EPOLLIN, data };
    call(NR.epoll_ctl, &[epoll, EPOLL_CTL_ADD, fd, &raw const event as u64])
}

/// Takes a descriptor out of the event loop. To close it does not: an init that
/// was just cloned holds a copy until its `close_range`, and as long as there is
/// one the event comes again.
fn unwatch(epoll: u64, fd: u64) {
    let _ = call(NR.epoll_ctl, &[epoll, EPOLL_CTL_DEL, fd, 0]);
}

/// Moves a descriptor to the launcher's own range, close-on-exec.
fn make_private(fd: u64) -> Result<u64, i32> {
    const F_DUPFD_CLOEXEC: u64 = 1030;
    let moved = call(NR.fcntl, &[fd, F_DUPFD_CLOEXEC, u64::from(wire::PRIVATE_FD_BASE)]);
    let _ = call(NR.close, &[fd]);
    moved
}

/// Moves a descriptor that we cannot do without.
fn keep(fd: u64) -> u64 {
    make_private(fd).unwrap_or_else(|_| exit(72))
}

/// Makes a system call of the launcher's own.
fn call(number: u32, arguments: &[u64]) -> Result<u64, i32> {
    let mut args = [0; 6];
    for (to, from) in args.iter_mut().zip(arguments) {
        *to = *from;
    }
    // SAFETY: every caller in this program passes either plain numbers or
    // pointers to its own locals and statics with their right lengths; the
    // kernel keeps none of them past the call.
    let result = unsafe { sys::syscall6(number, args) };
    if (-4095..0).contains(&result) { Err(-result as i32) } else { Ok(result as u64) }
}
