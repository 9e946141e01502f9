//! The one engine: what WebAssembly this sandbox speaks and how it is compiled.

use std::sync::OnceLock;

use wasmtime::{Config, Engine, OptLevel, WasmFeatures};

use super::pool::{self, Places};
use crate::sandbox::error::{Error, Result};

/// Fuel between two looks at the clock.
///
/// One unit is about one WebAssembly instruction, so this is around a
/// millisecond; consumption is the same with and without the pauses.
pub(super) const FUEL_SLICE: u64 = 1_000_000;

/// Bytes of stack for the guest's own calls; deeper recursion is a trap.
pub(super) const WASM_STACK: usize = 512 << 10;

/// Bytes of the whole stack a guest runs on: its own calls, and the host
/// functions that it calls.
pub(super) const GUEST_STACK: usize = 2 << 20;

/// What a module may use: WebAssembly 2.0, tail calls, extended constants, and
/// relaxed SIMD in its deterministic form.
///
/// Threads, 64-bit and multiple memories, garbage collection, exceptions and
/// stack switching stay off: each is a way to memory or to control flow that
/// the limits would have to follow, and compilers do not emit them unasked.
pub(super) fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::FLOATS
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::CALL_INDIRECT_OVERLONG
}

/// The engine of every sandbox in this process. Limits belong to a run, so all
/// configs share it and with it the compiled modules.
pub(super) fn shared() -> Result<&'static Engine> {
    Ok(&engine_and_places()?.0)
}

/// How many runs go on at once in this process.
pub(super) fn places() -> Result<&'static Places> {
    Ok(&engine_and_places()?.1)
}

fn engine_and_places() -> Result<&'static (Engine, Places)> {
    static ENGINE: OnceLock<std::result::Result<(Engine, Places), String>> = OnceLock::new();
    ENGINE.get_or_init(|| build(pool::wanted())).as_ref().map_err(|message| {
        Error::setup("start the WASM engine", std::io::Error::other(message.clone()))
    })
}

/// An engine whose instances come out of the first of these pools that this
/// process has address space for, or out of none.
fn build(pools: &[u32]) -> std::result::Result<(Engine, Places), String> {
    for memories in pools {
        let mut config = config();
        config.allocation_strategy(pool::of(*memories));
        if let Ok(engine) = Engine::new(&config) {
            return Ok((engine, Places::of(Some(*memories))));
        }
    }
    let engine = Engine::new(&config()).map_err(|error| format!("{error:#}"))?;
    Ok((engine, Places::of(None)))
}

/// How WebAssembly is compiled and run, apart from where instances come from.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(features(), true)
        .consume_fuel(true)
        // The whole range of a 32-bit address is reserved for each memory, so that
        // its guard pages do what a comparison at each access would.
        .memory_reservation(4 << 30)
        .memory_init_cow(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(GUEST_STACK)
        // The same bits on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .cranelift_opt_level(OptLevel::Speed)
        // A compilation that was given up must not go on in a pool that other
        // runs' compilations share.
        .parallel_compilation(false)
        // A trap is told by its kind. Walking a hostile stack for names costs
        // time that no limit counts.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    config
}
