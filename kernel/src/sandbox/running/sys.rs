//! The few system calls of the supervision that `std` does not have.
#![allow(unsafe_code, reason = "system calls; this is the only such file of the supervision")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// The signals that tell of a limit, by the number this system gives them.
pub(crate) mod signal {
    /// Ends a process, whatever it thinks of it.
    pub(crate) const KILL: i32 = libc::SIGKILL;
    /// The CPU-time limit was reached.
    pub(crate) const XCPU: i32 = libc::SIGXCPU;
    /// A file reached the size limit.
    pub(crate) const XFSZ: i32 = libc::SIGXFSZ;
}

/// What is waited for on one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// Something to read, or the end of it.
    Read,
    /// Room to write, or nobody left to read.
    Write,
    /// Only that the other end is gone.
    HangUp,
}

/// One entry of a [`poll`]: a descriptor, or nothing, which is never ready.
#[derive(Debug)]
pub(super) struct Waiter<'fd> {
    /// What is waited for.
    pub(super) on: Option<(BorrowedFd<'fd>, Interest)>,
    /// Set by [`poll`]: a call on the descriptor would not block.
    pub(super) ready: bool,
    /// Set by [`poll`]: the other end is gone, or the descriptor is in error.
    pub(super) broken: bool,
}

impl<'fd> Waiter<'fd> {
    /// Waits for `interest` on `fd`.
    pub(super) fn new(on: Option<(BorrowedFd<'fd>, Interest)>) -> Self {
        Self { on, ready: false, broken: false }
    }
}

/// Waits until one of `waiters` is ready or `timeout` has passed; `None` is no
/// timeout. A signal that interrupts the wait counts as nothing being ready.
pub(super) fn poll<const N: usize>(
    waiters: &mut [Waiter<'_>; N],
    timeout: Option<Duration>,
) -> io::Result<()> {
    // Negative descriptors are skipped by poll(2).
    let mut fds = std::array::from_fn::<_, N, _>(|i| match waiters[i].on {
        Some((fd, interest)) => libc::pollfd {
            fd: fd.as_raw_fd(),
            events: match interest {
                Interest::Read => libc::POLLIN,
                Interest::Write => libc::POLLOUT,
                Interest::HangUp => 0,
            },
            revents: 0,
        },
        None => libc::pollfd { fd: -1, events: 0, revents: 0 },
    });
    // Rounded up, or the last millisecond before a deadline would spin.
    let milliseconds = timeout.map_or(-1, |timeout| {
        i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });

    let count = libc::nfds_t::try_from(N).unwrap_or(libc::nfds_t::MAX);
    // SAFETY: `fds` is an array of N `pollfd`s that lives across the call, and
    // `count` is N: no array of that type is longer than `nfds_t` can tell. The
    // descriptors are borrowed for as long as `waiters` lives.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, milliseconds) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
    }

    for (waiter, fd) in waiters.iter_mut().zip(&fds) {
        waiter.ready = fd.revents != 0;
        waiter.broken = fd.revents & (libc::POLLERR | libc::POLLNVAL | libc::POLLHUP) != 0;
    }
    Ok(())
}

/// Makes reads and writes of *our* end return at once. A pipe's other end has a
/// file description of its own and stays as it is.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL takes no argument and touches no memory.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: F_SETFL takes an int, and touches no memory.
    let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How many bytes lie in a pipe, unread.
pub(super) fn unread(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD stores one int, in `bytes`, which outlives the call.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(usize::try_from(bytes).unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn poll_tells_data_from_silence_and_from_the_end() {
        let (data, mut data_writer) = io::pipe().unwrap();
        let (silent, _silent_writer) = io::pipe().unwrap();
        let (ended, ended_writer) = io::pipe().unwrap();
        data_writer.write_all(b"x").unwrap();
        drop(ended_writer);

        let mut waiters = [&data, &silent, &ended]
            .map(|reader| Waiter::new(Some((reader.as_fd(), Interest::Read))));
        poll(&mut waiters, None).unwrap();

        assert_eq!(
            waiters.map(|w| (w.ready, w.broken)),
            [(true, false), (false, false), (true, true)]
        );
    }

    #[test]
    fn unread_counts_what_lies_in_the_pipe() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&[0; 1234]).unwrap();

        assert_eq!(unread(reader.as_fd()).unwrap(), 1234);
    }
}
