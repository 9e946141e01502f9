//! The system calls of the recorder.
#![expect(unsafe_code, reason = "seccomp's user notification has no safe interface")]

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use super::super::compile::Instruction;

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;

/// A call that waits for an answer.
pub(super) struct Question {
    pub(super) id: u64,
    pub(super) thread: u32,
    pub(super) call: u32,
}

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    thread: u32,
    flags: u32,
    number: u32,
    arch: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// Puts the calling thread under `program`, and returns the descriptor that
/// answers its questions.
///
/// # Errors
///
/// `EINVAL` on a kernel without user notification, `EBUSY` where a listener is
/// there already, `EPERM` under a filter that forbids it.
pub(super) fn install_listener(program: &[Instruction]) -> io::Result<i32> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len: length,
        // `Instruction` is `repr(C)` with the fields of `struct sock_filter`.
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: sets a flag of this thread; no argument is an address.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` and the instructions it points to, `len` of them, live
    // until the call returns; the kernel reads them and writes nothing.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    match i32::try_from(descriptor) {
        Ok(descriptor) if descriptor >= 0 => Ok(descriptor),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the descriptor that [`install_listener`] made in another thread.
///
/// # Errors
///
/// `EBADF` where there is none.
pub(super) fn adopt(descriptor: i32) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the kernel made it for the starter, which shares our table of
    // descriptors, stores its number once, and does nothing else with it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Waits for a question; `false` when nobody is left to ask one.
pub(super) fn wait_readable(listener: &OwnedFd) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one `pollfd`, which lives until the call returns.
        let ready = unsafe { libc::poll(&raw mut poll, 1, -1) };
        if ready >= 0 {
            return Ok(poll.revents & libc::POLLIN != 0);
        }
        let problem = io::Error::last_os_error();
        if problem.kind() != io::ErrorKind::Interrupted {
            return Err(problem);
        }
    }
}

/// The next question; `None` when who asked is gone again.
pub(super) fn receive(listener: &OwnedFd) -> io::Result<Option<Question>> {
    let mut notification = Notification::default();
    // SAFETY: the request writes one `struct seccomp_notif`, whose layout and size
    // `Notification` has, and which must be zero before.
    let result = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notification)
    };
    if result == 0 {
        let Notification { id, thread, number, .. } = notification;
        return Ok(Some(Question { id, thread, call: number }));
    }
    gone(io::Error::last_os_error()).map(|()| None)
}

/// Answers a question with "go on".
pub(super) fn let_go_on(listener: &OwnedFd, id: u64) -> io::Result<()> {
    let answer = Answer { id, value: 0, error: 0, flags: CONTINUE };
    // SAFETY: the request reads one `struct seccomp_notif_resp`, whose layout and
    // size `Answer` has.
    let result = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer)
    };
    if result == 0 { Ok(()) } else { gone(io::Error::last_os_error()) }
}

/// A thread that was killed, or interrupted by a signal, waits for no answer.
fn gone(problem: io::Error) -> io::Result<()> {
    match problem.raw_os_error() {
        Some(libc::ENOENT | libc::EINTR) => Ok(()),
        _ => Err(problem),
    }
}

const _: () = assert!(size_of::<Notification>() == 80 && size_of::<Answer>() == 24);
