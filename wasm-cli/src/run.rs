//! Runs one module, from the command line to the exit code.

use std::ffi::OsString;
use std::path::Path;

use kernel::sandbox::wasm::{self, Compiler, Grants, Randomness};
use kernel::sandbox::{Error, Exit, Killer, Outcome, Result, WasmSandbox, WasmSandboxConfig};
use neuroflow_cli::args::Bound;
use neuroflow_cli::guest_input;
use neuroflow_cli::interrupt::Interrupts;
use neuroflow_cli::relay::Relay;
use neuroflow_cli::settings;
use neuroflow_cli::telling::{Circumstances, Telling};

use crate::args::{RunArgs, SandboxArgs};
use crate::{cache, module_file};

/// Runs the module and tells how it went; returns the exit code.
pub(crate) fn run(args: &RunArgs) -> u8 {
    let mut circumstances = Circumstances::default();
    let (telling, result) = match Telling::prepare(&args.telling) {
        Ok(telling) => {
            let result = execute(args, &telling, &mut circumstances);
            (telling, result)
        }
        Err(error) => (Telling::without_file(&args.telling), Err(error)),
    };
    telling.tell(&result, &circumstances)
}

fn execute(args: &RunArgs, telling: &Telling, told: &mut Circumstances) -> Result<Outcome> {
    let (file, arguments) = args.module();
    let sandbox = sandbox(&args.sandbox, &file, arguments)?;
    let module = module_file::read(&file)?;
    let stdin = guest_input::stdin(args.telling.interactive);

    let killer = Killer::new();
    let interrupts = Interrupts::watch()
        .map_err(|source| Error::Setup { step: "watch for Ctrl-C".to_owned(), source })?;
    interrupts.arm(killer.clone());
    let result = if telling.wants_json() {
        sandbox.stream(&module, stdin, &killer, |_, _| {})
    } else {
        let relay = std::sync::Arc::new(std::sync::Mutex::new(Relay::new(killer.clone())));
        let result = {
            let relay = std::sync::Arc::clone(&relay);
            sandbox.stream(&module, stdin, &killer, move |stream, bytes| {
                if let Ok(mut relay) = relay.lock() {
                    relay.send(stream, bytes);
                }
            })
        };
        if let Some(relay) =
            std::sync::Arc::into_inner(relay).and_then(|relay| relay.into_inner().ok())
        {
            told.delivery = relay.finish(killer.is_killed() || cut_short(&result));
        }
        result
    };
    told.interrupted_by = interrupts.signal();
    result
}

/// Whether a limit ended the module, so that a reader who takes nothing is not
/// waited for.
fn cut_short(result: &Result<Outcome>) -> bool {
    !matches!(result, Ok(Outcome { exit: Exit::Exited(_) | Exit::Trap(_), .. }))
}

/// The sandbox that the flags ask for. A module's first argument is its file, as
/// a program's is its name.
pub(crate) fn sandbox(
    flags: &SandboxArgs,
    file: &Path,
    arguments: &[OsString],
) -> Result<WasmSandbox> {
    let mut args = vec![file.to_string_lossy().into_owned()];
    for argument in arguments {
        let text = argument.to_str().ok_or_else(|| Error::Config {
            problems: vec![format!("the argument {argument:?} is not UTF-8, as WASI demands")],
        })?;
        args.push(text.to_owned());
    }
    let behind = if flags.deterministic { Grants::deterministic() } else { Grants::default() };
    let mut grants = Grants {
        environment: flags.env.iter().cloned().collect(),
        directories: flags.dirs.clone(),
        ..behind
    }
    .args(args);
    if let Some(seed) = flags.seed {
        grants.random = Randomness::Seed(seed);
    }
    let sandbox = WasmSandbox::new(config(flags)?).with_grants(grants);
    Ok(sandbox.with_compiler(compiler(flags)))
}

/// Large modules are compiled by another process of this program; what comes of
/// it is kept where this user's caches are.
fn compiler(flags: &SandboxArgs) -> Compiler {
    let mut compiler = Compiler::default();
    if let Ok(program) = std::env::current_exe() {
        compiler = compiler.program(program);
    }
    match cache::directory() {
        // One that is not private is left alone: the user did not name it.
        Some(directory) if !flags.no_cache && wasm::cached(&directory).is_ok() => {
            compiler.cache(directory)
        }
        _ => compiler,
    }
}

/// Flags before variables, variables before the file, the file before defaults.
fn config(flags: &SandboxArgs) -> Result<WasmSandboxConfig> {
    let mut config = settings::wasm_config(flags.config.as_deref(), std::env::vars_os())?;
    if let Some(fuel) = flags.fuel {
        config.max_fuel = fuel.limit();
    }
    if let Some(memory) = flags.memory {
        config.max_memory_bytes = memory.limit().map_or(u64::MAX, |size| size.bytes());
    }
    match flags.timeout {
        Some(Bound::At(timeout)) => config.timeout_seconds = timeout.duration().as_secs_f64(),
        Some(Bound::None) => config.timeout_seconds = WasmSandboxConfig::MAX_TIMEOUT_SECONDS,
        None => {}
    }
    if let Some(max_output) = flags.max_output {
        config.max_output = max_output.bytes();
    }
    if !flags.allow_imports.is_empty() {
        config.allowed_imports.clone_from(&flags.allow_imports);
    }
    Ok(config)
}
