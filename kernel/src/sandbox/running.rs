//! A guest that runs: its pipes, its deadline, its limits, its end.
//!
//! # Theory of operation
//!
//! One thread, the one that calls [`Running::wait`], looks after a run. It sits
//! in one `poll` over everything that can happen:
//!
//! * the guest wrote to stdout or stderr: read it, keep the beginning, count
//!   the rest, so that memory does not grow with what the guest prints;
//! * the guest has room on its stdin: write what is pending, never more than
//!   fits, so that a guest which writes before it reads cannot block us;
//! * the guest *ended*: the back end's descriptor for that became readable. End
//!   of file on stdout is not it: a grandchild may hold stdout for years, and a
//!   guest may close it and run on;
//! * somebody used a [`Killer`]: it writes a byte into a pipe of ours;
//! * time passed: the deadline, or the next look of the watchdog at the tree's
//!   memory and CPU, where no cgroup limits them.
//!
//! Whatever the reason to end a guest, it is ended by the back end's `kill`,
//! which takes the whole tree, and then the loop goes on until the guest is
//! seen to have ended. `collect` makes sure that nothing of it is left, and
//! only after that the pipes are emptied of what is in them.
//!
//! How the run ended is worked out by one pure function, `verdict`, from
//! numbers alone.

mod killer;
mod streaming;
mod streams;
pub(crate) mod sys;
pub(crate) mod verdict;
mod watchdog;

use std::collections::BTreeMap;
use std::io::{self, PipeReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

pub use killer::Killer;
use streams::Capture;
#[cfg_attr(
    any(neuroflow_portable, not(target_os = "linux")),
    expect(unused_imports, reason = "for the twin on Linux")
)]
pub(crate) use streams::GuestEnds;
pub use streams::Stream;
pub(crate) use streams::{HostEnds, open as open_streams};
use sys::{Interest, Waiter};
use verdict::{Cause, Ended, Limits, Observed, verdict, violations};
pub(crate) use watchdog::Watch;
use watchdog::Watchdog;

use super::error::{Error, Result};
use super::outcome::{Enforcement, Held, Outcome, Protection, State, Usage, Violation};
use super::{namespace, process};

/// What the whole tree of a guest takes at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Memory of all its processes, shared pages counted once.
    pub(crate) memory_bytes: u64,
    /// CPU time of the living and of those they waited for.
    pub(crate) cpu: Duration,
    /// Processes and threads.
    pub(crate) tasks: u64,
}

/// A guest of one of the back ends that start processes: a closed set.
#[derive(Debug)]
pub(crate) enum Guest {
    /// Of the process back end, where it starts them itself.
    #[allow(dead_code, reason = "on Linux the launcher starts them")]
    Process(process::Guest),
    /// Of the namespace back end.
    #[cfg_attr(
        any(neuroflow_portable, not(target_os = "linux")),
        expect(dead_code, reason = "there are no namespaces")
    )]
    Namespace(Box<namespace::Guest>),
}

impl Guest {
    /// Readable once the guest has ended.
    fn ended_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Process(guest) => guest.ended_fd(),
            Self::Namespace(guest) => guest.ended_fd(),
        }
    }

    /// Ends the guest and all it started. Does not wait for it.
    fn kill(&self) {
        match self {
            Self::Process(guest) => guest.kill(),
            Self::Namespace(guest) => guest.kill(),
        }
    }

    /// What the tree takes now. Memory above `suspect` is counted again in a
    /// dearer and fairer way.
    fn sample(&mut self, suspect: Option<u64>) -> Sample {
        match self {
            Self::Process(guest) => guest.sample(suspect),
            Self::Namespace(guest) => guest.sample(suspect),
        }
    }

    /// What it was refused so far, as far as anybody was told.
    fn refused(&self) -> Vec<Violation> {
        match self {
            Self::Process(_) => Vec::new(),
            Self::Namespace(guest) => guest.refused(),
        }
    }

    /// Waits for the end, makes sure that nothing of the guest is left, and
    /// tells what the system counted.
    fn collect(self) -> Result<Ended> {
        match self {
            Self::Process(guest) => guest.collect(),
            Self::Namespace(guest) => guest.collect(),
        }
    }
}

/// What a back end hands over when it has started a guest.
#[derive(Debug)]
pub(crate) struct Started {
    /// The guest.
    pub(crate) guest: Guest,
    /// Our ends of its streams.
    pub(crate) streams: HostEnds,
    /// When the start began: the wall clock counts from here.
    pub(crate) at: Instant,
    /// What the guest may use.
    pub(crate) limits: Limits,
    /// Which of those the watchdog holds.
    pub(crate) watch: Watch,
    /// The receipt.
    pub(crate) enforcement: Enforcement,
}

/// A guest that runs. Dropping it kills the guest and all it started, and
/// removes what was made for it.
///
/// ```no_run
/// use kernel::sandbox::{Command, SandboxConfig, SandboxExecutor};
///
/// let executor = SandboxExecutor::new_process(SandboxConfig::default());
/// let mut sleep = Command::new("sleep");
/// sleep.arg("60");
/// let running = executor.start(sleep)?;
/// let killer = running.killer();
/// std::thread::spawn(move || killer.kill());
/// assert_eq!(running.wait()?.exit_code(), -9);
/// # Ok::<(), kernel::sandbox::Error>(())
/// ```
#[derive(Debug)]
pub struct Running {
    /// `None` once collected.
    guest: Option<Guest>,
    streams: HostEnds,
    started: Instant,
    limits: Limits,
    watchdog: Watchdog,
    enforcement: Enforcement,
    killer: Killer,
    wake: PipeReader,
    capture: bool,
}

/// How long a killed guest may take until it is seen to have ended. A process
/// in an uninterruptible sleep can need it; then `collect` goes on waiting.
const GRACE: Duration = Duration::from_secs(5);

/// Between two looks whether a sink that was full has room again.
const ROOM: Duration = Duration::from_millis(5);

/// Where the guest's output goes as it comes.
struct Sink<'s> {
    hand_on: &'s mut dyn FnMut(Stream, &[u8]),
    /// Whether it shall get no more for now.
    is_full: &'s dyn Fn() -> bool,
}

impl Running {
    /// Takes over a guest that a back end has started.
    pub(crate) fn new(started: Started) -> Result<Self> {
        let Started { guest, streams, at, limits, watch, mut enforcement } = started;
        let off = |held: &Held| held.state == State::Off;
        if limits.timeout.is_some() && enforcement.get(Protection::Timeout).is_none_or(off) {
            // The config has none, and the command one.
            enforcement.enforced(Protection::Timeout, "a deadline of the supervisor");
        }
        let (wake, mut waker) = io::pipe()
            .map_err(|source| Error::setup("open the pipe that wakes the wait", source))?;
        let killer = Killer::new();
        // The reader lives as long as the run: the byte always fits, and once
        // the run is gone the write fails, which is as good.
        killer.on_kill(move || drop(waker.write(&[1])));

        Ok(Self {
            guest: Some(guest),
            streams,
            started: at,
            watchdog: Watchdog::new(watch, &limits),
            limits,
            enforcement,
            killer,
            wake,
            capture: true,
        })
    }

    /// A handle that ends this run from any thread.
    #[must_use]
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Lets `other` end this run as well: one that was made before the run, and
    /// may have been used already.
    #[must_use]
    pub fn killed_by(self, other: &Killer) -> Self {
        let killer = self.killer();
        other.on_kill(move || killer.kill());
        self
    }

    /// The receipt: which protection holds this guest, and by what.
    #[must_use]
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// Whether the output is also kept for the [`Outcome`] when it is streamed;
    /// the default is yes.
    pub fn capture(&mut self, capture: bool) -> &mut Self {
        self.capture = capture;
        self
    }

    /// Waits until the guest has ended, and tells how.
    ///
    /// Returns when the *guest* ends: whatever it left running is ended then.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when we lost track of the guest; it is killed then.
    /// How the guest fares is never an error.
    pub fn wait(self) -> Result<Outcome> {
        self.wait_relaying(&mut |_, _| {})
    }

    /// Like [`wait`](Self::wait), and hands on what the guest writes as it comes.
    ///
    /// `sink` gets the bytes that are kept, and not what comes after the cap of
    /// `max_output` bytes a stream. It runs on this thread and may take its time:
    /// another thread keeps the deadline and the limits meanwhile. 256 KiB wait for
    /// it; while there are more the guest waits, on its own time, until there is room
    /// for what it writes. The call returns when the guest has ended and `sink` has
    /// had everything.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait).
    pub fn wait_streaming(self, sink: &mut dyn FnMut(Stream, &[u8])) -> Result<Outcome> {
        streaming::wait(self, sink)
    }

    /// Like [`wait_streaming`](Self::wait_streaming) for a `sink` that never blocks,
    /// such as one that only puts what it gets into a queue: it is called by the
    /// thread that watches, which is this one. While it blocks neither the deadline
    /// nor a limit is looked at.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait).
    pub fn wait_relaying(self, sink: &mut dyn FnMut(Stream, &[u8])) -> Result<Outcome> {
        self.watch(&mut Sink { hand_on: sink, is_full: &|| false })
    }

    /// Watches over the guest to its end.
    fn watch(mut self, sink: &mut Sink<'_>) -> Result<Outcome> {
        let cause = self.supervise(sink)?;
        let Some(guest) = self.guest.take() else { unreachable!("only wait and drop take it") };
        let refused = guest.refused();
        let ended = guest.collect()?;

        let capture = self.capture;
        for (stream, name) in
            [(&mut self.streams.stdout, Stream::Stdout), (&mut self.streams.stderr, Stream::Stderr)]
        {
            stream
                .drain(capture, &mut |bytes| (sink.hand_on)(name, bytes))
                .map_err(|source| Error::internal("read the guest's output", source))?;
        }
        let mut outcome = self.outcome(&ended, cause);
        outcome.violations.extend(refused);
        Ok(outcome)
    }

    /// Looks after the guest until it has ended; why we ended it, if we did.
    fn supervise(&mut self, sink: &mut Sink<'_>) -> Result<Option<Cause>> {
        let mut cause = None;
        let mut give_up = None;
        loop {
            if cause.is_none()
                && let Some(reason) = self.reason_to_end()
            {
                self.guest().kill();
                cause = Some(reason);
                give_up = Some(Instant::now() + GRACE);
            }
            if give_up.is_some_and(|at| at <= Instant::now()) {
                return Ok(cause);
            }

            let ended = self
                .turn(cause.is_none(), give_up, sink)
                .map_err(|source| Error::internal("wait for the guest", source))?;
            if ended {
                return Ok(cause);
            }
        }
    }

    /// Waits once for something to happen, and does what it asks for. Tells
    /// whether the guest has ended.
    fn turn(
        &mut self,
        alive: bool,
        give_up: Option<Instant>,
        sink: &mut Sink<'_>,
    ) -> io::Result<bool> {
        let deadline = self.deadline().filter(|_| alive);
        let look = self.watchdog.next_look().filter(|_| alive);
        let is_full = (sink.is_full)();
        let room = is_full.then(|| Instant::now() + ROOM);
        let until = [deadline, look, give_up, room].into_iter().flatten().min();
        let timeout = until.map(|at| at.saturating_duration_since(Instant::now()));

        let feeder = self.streams.feeder.as_ref();
        let reader = |fd| Waiter::new(Some((fd, Interest::Read)));
        let optional = |fd| Waiter::new(fd);
        let mut waiters = [
            reader(self.guest().ended_fd()),
            // Its byte stays in the pipe, so it is looked at only until we act.
            optional(alive.then_some((self.wake.as_fd(), Interest::Read))),
            optional(output(&self.streams.stdout, is_full)),
            optional(output(&self.streams.stderr, is_full)),
            optional(feeder.map(|feeder| {
                let (pipe, interest) = feeder.writer();
                (pipe.as_fd(), interest)
            })),
            optional(feeder.and_then(|f| f.source()).map(|file| (file.as_fd(), Interest::Read))),
        ];
        sys::poll(&mut waiters, timeout)?;
        let [ended, _wake, stdout, stderr, input, source] =
            waiters.map(|waiter| (waiter.ready, waiter.broken));

        if stdout.0 {
            self.streams
                .stdout
                .read(self.capture, &mut |bytes| (sink.hand_on)(Stream::Stdout, bytes))?;
        }
        if stderr.0 {
            self.streams
                .stderr
                .read(self.capture, &mut |bytes| (sink.hand_on)(Stream::Stderr, bytes))?;
        }
        if let Some(feeder) = &mut self.streams.feeder {
            if source.0 {
                feeder.fetch();
            }
            if input.1 || !feeder.feed() {
                self.streams.feeder = None;
            }
        }
        Ok(ended.0)
    }

    /// The first reason to end the guest now, if there is one.
    fn reason_to_end(&mut self) -> Option<Cause> {
        if self.killer.is_killed() {
            return Some(Cause::Killed);
        }
        if self.deadline().is_some_and(|at| at <= Instant::now()) {
            return Some(Cause::Deadline);
        }
        if self.limits.max_output > 0 && self.most_output() >= self.limits.output_end() {
            return Some(Cause::Output);
        }
        let Some(guest) = &mut self.guest else { return None };
        self.watchdog.look(|suspect| guest.sample(suspect))
    }

    fn deadline(&self) -> Option<Instant> {
        // An absurdly long limit is none.
        self.limits.timeout.and_then(|timeout| self.started.checked_add(timeout))
    }

    fn most_output(&self) -> u64 {
        self.streams.stdout.bytes().max(self.streams.stderr.bytes())
    }

    fn guest(&self) -> &Guest {
        let Some(guest) = &self.guest else { unreachable!("it is taken after the last use") };
        guest
    }

    /// Puts together what is known at the end.
    fn outcome(mut self, ended: &Ended, cause: Option<Cause>) -> Outcome {
        let observed = Observed {
            cause,
            most_output: self.most_output(),
            most_tasks: self.watchdog.most_tasks(),
            most_memory: self.watchdog.most_memory(),
        };
        let exit = verdict(ended, &observed, &self.limits);
        let usage = Usage {
            wall_ms: self.started.elapsed().into(),
            cpu_user_ms: ended.cpu_user.into(),
            cpu_system_ms: ended.cpu_system.into(),
            max_memory_bytes: ended.max_rss_bytes.max(observed.most_memory),
            stdout_bytes: self.streams.stdout.bytes(),
            stderr_bytes: self.streams.stderr.bytes(),
            fuel_consumed: None,
            max_processes: ended.most_tasks.or(observed.most_tasks),
            pressure: ended.pressure,
        };
        let streams = &mut self.streams;
        Outcome {
            violations: violations(&exit, ended, &observed, &self.limits),
            exit,
            usage,
            enforcement: std::mem::take(&mut self.enforcement),
            output_truncated: streams.stdout.truncated() || streams.stderr.truncated(),
            stdout: streams.stdout.take_kept(),
            stderr: streams.stderr.take_kept(),
            files: BTreeMap::new(),
            skipped: Vec::new(),
        }
    }
}

/// What to wait on for more of a stream, if there shall be more.
fn output(stream: &Capture, is_full: bool) -> Option<(BorrowedFd<'_>, Interest)> {
    let pipe = stream.reader().filter(|_| !is_full)?;
    Some((pipe.as_fd(), Interest::Read))
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(guest) = self.guest.take() {
            guest.kill();
            // Nobody is left to hear how it ended.
            drop(guest.collect());
        }
    }
}
