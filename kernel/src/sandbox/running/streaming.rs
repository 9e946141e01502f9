//! Hands on what a guest writes to somebody who may take his time.
//!
//! Whoever watches over a guest must not wait for anything else, or deadline and
//! limits would wait with him. So a thread of its own watches, a queue lies between,
//! and the caller's thread takes from it. The queue is bounded: while it is full
//! nothing more is read, and a guest that goes on writing waits in its pipe, on its
//! own time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, Builder};

use super::{Killer, Running, Sink, Stream};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::outcome::Outcome;

/// Bytes in the queue from which on nothing more is read.
const FULL: usize = 256 << 10;

/// Watches over `running` on a thread of its own, and calls `sink` on this one.
pub(super) fn wait(running: Running, sink: &mut dyn FnMut(Stream, &[u8])) -> Result<Outcome> {
    let (queue, queued) = mpsc::channel::<(Stream, Vec<u8>)>();
    let pending = AtomicUsize::new(0);
    let on_panic = KillOnPanic(running.killer());
    thread::scope(|scope| {
        let watch = || {
            let hand_on = &mut |stream, bytes: &[u8]| {
                pending.fetch_add(bytes.len(), Ordering::Relaxed);
                // Nobody takes it any more if the sink has panicked.
                drop(queue.send((stream, bytes.to_vec())));
            };
            let is_full = &|| pending.load(Ordering::Relaxed) >= FULL;
            let outcome = running.watch(&mut Sink { hand_on, is_full });
            // The end of the queue ends the loop below.
            drop(queue);
            outcome
        };
        let watcher = Builder::new()
            .name("neuroflow-watch".into())
            .spawn_scoped(scope, watch)
            .map_err(|source| Error::setup("start the thread that watches the guest", source))?;
        take(&queued, &pending, sink);
        drop(on_panic);
        watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn take(
    queued: &Receiver<(Stream, Vec<u8>)>,
    pending: &AtomicUsize,
    sink: &mut dyn FnMut(Stream, &[u8]),
) {
    for (stream, bytes) in queued {
        sink(stream, &bytes);
        pending.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
}

/// A sink that panics ends the guest, for whose end the watching thread is waited.
struct KillOnPanic(Killer);

impl Drop for KillOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.kill();
        }
    }
}
