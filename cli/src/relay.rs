//! Carries the guest's output to our own without ever holding the run up.
//!
//! # Theory of operation
//!
//! The thread that watches the guest also keeps its deadline and its memory
//! limit. Were it to write to our standard output itself, a reader that stops
//! reading (`neuroflow run … | less`) would stop the watching, too. So a second
//! thread writes, and a queue lies between them. The queue is bounded by the
//! output cap: of each stream no more than that is ever taken.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use kernel::sandbox::running::{Killer, Stream};

use crate::terminal::Tame;

/// How long output may take to get out once a run was cut short. A reader that
/// takes nothing must not keep us from telling that the time is up.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of the output.
#[derive(Debug)]
pub enum Delivery {
    /// All of it was written.
    Done,
    /// Whoever read our standard output went away (`| head`).
    ReaderGone,
    /// Standard output takes no more, e.g. because a disk is full.
    Failed(io::Error),
    /// The reader took nothing for [`PATIENCE`] after the run was cut short.
    Stuck,
}

/// The writing end of the queue, and the promise of a delivery.
#[derive(Debug)]
pub struct Relay {
    killer: Killer,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    queue: Sender<(Stream, Vec<u8>)>,
    delivery: Receiver<Delivery>,
}

impl Relay {
    /// Nothing is started before there is output. `killer` ends the guest when
    /// there is nobody left to write to.
    #[must_use]
    pub fn new(killer: Killer) -> Self {
        Self { killer, writer: None }
    }

    /// Takes `bytes` over; returns at once.
    pub fn send(&mut self, stream: Stream, bytes: &[u8]) {
        let writer = self.writer.get_or_insert_with(|| Writer::start(self.killer.clone()));
        // The writer is gone once its reader is: then what comes is for nobody.
        let _ = writer.queue.send((stream, bytes.to_vec()));
    }

    /// Waits until everything is written; not for long if the run was
    /// `cut_short` by a limit or an interrupt.
    #[must_use]
    pub fn finish(self, cut_short: bool) -> Delivery {
        let Some(Writer { queue, delivery }) = self.writer else { return Delivery::Done };
        drop(queue);
        let delivered = if cut_short {
            delivery.recv_timeout(PATIENCE)
        } else {
            delivery.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        delivered.unwrap_or(Delivery::Stuck)
    }
}

impl Writer {
    fn start(killer: Killer) -> Self {
        let (queue, queued) = mpsc::channel();
        let (told, delivery) = mpsc::channel();
        thread::spawn(move || {
            let delivered = write_all(&queued);
            if !matches!(delivered, Delivery::Done) {
                killer.kill();
            }
            let _ = told.send(delivered);
        });
        Self { queue, delivery }
    }
}

fn write_all(queued: &Receiver<(Stream, Vec<u8>)>) -> Delivery {
    let mut stdout = Outlet::new(Stream::Stdout);
    let mut stderr = Outlet::new(Stream::Stderr);
    let written = queued.iter().try_for_each(|(stream, bytes)| match stream {
        Stream::Stdout => stdout.write(&bytes),
        Stream::Stderr => stderr.write(&bytes),
    });
    match written.and_then(|()| stdout.end()).and_then(|()| stderr.end()) {
        Ok(()) => Delivery::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Delivery::ReaderGone,
        Err(error) => Delivery::Failed(error),
    }
}

/// One of our streams, and what it needs if it is a terminal.
struct Outlet {
    stream: Stream,
    tame: Option<Tame>,
}

impl Outlet {
    fn new(stream: Stream) -> Self {
        let terminal = match stream {
            Stream::Stdout => io::stdout().is_terminal(),
            Stream::Stderr => io::stderr().is_terminal(),
        };
        Self { stream, tame: terminal.then(Tame::default) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tame {
            Some(tame) => {
                let bytes = tame.pass(bytes);
                self.write_through(&bytes)
            }
            None => self.write_through(bytes),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self.tame.as_mut().map(Tame::end) {
            Some(rest) if !rest.is_empty() => self.write_through(&rest),
            _ => Ok(()),
        }
    }

    /// A program's prompt ends in no newline; it is to be seen all the same.
    fn write_through(&self, bytes: &[u8]) -> io::Result<()> {
        match self.stream {
            Stream::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            // A standard error that is gone takes no messages and harms no data.
            Stream::Stderr => io::stderr().lock().write_all(bytes).or(Ok(())),
        }
    }
}
