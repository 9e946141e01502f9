//! The host's side of the launcher: spawning it, and talking to it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use neuroflow_launcher::PROGRAM;
use neuroflow_launcher::wire::{Event, HOST_FD, INLINE_MAX, PROGRAM_FD, Report, SOCKET_FD};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::super::plan::{Step, Steps};
use super::cgroup::{self, Delegation, Means};
use super::{program, sys};
use crate::sandbox::error::{Error, Result};

/// A running launcher, with its template made.
///
/// Dropping it ends the process and waits for it; every sandbox it owns ends
/// with it.
#[derive(Debug)]
pub(super) struct Launcher {
    /// One request and its answer at a time.
    socket: Mutex<OwnedFd>,
    process: OwnedFd,
    /// Where the cgroups of its guests are made, where the host has them.
    delegation: Option<Arc<Delegation>>,
    /// Who spawned it: in a fork of the host it is not ours to use.
    host: u32,
}

/// A sandbox that has been cloned; its set-up goes on.
#[derive(Debug)]
pub(super) struct Cloned {
    /// Init, as a pidfd: to kill it is to end the sandbox.
    pub(super) init: OwnedFd,
    /// Init's pid.
    pub(super) pid: u32,
}

impl Launcher {
    /// Spawns a launcher and has it make the template.
    pub(super) fn spawn(template: &[Step]) -> Result<Self> {
        let launcher = Self::spawn_placed()?;
        let (report, _) = launcher.request(&program::setup(template), &[])?;
        if report.event == Event::Done as u32 {
            return Ok(launcher);
        }
        let step = usize::try_from(report.step).ok().and_then(|step| template.get(step));
        let step = step.map_or_else(|| "make the template".to_owned(), ToString::to_string);
        Err(Error::setup(step, io::Error::from_raw_os_error(report.errno)))
    }

    /// Spawns one that has its place among the cgroups.
    fn spawn_placed() -> Result<Self> {
        match Means::get() {
            Ok(Means::Tree(delegation)) => {
                let (mut launcher, _) = Self::spawn_bare()?;
                launcher.delegation = Some(Arc::clone(delegation));
                Ok(launcher)
            }
            Ok(Means::Scopes { .. }) => match lock_spare().take().filter(Self::is_usable) {
                Some(spare) => Ok(spare),
                None => Self::spawn_in_scope(),
            },
            Err(_) => Ok(Self::spawn_bare()?.0),
        }
    }

    /// Spawns one in a scope of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] with what the user's service manager said.
    pub(super) fn spawn_in_scope() -> Result<Self> {
        let (mut launcher, pid) = Self::spawn_bare()?;
        let delegation = cgroup::scope_around(pid).map_err(|why| {
            let step = format!("make a scope of the user's service manager: {why}");
            Error::setup(step, io::ErrorKind::Other.into())
        })?;
        launcher.delegation = Some(Arc::new(delegation));
        Ok(launcher)
    }

    /// Keeps it for the first that needs one.
    pub(super) fn spare(self) {
        *lock_spare() = Some(self);
    }

    /// Where the cgroups of its guests are made.
    pub(super) fn delegation(&self) -> Option<&Arc<Delegation>> {
        self.delegation.as_ref()
    }

    /// Spawns one; its pid as well.
    fn spawn_bare() -> Result<(Self, u32)> {
        Self::try_spawn().map_err(|source| Error::setup("start the sandbox's launcher", source))
    }

    fn try_spawn() -> io::Result<(Self, u32)> {
        let (ours, theirs) = seqpacket_pair()?;
        let myself = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        // Out of the way of the numbers they get, which dup2 would overwrite.
        let [theirs, myself, program] =
            [theirs.as_fd(), myself.as_fd(), program_file()?.as_fd()].map(move_up);
        let (theirs, myself, program) = (theirs?, myself?, program?);
        let targets =
            [(theirs.as_fd(), SOCKET_FD), (myself.as_fd(), HOST_FD), (program.as_fd(), PROGRAM_FD)];
        let pid = sys::spawn(PROGRAM_FD, c"neuroflow-init", &targets)?;
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::Other)?;
        let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let host = std::process::id();
        let launcher = Self { socket: Mutex::new(ours), process, delegation: None, host };
        Ok((launcher, pid.as_raw_pid().cast_unsigned()))
    }

    /// Whether it can take requests: it lives, and this process spawned it.
    pub(super) fn is_usable(&self) -> bool {
        self.host == std::process::id() && !self.has_ended()
    }

    /// The process, as a pidfd.
    pub(super) fn process(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::PidFd(self.process.as_fd()), options), Ok(None))
    }

    /// Starts a sandbox. `descriptors` fill the first slots.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] with the step that failed in the launcher; what fails in
    /// init is reported on the run's own socket.
    pub(super) fn run(
        &self,
        steps: &Steps,
        message: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Cloned> {
        let (report, init) = self.request(message, descriptors)?;
        match (report.event == Event::Done as u32, init) {
            (true, Some(init)) => Ok(Cloned { init, pid: report.status.cast_unsigned() }),
            _ => {
                let step = program::step_of_run(steps, report.step);
                let step = step.map_or_else(|| "start init".to_owned(), ToString::to_string);
                Err(Error::setup(step, io::Error::from_raw_os_error(report.errno)))
            }
        }
    }

    fn request(
        &self,
        message: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Report, Option<OwnedFd>)> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        send(socket.as_fd(), message, descriptors)
            .and_then(|()| receive(socket.as_fd()))
            .map_err(|source| Error::internal("talk to the sandbox's launcher", source))
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        if self.host != std::process::id() {
            return;
        }
        // End of file on its socket ends it; were it stuck, the kill does.
        let socket = self.socket.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = rustix::net::shutdown(&*socket, rustix::net::Shutdown::Both);
        let _ = rustix::process::pidfd_send_signal(&self.process, Signal::KILL);
        // A host that waits for just any child may have reaped it already.
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitid(WaitId::PidFd(self.process.as_fd()), WaitIdOptions::EXITED)
        {
        }
    }
}

/// Whether the template failed because a filesystem cannot be idmapped: with any
/// other fault of the attributes the step would fail everywhere.
pub(super) fn is_unmappable(error: &Error) -> bool {
    matches!(error, Error::Setup { step, source }
        if step.contains("through owner map") && source.raw_os_error() == Some(libc::EINVAL))
}

/// A launcher that was spawned to find out whether scopes can be had.
static SPARE: Mutex<Option<Launcher>> = Mutex::new(None);

fn lock_spare() -> MutexGuard<'static, Option<Launcher>> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two ends that keep messages apart and carry descriptors.
pub(super) fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// The launcher's program in a sealed memfd, made once per process: there is no
/// file that a guest, or anybody, could overwrite.
fn program_file() -> io::Result<&'static File> {
    static FILE: OnceLock<File> = OnceLock::new();
    if let Some(file) = FILE.get() {
        return Ok(file);
    }
    let file = memfd("neuroflow-init", PROGRAM)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    Ok(FILE.get_or_init(|| file))
}

fn memfd(name: &str, content: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Linux 6.3 wants to be told that this one is to be executed.
    let fd = rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(name, flags))?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    Ok(file)
}

/// A copy of a descriptor with a number above those the launcher starts with.
fn move_up(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 16)?)
}

/// Sends one message; one that is too large for the socket goes in a memfd, with
/// its beginning sent along.
fn send(socket: BorrowedFd<'_>, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if message.len() <= INLINE_MAX {
        return send_inline(socket, message, descriptors);
    }
    let body = memfd("neuroflow-message", message)?;
    let header = &message[..size_of::<neuroflow_launcher::wire::Header>()];
    let mut all = vec![body.as_fd()];
    all.extend_from_slice(descriptors);
    send_inline(socket, header, &all)
}

fn send_inline(
    socket: BorrowedFd<'_>,
    message: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one report, and the descriptor that came with it.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<(Report, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; size_of::<Report>()];
    let received = loop {
        let mut vectors = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(socket, &mut vectors, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?.bytes,
        }
    };
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    match sys::from_bytes(&bytes[..received]) {
        Some(report) => Ok((report, descriptor)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
