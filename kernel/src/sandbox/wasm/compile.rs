//! Turns a module into machine code, under the run's deadline.
//!
//! What an earlier run left in the [`artifact`](super::artifact) directory is
//! taken from there. Otherwise a large module is compiled in a
//! [`child`](super::child) process where the embedder named a program for that,
//! and everything else on a thread of this process.
//!
//! The compiler cannot be interrupted, so a run whose time is up leaves that
//! thread behind. The caps of [`intake`](super::intake) bound how long it goes
//! on; the number of such threads at once, those left behind among them, is
//! bounded by [`Slots`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, Module};

use super::artifact::{self, Artifacts};
use super::cache::Key;
use super::child;
use super::compiler::Compiler;
use super::drive::{Stop, Watch};
use crate::sandbox::error::{Error, Result};

/// Stack of a compiling thread: the compiler recurses with the module's nesting.
const STACK: usize = 16 << 20;

/// Bytes of a module that is compiled on a thread even where there is a program:
/// that takes less time than to start one.
const SMALL: usize = 64 << 10;

/// How long a wait goes on before it looks whether the run was killed.
pub(super) const GLANCE: Duration = Duration::from_millis(10);

/// Compilations at once in this process.
static SLOTS: Slots = Slots { free: Mutex::new(None), freed: Condvar::new() };

/// Compiles `bytes`, or gives up when `watch` says stop.
///
/// # Errors
///
/// The outer error is ours or the caller's: [`Error::Config`] for a module that
/// does not validate. The inner one is the run's ending.
pub(super) fn compile(
    compiler: &Compiler,
    engine: &'static Engine,
    bytes: &[u8],
    key: &Key,
    watch: &Watch,
) -> Result<std::result::Result<Module, Stop>> {
    let artifacts = compiler.get_cache().map(Artifacts::open).transpose()?;
    if let Some(module) = artifacts.as_ref().and_then(|kept| kept.load(engine, key)) {
        return Ok(Ok(module));
    }
    match compiler.get_program() {
        Some(program) if bytes.len() > SMALL => {
            let code = match child::compile(program, bytes, watch)? {
                Ok(code) => code,
                Err(stop) => return Ok(Err(stop)),
            };
            if let Some(artifacts) = &artifacts {
                artifacts.store(engine, key, &code);
            }
            let module = artifact::from_compiler(engine, &code).map_err(|error| {
                let why = format!("{error:#}");
                Error::setup("load what the compiler made", std::io::Error::other(why))
            })?;
            Ok(Ok(module))
        }
        _ => {
            let module = on_a_thread(engine, bytes, watch)?;
            if let (Ok(module), Some(artifacts)) = (&module, &artifacts)
                && let Ok(code) = module.serialize()
            {
                artifacts.store(engine, key, &code);
            }
            Ok(module)
        }
    }
}

fn on_a_thread(
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
            let module = catch_unwind(AssertUnwindSafe(|| Module::from_binary(engine, &bytes)));
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

pub(super) fn invalid(error: &wasmtime::Error) -> Error {
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
