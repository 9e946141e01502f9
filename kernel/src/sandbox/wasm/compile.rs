//! Turns a module into machine code, under the run's deadline.
//!
//! The compiler cannot be interrupted, so it works on a thread of its own and
//! a run whose time is up leaves it behind. The caps of [`intake`](super::intake)
//! bound how long it goes on; the number of compilations at once, those left
//! behind among them, is bounded by [`Slots`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, Module};

use super::drive::{Stop, Watch};
use crate::sandbox::error::{Error, Result};

/// Stack of a compiling thread: the compiler recurses with the module's nesting.
const STACK: usize = 16 << 20;

/// How long a wait goes on before it looks whether the run was killed.
const GLANCE: Duration = Duration::from_millis(10);

/// Compilations at once in this process.
static SLOTS: Slots = Slots { free: Mutex::new(None), freed: Condvar::new() };

/// Compiles `bytes`, or gives up when `watch` says stop.
///
/// # Errors
///
/// The outer error is ours or the caller's: [`Error::Config`] for a module that
/// does not validate. The inner one is the run's ending.
pub(super) fn compile(
    engine: &'static Engine,
    bytes: &[u8],
    watch: &Watch,
) -> Result<std::result::Result<Module, Stop>> {
    let slot = match SLOTS.take(watch) {
        Ok(slot) => slot,
        Err(stop) => return Ok(Err(stop)),
    };
    let (done, compiled) = mpsc::sync_channel(1);
    let bytes: Box<[u8]> = bytes.into();
    thread::Builder::new()
        .name("wasm-compile".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let module = catch_unwind(AssertUnwindSafe(|| Module::new(engine, &bytes)));
            drop(bytes);
            // The run may be over by now.
            let _ = done.send(module);
            drop(slot);
        })
        .map_err(|error| Error::setup("start a thread to compile on", error))?;

    let ended = loop {
        match compiled.recv_timeout(watch.left().min(GLANCE)) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let Some(stop) = watch.stop() {
                    return Ok(Err(stop));
                }
            }
            ended => break ended,
        }
    };
    match ended {
        Ok(Ok(Ok(module))) => Ok(Ok(module)),
        Ok(Ok(Err(error))) => Err(invalid(&error)),
        Ok(Err(_)) | Err(_) => Err(Error::internal(
            "compile the module",
            std::io::Error::other("the compiler panicked"),
        )),
    }
}

fn invalid(error: &wasmtime::Error) -> Error {
    Error::config(format!("not a valid module: {}", error.root_cause()))
}

/// A count of compilations that may still start.
struct Slots {
    /// `None` before the first use.
    free: Mutex<Option<usize>>,
    freed: Condvar,
}

impl Slots {
    /// Waits for a slot, or for the end of the run.
    fn take(&'static self, watch: &Watch) -> std::result::Result<Slot, Stop> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = free.get_or_insert_with(|| thread::available_parallelism().map_or(2, usize::from));
        loop {
            if let Some(count) = free.as_mut()
                && *count > 0
            {
                *count -= 1;
                return Ok(Slot(self));
            }
            if let Some(stop) = watch.stop() {
                return Err(stop);
            }
            (free, _) = self
                .freed
                .wait_timeout(free, watch.left().min(GLANCE))
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The right to compile; given back when dropped.
struct Slot(&'static Slots);

impl Drop for Slot {
    fn drop(&mut self) {
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = free.as_mut() {
            *count += 1;
        }
        drop(free);
        self.0.freed.notify_one();
    }
}
