//! Records by seccomp's user notification.
//!
//! # Theory of operation
//!
//! Two threads of one process: a *starter* puts itself under the default filter,
//! in which "allowed" has become "ask the listener", and starts the program,
//! which inherits the filter. The *listener*, this thread, notes each question
//! and lets the call go on. What the default filter refuses stays refused, and
//! is not asked about; so the C library takes the calls it will take in the
//! sandbox.
//!
//! The threads share one table of descriptors, which is how the listener gets
//! its end without any call of the starter's: between its filter and the first
//! answer the starter can make none, not even to wake another thread.
//!
//! This records; it protects nothing. The arguments of a call can change between
//! the question and the call.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::super::compile::{Instruction, RETURN};
use super::super::rule::Action;
use super::super::{Arch, Base, Filter, Sockets};
use super::{Recording, sys};
use crate::sandbox::error::{Error, Result};

/// `SECCOMP_RET_USER_NOTIF` of `linux/seccomp.h`.
const ASK: u32 = 0x7fc0_0000;

/// Runs a program with the caller's input and environment, to its end, and
/// records its calls. Its standard output goes where standard error goes: the
/// caller's own is kept free of it.
///
/// The program is confined by the default system-call filter and by nothing
/// else: call this inside a sandbox.
///
/// # Errors
///
/// [`Error::NotFound`] and [`Error::NotExecutable`] for the program,
/// [`Error::Setup`] where the kernel has no user notification (before 5.5), or
/// where this process is already under a filter that forbids it.
pub fn record(program: &OsStr, args: &[OsString]) -> Result<Recording> {
    let arch = Arch::native()?;
    let filter = Filter::of_base(Base::Namespace(Sockets::Internet), arch)?;
    let asking = asking(&filter);
    let execve = arch.number("execve").unwrap_or_default();
    let mut command = command(program, args);
    let end = AtomicI32::new(WAITING);
    let (started, seen) = std::thread::scope(|scope| {
        let starter = scope.spawn(|| start(&mut command, &asking, &end));
        let seen = wait_for(&end).and_then(|listener| listen(&listener, execve));
        (starter.join(), seen)
    });
    let started = started.unwrap_or_else(|_| Err(io::Error::other("the starter panicked")));
    let status = started.map_err(|source| not_started(program, source))?;
    let calls = seen.map_err(|source| Error::setup("listen to system calls", source))?;
    Ok(Recording {
        calls: calls.into_iter().filter_map(|number| arch.name(number)).collect(),
        exit_code: exit_code(status),
    })
}

#[expect(clippy::disallowed_methods, reason = "what is recorded is started from inside a sandbox")]
fn command(program: &OsStr, args: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdout(io::stderr());
    command
}

/// `filter` with "ask" in the place of "allow".
fn asking(filter: &Filter) -> Vec<Instruction> {
    let ask = |instruction: &Instruction| match *instruction {
        Instruction { code: RETURN, k, .. } if k == Action::Allow.code() => {
            Instruction { k: ASK, ..*instruction }
        }
        other => other,
    };
    filter.instructions().iter().map(ask).collect()
}

/// The values of `end` that are no descriptor.
const WAITING: i32 = -1;
const FAILED: i32 = -2;

/// The starter's part.
fn start(command: &mut Command, filter: &[Instruction], end: &AtomicI32) -> io::Result<ExitStatus> {
    match sys::install_listener(filter) {
        Ok(descriptor) => end.store(descriptor, Ordering::Release),
        Err(problem) => {
            end.store(FAILED, Ordering::Release);
            return Err(problem);
        }
    }
    command.spawn()?.wait()
}

/// The listener's end, once the starter has made it. A short sleep, since the
/// starter can wake no one; see above.
fn wait_for(end: &AtomicI32) -> io::Result<OwnedFd> {
    loop {
        match end.load(Ordering::Acquire) {
            WAITING => std::thread::sleep(Duration::from_micros(200)),
            FAILED => return Err(io::ErrorKind::Unsupported.into()),
            descriptor => return sys::adopt(descriptor),
        }
    }
}

/// Answers every question until nobody is left to ask one. Notes the numbers of
/// the calls since the first `execve`: those before it are the starter's, and of
/// the child that becomes the program.
fn listen(listener: &OwnedFd, execve: u32) -> io::Result<BTreeSet<u32>> {
    let mut seen = BTreeSet::new();
    while sys::wait_readable(listener)? {
        let Some(question) = sys::receive(listener)? else { continue };
        if (question.call == execve || !seen.is_empty()) && !is_ours(question.thread) {
            seen.insert(question.call);
        }
        sys::let_go_on(listener, question.id)?;
    }
    Ok(seen)
}

/// Whether a thread is one of this process; a child that has not yet become
/// another program is not.
fn is_ours(thread: u32) -> bool {
    std::fs::exists(format!("/proc/self/task/{thread}")).unwrap_or(false)
}

fn not_started(program: &OsStr, source: io::Error) -> Error {
    let program = program.to_string_lossy().into_owned();
    match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { program },
        io::ErrorKind::PermissionDenied => Error::NotExecutable { program, source },
        _ => Error::setup(format!("record the system calls of `{program}`"), source),
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}
