//! WASI preview 1: the host functions a module may be given, and what they cost.
//!
//! The functions are wasmtime's, which check every guest pointer and length
//! and bound what they copy. Two are ours, because the originals do work that
//! neither fuel nor the clock would see: `poll_oneoff` sleeps and `random_get`
//! makes any number of bytes.
//!
//! # What a host call costs
//!
//! [`CALL`] units of fuel, and one more for each byte written to a captured
//! stream, each random byte and each microsecond slept. So fuel alone stops a
//! guest that spends its time in host calls, and the amounts are the same on
//! every machine. In a run with directories a call costs [`CALL_WITH_FILES`]:
//! what it moves to or from a file, up to [`COPY`], is not counted one by one.

use std::time::{Duration, Instant};

use wasmtime::{AsContextMut, Caller, Engine, Extern, Linker, Memory};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::grants::Grants;
use super::guest::{Guest, charge};
use super::output::Captured;
use super::sources::Time;
use crate::sandbox::command::Stdin;
use crate::sandbox::error::{Error, Result};

/// The name that modules import it under.
pub(super) const MODULE: &str = "wasi_snapshot_preview1";

/// Fuel for the act of calling the host.
const CALL: u64 = 100;

/// The same in a run that was granted a directory.
const CALL_WITH_FILES: u64 = 1_000;

/// Bytes that one host call may copy out of the guest.
pub(super) const COPY: usize = 16 << 20;

/// Subscriptions in one `poll_oneoff`.
const SUBSCRIPTIONS: u32 = 4096;

/// `errno` values of the WASI preview 1 ABI.
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const BADF: i32 = 8;
    pub(super) const FAULT: i32 = 21;
    pub(super) const INVAL: i32 = 28;
}

/// The state behind the functions.
///
/// # Errors
///
/// [`Error::Setup`] for a directory that cannot be opened.
pub(super) fn context(
    input: Stdin,
    stdout: &Captured,
    stderr: &Captured,
    time: &Time,
    grants: &Grants,
) -> Result<WasiP1Ctx> {
    let mut builder = WasiCtxBuilder::new();
    match input {
        Stdin::Empty => {}
        Stdin::Bytes(bytes) => {
            builder.stdin(MemoryInputPipe::new(bytes));
        }
        // Read by a thread, no further than the guest asks for.
        Stdin::Host => {
            builder.stdin(wasmtime_wasi::cli::stdin());
        }
    }
    builder
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .monotonic_clock(time.clone())
        .wall_clock(time.clone())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .args(&grants.args);
    for (name, value) in &grants.environment {
        builder.env(name, value);
    }
    for directory in &grants.directories {
        let perms = if directory.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        builder.preopened_dir(&directory.host, &directory.guest, perms).map_err(|error| {
            let step = format!("open the directory {} for the module", directory.host.display());
            Error::setup(step, std::io::Error::other(format!("{error:#}")))
        })?;
    }
    Ok(builder.build_p1())
}

/// Fuel for the act of calling the host, under `grants`.
pub(super) fn call_cost(grants: &Grants) -> u64 {
    if grants.directories.is_empty() { CALL } else { CALL_WITH_FILES }
}

/// Every function that a module can be given.
pub(super) fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    add(&mut linker).map_err(|error| {
        Error::setup("offer the WASI functions", std::io::Error::other(format!("{error:#}")))
    })?;
    Ok(linker)
}

fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    p1::add_to_linker_async(linker, Guest::wasi)?;
    linker.allow_shadowing(true);
    linker.func_wrap(MODULE, "random_get", random_get)?;
    linker.func_wrap_async(
        MODULE,
        "poll_oneoff",
        |caller, (subscriptions, events, count, stored): (u32, u32, u32, u32)| {
            Box::new(poll_oneoff(caller, subscriptions, events, count, stored))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn memory(caller: &mut Caller<'_, Guest>) -> Option<Memory> {
    caller.get_export("memory").and_then(Extern::into_memory)
}

fn random_get(mut caller: Caller<'_, Guest>, at: u32, len: u32) -> wasmtime::Result<i32> {
    charge(&mut caller.as_context_mut(), len.into())?;
    let Some(memory) = memory(&mut caller) else { return Ok(errno::FAULT) };
    let (data, guest) = memory.data_and_store_mut(&mut caller);
    let Some(target) = range(at, len.into()).and_then(|range| data.get_mut(range)) else {
        return Ok(errno::FAULT);
    };
    for piece in target.chunks_mut(1 << 20) {
        if let Some(stop) = guest.watch.stop() {
            return Err(guest.end(stop));
        }
        guest.random.fill(piece);
    }
    Ok(errno::SUCCESS)
}

fn range(at: u32, len: u64) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(at).ok()?;
    Some(start..start.checked_add(usize::try_from(len).ok()?)?)
}

/// One thing that a guest waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// A time span from now.
    Clock(Duration),
    /// A descriptor. What a guest can hold here never blocks: captured streams,
    /// input that is in memory, files.
    Ready { tag: u8 },
    /// Nothing one can wait for.
    Bad { tag: u8 },
}

const SUBSCRIPTION: usize = 48;
const EVENT: usize = 32;
const TAG_CLOCK: u8 = 0;
const TAG_WRITE: u8 = 2;

/// Reads one 48-byte `subscription`; the layout is that of the preview 1 ABI.
fn parse(bytes: &[u8; SUBSCRIPTION], time: &Time) -> (u64, Wait) {
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let userdata = word(0);
    let tag = bytes[8];
    if tag > TAG_WRITE {
        return (userdata, Wait::Bad { tag });
    }
    if tag != TAG_CLOCK {
        return (userdata, Wait::Ready { tag });
    }
    let clock = word(16) & u64::from(u32::MAX);
    let timeout = Duration::from_nanos(word(24));
    let absolute = bytes[40] & 1 != 0;
    let wait = match (clock, absolute) {
        (0 | 1, false) => Wait::Clock(timeout),
        (0, true) => Wait::Clock(timeout.saturating_sub(time.wall())),
        (1, true) => Wait::Clock(timeout.saturating_sub(time.elapsed())),
        _ => Wait::Bad { tag },
    };
    (userdata, wait)
}

async fn poll_oneoff(
    mut caller: Caller<'_, Guest>,
    subscriptions: u32,
    events: u32,
    count: u32,
    stored: u32,
) -> wasmtime::Result<i32> {
    if count == 0 || count > SUBSCRIPTIONS {
        return Ok(errno::INVAL);
    }
    let Some(memory) = memory(&mut caller) else { return Ok(errno::FAULT) };
    let size = |each: usize| u64::from(count) * each as u64;
    let waits: Vec<(u64, Wait)> = {
        let time = &caller.data().time;
        let Some(bytes) = range(subscriptions, size(SUBSCRIPTION))
            .and_then(|range| memory.data(&caller).get(range))
        else {
            return Ok(errno::FAULT);
        };
        bytes.as_chunks::<SUBSCRIPTION>().0.iter().map(|bytes| parse(bytes, time)).collect()
    };

    let ready_now = waits.iter().any(|(_, wait)| !matches!(wait, Wait::Clock(_)));
    let first = waits.iter().filter_map(|(_, wait)| match wait {
        Wait::Clock(span) => Some(*span),
        _ => None,
    });
    let span = if ready_now { Duration::ZERO } else { first.min().unwrap_or_default() };
    sleep(&mut caller, span).await?;

    let mut happened = Vec::new();
    for (userdata, wait) in waits {
        let (tag, error) = match wait {
            Wait::Clock(other) if other <= span => (TAG_CLOCK, errno::SUCCESS),
            Wait::Clock(_) => continue,
            Wait::Ready { tag } => (tag, errno::SUCCESS),
            Wait::Bad { tag } => (tag, if tag > TAG_WRITE { errno::INVAL } else { errno::BADF }),
        };
        happened.push(event(userdata, error, tag));
    }

    let data = memory.data_mut(&mut caller);
    let bytes = happened.concat();
    let (Some(events), Some(stored)) = (range(events, bytes.len() as u64), range(stored, 4)) else {
        return Ok(errno::FAULT);
    };
    let Some(target) = data.get_mut(events) else { return Ok(errno::FAULT) };
    target.copy_from_slice(&bytes);
    let Some(target) = data.get_mut(stored) else { return Ok(errno::FAULT) };
    target.copy_from_slice(&u32::try_from(happened.len()).unwrap_or(u32::MAX).to_le_bytes());
    Ok(errno::SUCCESS)
}

fn event(userdata: u64, error: i32, tag: u8) -> [u8; EVENT] {
    let mut event = [0; EVENT];
    event[..8].copy_from_slice(&userdata.to_le_bytes());
    event[8..10].copy_from_slice(&error.to_le_bytes()[..2]);
    event[10] = tag;
    if tag != TAG_CLOCK {
        // The number of bytes that can be read or written at least.
        event[16] = 1;
    }
    event
}

async fn sleep(caller: &mut Caller<'_, Guest>, span: Duration) -> wasmtime::Result<()> {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let mut store = caller.as_context_mut();
    let left = store.get_fuel()?;
    // A sleep that the fuel does not last for goes on as long as it does: the
    // guest is ended then and not before.
    let affordable = Duration::from_micros(micros.min(left));
    let until = Instant::now().checked_add(affordable.min(span)).unwrap_or_else(|| {
        // Further away than any deadline.
        Instant::now() + Duration::from_secs(u32::MAX.into())
    });
    if !span.is_zero() && !store.data().time.skips(span) {
        let sleep = store.data().sleep.clone();
        sleep.sleep_until(until).await;
    }
    charge(&mut store, micros)
}
