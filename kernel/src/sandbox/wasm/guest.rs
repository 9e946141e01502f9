//! What a store holds beside the instance, and what happens on each way from
//! the guest into the host and back.

use wasmtime::{CallHook, Store, StoreContextMut};
use wasmtime_wasi::p1::WasiP1Ctx;

use super::drive::{Sleep, Stop, Watch};
use super::grants::Grants;
use super::limits::Limits;
use super::output::Captured;
use super::sources::{Random, Time};
use super::{Settings, engine, wasi};
use crate::sandbox::command::Stdin;
use crate::sandbox::config::WasmSandboxConfig;
use crate::sandbox::error::Result;

/// The host's side of one guest.
pub(super) struct Guest {
    pub(super) limits: Limits,
    pub(super) watch: Watch,
    pub(super) sleep: Sleep,
    /// Why a host function ended the run, where one did.
    pub(super) stop: Option<Stop>,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    pub(super) time: Time,
    pub(super) random: Random,
    /// Fuel for the act of calling the host.
    call_cost: u64,
    /// What WASI works on; a module without imports has none of it.
    wasi: Option<WasiP1Ctx>,
    /// Bytes of output that were paid for with fuel.
    output_paid: u64,
}

impl Guest {
    pub(super) fn new(
        settings: &Settings,
        watch: &Watch,
        has_imports: bool,
        input: Stdin,
        stdout: Captured,
        stderr: Captured,
    ) -> Result<Self> {
        let grants = &settings.grants;
        let time = Time::new(grants.clocks, watch);
        Ok(Self {
            limits: Limits::new(settings.max_memory),
            watch: watch.clone(),
            sleep: Sleep::default(),
            stop: None,
            wasi: if has_imports {
                Some(wasi::context(input, &stdout, &stderr, &time, grants)?)
            } else {
                None
            },
            time,
            random: Random::new(grants.random),
            call_cost: wasi::call_cost(grants),
            stdout,
            stderr,
            output_paid: 0,
        })
    }

    /// A guest that never runs, for a store that only looks at types.
    pub(super) fn nobody() -> Result<Self> {
        let settings = Settings::new(&WasmSandboxConfig::default(), &Grants::default())?;
        let watch = Watch::start(settings.timeout);
        let none = Captured::new(0);
        Self::new(&settings, &watch, false, Stdin::Empty, none.clone(), none)
    }

    /// What the functions of WASI work on.
    ///
    /// # Panics
    ///
    /// For a module without imports, which has no way to call one.
    pub(super) fn wasi(&mut self) -> &mut WasiP1Ctx {
        self.wasi.as_mut().expect("who calls WASI has imported it")
    }

    /// Ends the run for `stop`: what a host function returns to do so.
    pub(super) fn end(&mut self, stop: Stop) -> wasmtime::Error {
        self.stop = Some(stop.clone());
        wasmtime::Error::new(stop)
    }

    fn output_unpaid(&mut self) -> u64 {
        let written = self.stdout.written() + self.stderr.written();
        written - std::mem::replace(&mut self.output_paid, written)
    }
}

/// Puts the limits of a run on its store.
pub(super) fn limit(store: &mut Store<Guest>, fuel: u64) -> wasmtime::Result<()> {
    store.limiter(|guest| &mut guest.limits);
    store.set_fuel(fuel)?;
    store.data_mut().time.fueled_with(fuel);
    store.fuel_async_yield_interval(Some(engine::FUEL_SLICE))?;
    store.set_hostcall_fuel(wasi::COPY);
    store.call_hook(at_host_call);
    Ok(())
}

/// A guest that makes host calls in a loop passes no other point where it could
/// be stopped: each call starts a new slice of fuel.
fn at_host_call(mut store: StoreContextMut<'_, Guest>, hook: CallHook) -> wasmtime::Result<()> {
    match hook {
        CallHook::CallingHost => {
            if let Some(stop) = store.data().watch.stop() {
                return Err(store.data_mut().end(stop));
            }
            let cost = store.data().call_cost;
            charge(&mut store, cost)?;
            let left = store.get_fuel()?;
            store.data_mut().time.consumed_up_to(left);
            Ok(())
        }
        CallHook::ReturningFromHost => match store.data_mut().output_unpaid() {
            0 => Ok(()),
            bytes => charge(&mut store, bytes),
        },
        CallHook::CallingWasm | CallHook::ReturningFromWasm => Ok(()),
    }
}

/// Takes `units` of the guest's fuel, or ends it.
pub(super) fn charge(store: &mut StoreContextMut<'_, Guest>, units: u64) -> wasmtime::Result<()> {
    let left = store.get_fuel()?;
    if units >= left {
        store.set_fuel(0)?;
        return Err(store.data_mut().end(Stop::Fuel));
    }
    store.set_fuel(left - units)
}
