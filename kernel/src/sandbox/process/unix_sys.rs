//! The system calls of the portable process back end.
#![allow(unsafe_code, reason = "system calls; this is the only such file of the portable twin")]

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use super::super::super::running::verdict::{Ended, Memory, Status};
use super::super::limits::ResourceLimit;

/// Makes `command` call itself `name`, leave our session, take on `limits` and
/// drop every descriptor but its three, in the child and just before `execve`.
pub(super) fn prepare(command: &mut Command, name: &OsStr, limits: Vec<ResourceLimit>) {
    command.arg0(name);
    let last = highest_descriptor();
    // SAFETY: the closure runs in a forked child of a process with threads. It
    // makes system calls only: it allocates nothing, takes no lock and cannot
    // panic (it walks a slice; `from_raw_os_error` keeps the number inline).
    unsafe { command.pre_exec(move || confine(&limits, last)) };
}

/// What the child does to itself just before `execve`.
fn confine(limits: &[ResourceLimit], last: libc::c_int) -> io::Result<()> {
    // SAFETY: touches no memory.
    call(unsafe { libc::setsid() })?;
    limits.iter().try_for_each(set_limit)?;
    // Not closed but marked: among them is the pipe on which `std` reports a
    // failed start, which `execve` closes with the rest.
    for fd in 3..=last {
        // SAFETY: touches no memory; a number that is not open is refused.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: touches no memory, and cannot fail.
    unsafe { libc::umask(0o077) };
    Ok(())
}

/// No descriptor of ours has a higher number.
fn highest_descriptor() -> libc::c_int {
    /// Where the system sets no limit; to go through them takes milliseconds.
    const MANY: libc::c_long = 1 << 16;

    // SAFETY: sysconf only returns a number.
    let limit = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    let limit = if limit < 0 { MANY } else { limit };
    libc::c_int::try_from(limit).unwrap_or(libc::c_int::MAX)
}

fn set_limit(limit: &ResourceLimit) -> io::Result<()> {
    // Lowered to what we ourselves may have: nobody can hand out more.
    let mut own = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills one `rlimit`, which outlives the call.
    call(unsafe { libc::getrlimit(limit.resource as _, &raw mut own) })?;
    let hard = (limit.hard as libc::rlim_t).min(own.rlim_max);
    let new = libc::rlimit { rlim_cur: (limit.soft as libc::rlim_t).min(hard), rlim_max: hard };
    // SAFETY: the kernel reads one `rlimit`, which outlives the call.
    call(unsafe { libc::setrlimit(limit.resource as _, &raw const new) })
}

fn call(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends every process of the group that `leader` leads.
pub(super) fn kill_group(leader: i32) {
    // SAFETY: touches no memory. The group is the guest's: its leader is our
    // child and not yet reaped, so the number is not another's.
    unsafe { libc::killpg(leader, libc::SIGKILL) };
}

/// Waits until the child `pid` has ended, and leaves it to be reaped.
pub(super) fn wait_without_reaping(pid: i32) {
    let Ok(id) = libc::id_t::try_from(pid) else { return };
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the kernel fills one `siginfo_t`, which outlives the call.
        let done = unsafe {
            libc::waitid(libc::P_PID, id, info.as_mut_ptr(), libc::WEXITED | libc::WNOWAIT)
        };
        if done == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// Reaps the child `pid` and tells what it used.
pub(super) fn reap(pid: i32) -> io::Result<Ended> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: the kernel fills an int and an `rusage`; both outlive the call.
        let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
        if reaped == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: zeroes are an `rusage`, and wait4 filled it in on success.
    let usage = unsafe { usage.assume_init() };

    let status = if libc::WIFSIGNALED(status) {
        Status::Signalled(libc::WTERMSIG(status))
    } else {
        Status::Exited(libc::WEXITSTATUS(status))
    };
    Ok(Ended {
        status,
        cpu_user: duration(usage.ru_utime),
        cpu_system: duration(usage.ru_stime),
        // `ru_maxrss` of a forked child begins with the host's own size, so it
        // says nothing about a guest smaller than its host.
        max_rss_bytes: 0,
        memory: Memory::Unwatched,
        pids_refused: None,
        most_tasks: None,
        pressure: None,
    })
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
