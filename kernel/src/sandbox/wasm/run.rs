//! One run: a store with limits, the module in it, its entry point called.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::{Func, InstancePre, Store, Trap, WasmParams, WasmResults};
use wasmtime_wasi::I32Exit;

use super::drive::{Stop, Watch, drive};
use super::guest::{self, Guest};
use super::imports::Refused;
use super::output::{Captured, Sink};
use super::prepared::{Entry, Preparation, Prepared, prepare};
use super::verdict::{exit_of, violation};
use super::{Request, Settings, engine, receipt, thread_clock};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::outcome::{Exit, Outcome, Usage, Violation};
use crate::sandbox::running::Stream;

/// Runs what is asked for to its end.
pub(super) fn execute(settings: &Settings, request: Request<'_>) -> Result<Outcome> {
    let watch = Watch::start(settings.timeout);
    if let Some(killer) = request.killer {
        watch.obey(killer);
    }
    let run = || execute_caught(settings, request, &watch);
    // A defect of the engine must not take the application with it.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Error::internal("run the module", std::io::Error::other("the engine panicked")))
    })
}

fn execute_caught(settings: &Settings, request: Request<'_>, watch: &Watch) -> Result<Outcome> {
    match prepare(settings, request.module, watch)? {
        Preparation::Ready(prepared) => run(settings, &prepared, request, watch),
        Preparation::Refused(refused) => {
            let exit = Exit::ImportRefused(refused.iter().map(Refused::path).collect());
            let violations = refused.iter().map(Refused::violation).collect();
            Ok(finished(settings, true, watch, exit, violations))
        }
        Preparation::Stopped(stop) => {
            let violations = violation(&stop, settings).into_iter().collect();
            Ok(finished(settings, false, watch, exit_of(&stop, settings), violations))
        }
    }
}

fn run(
    settings: &Settings,
    prepared: &Prepared,
    request: Request<'_>,
    watch: &Watch,
) -> Result<Outcome> {
    let _place = match engine::places()?.take(watch) {
        Ok(place) => place,
        Err(stop) => {
            let (exit, violations) = stopped(&stop, settings);
            return Ok(finished(settings, prepared.has_imports(), watch, exit, violations));
        }
    };
    let used_before = thread_clock::now();
    let sink = request.sink.map(Sink::new);
    let captured =
        |stream| Captured::streamed(settings.max_output, sink.clone().map(|sink| (sink, stream)));
    let guest = Guest::new(
        settings,
        watch,
        prepared.has_imports(),
        request.input,
        captured(Stream::Stdout),
        captured(Stream::Stderr),
    )?;
    let mut store = Store::new(prepared.instance.module().engine(), guest);
    let fuel = settings.max_fuel.unwrap_or(u64::MAX);
    let failed = |error: wasmtime::Error| {
        Error::setup("prepare the module", std::io::Error::other(format!("{error:#}")))
    };
    guest::limit(&mut store, fuel).map_err(failed)?;
    let sleep = store.data().sleep.clone();
    let ended = match drive(watch, &sleep, call(&mut store, &prepared.instance, prepared.entry)) {
        Ok(Ok(code)) => Ending::Exited(code.unwrap_or(0)),
        Ok(Err(error)) => ending(&error, store.data()),
        Err(stop) => Ending::Stopped(stop),
    };
    let left = store.get_fuel().unwrap_or(0);
    let (exit, violations) = match ended {
        // Fuel is looked at where the guest loops, calls or returns from the
        // host; a straight line to its end may have used up the rest.
        Ending::Exited(_) if left == 0 => stopped(&Stop::Fuel, settings),
        Ending::Exited(code) => (Exit::Exited(code), Vec::new()),
        Ending::Trapped(message) => (Exit::Trap(message), Vec::new()),
        Ending::Stopped(stop) => stopped(&stop, settings),
        Ending::Failed(error) => return Err(error),
    };

    let mut outcome = finished(settings, prepared.has_imports(), watch, exit, violations);
    let guest = store.data();
    outcome.usage.fuel_consumed = Some(fuel - left);
    outcome.usage.cpu_user_ms = thread_clock::since(used_before).into();
    outcome.usage.max_memory_bytes = guest.limits.peak();
    outcome.usage.stdout_bytes = guest.stdout.written();
    outcome.usage.stderr_bytes = guest.stderr.written();
    outcome.output_truncated = guest.stdout.is_cut() || guest.stderr.is_cut();
    outcome.stdout = guest.stdout.take();
    outcome.stderr = guest.stderr.take();
    Ok(outcome)
}

fn stopped(stop: &Stop, settings: &Settings) -> (Exit, Vec<Violation>) {
    (exit_of(stop, settings), violation(stop, settings).into_iter().collect())
}

async fn call(
    store: &mut Store<Guest>,
    instance: &InstancePre<Guest>,
    entry: Entry,
) -> wasmtime::Result<Option<i32>> {
    let instance = instance.instantiate_async(&mut *store).await?;
    let (name, with_arguments, gives_code) = match entry {
        Entry::Start => return Ok(None),
        Entry::Export { name, with_arguments, gives_code } => (name, with_arguments, gives_code),
    };
    let Some(function) = instance.get_func(&mut *store, name) else {
        return Err(wasmtime::Error::msg("the entry point is gone"));
    };
    match (with_arguments, gives_code) {
        (false, false) => typed::<(), ()>(store, function, ()).await.map(|()| None),
        (false, true) => typed::<(), i32>(store, function, ()).await.map(Some),
        (true, false) => typed::<_, ()>(store, function, (0, 0)).await.map(|()| None),
        (true, true) => typed::<(i32, i32), i32>(store, function, (0, 0)).await.map(Some),
    }
}

/// Calls `function` by its type, which costs a fifth of a call by values.
async fn typed<P, R>(store: &mut Store<Guest>, function: Func, params: P) -> wasmtime::Result<R>
where
    P: WasmParams + Sync,
    R: WasmResults + Sync,
{
    function.typed::<P, R>(&*store)?.call_async(store, params).await
}

/// How a guest ended.
enum Ending {
    Exited(i32),
    Trapped(String),
    Stopped(Stop),
    Failed(Error),
}

fn ending(error: &wasmtime::Error, guest: &Guest) -> Ending {
    // What a limit said counts first: on its way out of the guest the error may
    // have been wrapped by a host function.
    let said = guest.stop.as_ref().or(guest.limits.reached.as_ref());
    if let Some(stop) = said {
        return Ending::Stopped(stop.clone());
    }
    if guest.stdout.is_flooded() || guest.stderr.is_flooded() {
        return Ending::Stopped(Stop::Output);
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return Ending::Exited(*code);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Ending::Stopped(Stop::Fuel),
        Some(trap) => {
            let text = trap.to_string();
            Ending::Trapped(text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned())
        }
        None if error.downcast_ref::<std::io::Error>().is_some() => Ending::Failed(Error::setup(
            "instantiate the module",
            std::io::Error::other(format!("{error:#}")),
        )),
        None => Ending::Trapped(error.root_cause().to_string()),
    }
}

/// An outcome without the figures that only a store has.
fn finished(
    settings: &Settings,
    has_imports: bool,
    watch: &Watch,
    exit: Exit,
    violations: Vec<Violation>,
) -> Outcome {
    Outcome {
        exit,
        usage: Usage { wall_ms: watch.elapsed().into(), ..Usage::default() },
        enforcement: receipt::receipt(settings, has_imports),
        violations,
        stdout: Vec::new(),
        stderr: Vec::new(),
        output_truncated: false,
        files: BTreeMap::new(),
        skipped: Vec::new(),
    }
}
