//! One run: a store with limits, the module in it, its entry point called.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

use wasmtime::{
    CallHook, Engine, ExternType, FuncType, InstancePre, Linker, Module, Store, StoreContextMut,
    Trap, Val, ValType,
};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::drive::{Sleep, Stop, Watch, drive};
use super::imports::{self, Refused};
use super::intake::{self, Import, Intake, Kind};
use super::limits::Limits;
use super::output::Captured;
use super::{Settings, compile, engine, receipt, wasi};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::outcome::{Exit, Outcome, Usage, Violation};

/// What a store holds beside the instance.
pub(super) struct Guest {
    pub(super) limits: Limits,
    pub(super) watch: Watch,
    pub(super) sleep: Sleep,
    /// Why a host function ended the run, where one did.
    pub(super) stop: Option<Stop>,
    wasi: WasiP1Ctx,
    stdout: Captured,
    stderr: Captured,
    /// Bytes of output that were paid for with fuel.
    output_paid: u64,
}

impl Guest {
    pub(super) fn wasi(&mut self) -> &mut WasiP1Ctx {
        &mut self.wasi
    }

    fn output_unpaid(&mut self) -> u64 {
        let written = self.stdout.written() + self.stderr.written();
        written - std::mem::replace(&mut self.output_paid, written)
    }
}

/// Runs `bytes` with `input` on standard input.
pub(super) fn execute(settings: &Settings, bytes: &[u8], input: &[u8]) -> Result<Outcome> {
    let watch = Watch::start(settings.timeout);
    let run = || execute_caught(settings, bytes, input, &watch);
    // A defect of the engine must not take the application with it.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Error::internal("run the module", std::io::Error::other("the engine panicked")))
    })
}

fn execute_caught(
    settings: &Settings,
    bytes: &[u8],
    input: &[u8],
    watch: &Watch,
) -> Result<Outcome> {
    let engine = engine::shared()?;
    let linker = shared_linker(engine)?;
    let intake = intake::inspect(bytes)?;
    let end = |exit, violations| finished(settings, &intake, watch, exit, violations);

    let refused = imports::check(&intake.imports, &settings.allowed_imports, |module, name| {
        provided(engine, linker, module, name).is_some()
    });
    if !refused.is_empty() {
        return Ok(end(refusal(&refused), refused.iter().map(Refused::violation).collect()));
    }

    let module = match compile::compile(engine, bytes, watch)? {
        Ok(module) => module,
        Err(stop) => return Ok(end(exit_of(&stop, settings), vec![violation(&stop, settings)])),
    };
    let entry = Entry::of(&module, &intake)?;
    let instance = match linker.instantiate_pre(&module) {
        Ok(instance) => instance,
        Err(error) => {
            let refused = wrong_types(engine, linker, &module);
            if refused.is_empty() {
                return Err(Error::config(format!("the module cannot be linked: {error:#}")));
            }
            return Ok(end(refusal(&refused), refused.iter().map(Refused::violation).collect()));
        }
    };

    run(settings, &intake, &instance, entry, input, watch)
}

fn shared_linker(engine: &Engine) -> Result<&'static Linker<Guest>> {
    static LINKER: OnceLock<Linker<Guest>> = OnceLock::new();
    if let Some(linker) = LINKER.get() {
        return Ok(linker);
    }
    let linker = wasi::linker(engine)?;
    Ok(LINKER.get_or_init(|| linker))
}

/// The type of a function that we provide.
fn provided(
    engine: &Engine,
    linker: &Linker<Guest>,
    module: &str,
    name: &str,
) -> Option<ExternType> {
    let mut store = Store::new(engine, Guest::nobody());
    let item = linker.get(&mut store, module, name).ok()?;
    Some(item.ty(&store))
}

/// Imports whose type is not that of the function we provide.
fn wrong_types(engine: &Engine, linker: &Linker<Guest>, module: &Module) -> Vec<Refused> {
    let mut refused = Vec::new();
    for import in module.imports() {
        let Some(ExternType::Func(ours)) = provided(engine, linker, import.module(), import.name())
        else {
            continue;
        };
        if import.ty().func().is_some_and(|theirs| !FuncType::eq(theirs, &ours)) {
            let path = Import {
                module: import.module().to_owned(),
                name: import.name().to_owned(),
                kind: Kind::Function,
            };
            refused.push(Refused::of_type(path, &format!("a function of type {ours}")));
        }
    }
    refused
}

fn refusal(refused: &[Refused]) -> Exit {
    Exit::ImportRefused(refused.iter().map(Refused::path).collect())
}

/// What is called, and with what.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// An export that takes nothing.
    Export(&'static str),
    /// An export with the signature of C's `main`.
    WithArguments(&'static str),
    /// The start function, which instantiation runs.
    Start,
}

impl Entry {
    fn of(module: &Module, intake: &Intake) -> Result<Self> {
        for name in ["_start", "main"] {
            let Some(ExternType::Func(ty)) = module.get_export(name) else { continue };
            let is_i32 = |ty: ValType| matches!(ty, ValType::I32);
            let returns =
                ty.results().len() == 0 || (ty.results().len() == 1 && ty.results().all(is_i32));
            return match (ty.params().len(), returns) {
                (0, true) => Ok(Self::Export(name)),
                (2, true) if ty.params().all(is_i32) => Ok(Self::WithArguments(name)),
                _ => Err(Error::config(format!(
                    "the export `{name}` has type {ty}; an entry point takes nothing, or two i32 \
                     as C's main does, and returns nothing or an i32"
                ))),
            };
        }
        if intake.has_start {
            return Ok(Self::Start);
        }
        Err(Error::config("the module exports neither `_start` nor `main`, so nothing can be run"))
    }
}

impl Guest {
    fn new(settings: &Settings, watch: &Watch, input: &[u8]) -> Self {
        let stdout = Captured::new(settings.max_output);
        let stderr = Captured::new(settings.max_output);
        Self {
            limits: Limits::new(settings.max_memory),
            watch: watch.clone(),
            sleep: Sleep::default(),
            stop: None,
            wasi: wasi::context(input, &stdout, &stderr, watch),
            stdout,
            stderr,
            output_paid: 0,
        }
    }

    /// A guest that never runs, for a store that only looks at types.
    fn nobody() -> Self {
        let none = Captured::new(0);
        let watch = Watch::start(Duration::ZERO);
        Self {
            limits: Limits::new(0),
            sleep: Sleep::default(),
            stop: None,
            wasi: wasi::context(b"", &none, &none, &watch),
            watch,
            stdout: none.clone(),
            stderr: none,
            output_paid: 0,
        }
    }
}

fn run(
    settings: &Settings,
    intake: &Intake,
    instance: &InstancePre<Guest>,
    entry: Entry,
    input: &[u8],
    watch: &Watch,
) -> Result<Outcome> {
    let engine = instance.module().engine();
    let mut store = Store::new(engine, Guest::new(settings, watch, input));
    let fuel = settings.max_fuel.unwrap_or(u64::MAX);
    prepare(&mut store, fuel).map_err(|error| {
        Error::setup("meter the module", std::io::Error::other(format!("{error:#}")))
    })?;

    let sleep = store.data().sleep.clone();
    let ended = match drive(watch, &sleep, call(&mut store, instance, entry)) {
        Ok(Ok(code)) => Ok(code),
        Ok(Err(error)) => Err(ending(&error, store.data())),
        Err(stop) => Err(Ending::Stopped(stop)),
    };

    let left = store.get_fuel().unwrap_or(0);
    // Fuel is looked at where the guest loops, calls or returns from the host;
    // a straight line of instructions to its end may have used up the rest.
    let ended = match ended {
        Ok(_) | Err(Ending::Exited(_)) if left == 0 => Err(Ending::Stopped(Stop::Fuel)),
        ended => ended,
    };

    let (exit, violations) = match ended {
        Ok(code) => (Exit::Exited(code.unwrap_or(0)), Vec::new()),
        Err(Ending::Exited(code)) => (Exit::Exited(code), Vec::new()),
        Err(Ending::Trapped(message)) => (Exit::Trap(message), Vec::new()),
        Err(Ending::Stopped(stop)) => (exit_of(&stop, settings), vec![violation(&stop, settings)]),
        Err(Ending::Failed(error)) => return Err(error),
    };
    let mut outcome = finished(settings, intake, watch, exit, violations);
    let guest = store.data();
    outcome.usage.fuel_consumed = Some(fuel - left);
    outcome.usage.max_memory_bytes = guest.limits.peak();
    outcome.usage.stdout_bytes = guest.stdout.written();
    outcome.usage.stderr_bytes = guest.stderr.written();
    outcome.output_truncated = guest.stdout.is_cut() || guest.stderr.is_cut();
    outcome.stdout = guest.stdout.take();
    outcome.stderr = guest.stderr.take();
    Ok(outcome)
}

fn prepare(store: &mut Store<Guest>, fuel: u64) -> wasmtime::Result<()> {
    store.limiter(|guest| &mut guest.limits);
    store.set_fuel(fuel)?;
    store.fuel_async_yield_interval(Some(engine::FUEL_SLICE))?;
    store.set_hostcall_fuel(wasi::COPY);
    store.call_hook(at_host_call);
    Ok(())
}

/// Runs at each way from the guest into the host and back: a guest that makes
/// host calls in a loop passes no other point where it could be stopped.
fn at_host_call(mut store: StoreContextMut<'_, Guest>, hook: CallHook) -> wasmtime::Result<()> {
    match hook {
        CallHook::CallingHost => {
            if let Some(stop) = store.data().watch.stop() {
                store.data_mut().stop = Some(stop.clone());
                return Err(wasmtime::Error::new(stop));
            }
            wasi::charge(&mut store, wasi::CALL)
        }
        CallHook::ReturningFromHost => match store.data_mut().output_unpaid() {
            0 => Ok(()),
            bytes => wasi::charge(&mut store, bytes),
        },
        CallHook::CallingWasm | CallHook::ReturningFromWasm => Ok(()),
    }
}

async fn call(
    store: &mut Store<Guest>,
    instance: &InstancePre<Guest>,
    entry: Entry,
) -> wasmtime::Result<Option<i32>> {
    let instance = instance.instantiate_async(&mut *store).await?;
    let (name, arguments): (_, &[Val]) = match entry {
        Entry::Start => return Ok(None),
        Entry::Export(name) => (name, &[]),
        Entry::WithArguments(name) => (name, &[Val::I32(0), Val::I32(0)]),
    };
    let Some(function) = instance.get_func(&mut *store, name) else {
        return Err(wasmtime::Error::msg("the entry point is gone"));
    };
    let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
    function.call_async(&mut *store, arguments, &mut results).await?;
    Ok(results.first().and_then(Val::i32))
}

/// How a call that did not return ended.
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

fn exit_of(stop: &Stop, settings: &Settings) -> Exit {
    match stop {
        Stop::Deadline => Exit::TimedOut(settings.timeout),
        Stop::Fuel => Exit::OutOfFuel(settings.max_fuel.unwrap_or(u64::MAX)),
        Stop::Memory { .. } => Exit::OutOfMemory(settings.max_memory),
        Stop::Tables { .. } => Exit::Trap(stop.to_string()),
        Stop::Output => Exit::Output(settings.max_output),
    }
}

fn violation(stop: &Stop, settings: &Settings) -> Violation {
    let (kind, rule, fix) = match stop {
        Stop::Deadline => (
            "timeout",
            "timeout_seconds",
            format!("raise timeout_seconds above {}", settings.timeout.as_secs_f64()),
        ),
        Stop::Fuel => (
            "fuel",
            "max_fuel",
            format!("raise max_fuel above {}", settings.max_fuel.unwrap_or(u64::MAX)),
        ),
        Stop::Memory { wanted } => {
            ("memory", "max_memory_bytes", format!("raise max_memory_bytes to {wanted} or more"))
        }
        Stop::Tables { .. } => (
            "tables",
            "tables",
            "build the module with smaller tables; the limit is fixed".to_owned(),
        ),
        Stop::Output => {
            ("output", "max_output", format!("raise max_output above {}", settings.max_output))
        }
    };
    Violation { kind: kind.to_owned(), what: stop.to_string(), rule: rule.to_owned(), fix }
}

/// An outcome without the figures that only a store has.
fn finished(
    settings: &Settings,
    intake: &Intake,
    watch: &Watch,
    exit: Exit,
    violations: Vec<Violation>,
) -> Outcome {
    Outcome {
        exit,
        usage: Usage { wall_ms: watch.elapsed().into(), ..Usage::default() },
        enforcement: receipt::receipt(settings, !intake.imports.is_empty()),
        violations,
        stdout: Vec::new(),
        stderr: Vec::new(),
        output_truncated: false,
    }
}
