//! Carries the guest's output to our own without ever holding the run up.
//!
//! # Theory of operation
//!
//! The thread that watches the guest also keeps its deadline and its memory
//! limit. Were it to write to our standard output itself, a reader that stops
//! reading (`neuroflow run … | less`) would stop the watching, too. So a second
//! thread writes, and a queue lies between them. The queue is bounded by the
//! output cap: of each stream no more than that is ever taken.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use kernel::sandbox::running::{Killer, Stream};

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
    for (stream, bytes) in queued {
        let written = match stream {
            Stream::Stdout => write_through(&mut io::stdout().lock(), &bytes),
            // A standard error that is gone takes no messages and harms no data.
            Stream::Stderr => write_through(&mut io::stderr().lock(), &bytes).or(Ok(())),
        };
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Delivery::ReaderGone,
            Err(error) => return Delivery::Failed(error),
        }
    }
    Delivery::Done
}

/// A program's prompt ends in no newline; it is to be seen all the same.
fn write_through(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
