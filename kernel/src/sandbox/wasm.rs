//! The WASM back end: runs a module that can reach nothing it was not handed.
//!
//! # Theory of operation
//!
//! A module is bytes from a stranger, so each stage bounds the next:
//!
//! 1. [`intake`] reads the headers of the module, cheaply: is it a core module
//!    at all, is it small enough to be compiled, what does it import;
//! 2. [`imports`] refuses whatever is not on `allowed_imports`, used or not;
//! 3. [`compile`] turns it into machine code, on a thread or in a process of its
//!    own, since a compilation cannot be interrupted from inside; [`cache`] keeps
//!    the result for the next run of the same bytes;
//! 4. [`run`] makes a store with limits and fuel, instantiates and calls the
//!    entry point on the caller's thread.
//!
//! The guest runs on a stack of its own and hands control back every
//! [`engine::FUEL_SLICE`] units of fuel and at every host call; [`drive`] looks
//! at the clock then. No other thread watches and no signal is sent, so
//! nothing here needs Linux.
//!
//! # What a module runs as
//!
//! The entry point is the export `_start`, else `main`; a module with neither
//! but with a start function is instantiated and that is its run. The entry
//! takes nothing, or the two `i32` of C's `main` (both are passed as 0), and
//! returns nothing or an `i32`, which is the exit code.

use std::time::Duration;

use super::command::Stdin;
use super::config::WasmSandboxConfig;
use super::error::{Error, Result};
use super::outcome::Outcome;
use super::running::{Killer, Stream};

#[cfg(feature = "wasm")]
mod artifact;
#[cfg(feature = "wasm")]
mod cache;
#[cfg(feature = "wasm")]
mod child;
#[cfg(feature = "wasm")]
mod compile;
mod compiler;
#[cfg(all(test, feature = "conformance"))]
mod conformance;
#[cfg(feature = "wasm")]
mod drive;
#[cfg(feature = "wasm")]
mod engine;
mod grants;
#[cfg(feature = "wasm")]
mod guest;
#[cfg(feature = "wasm")]
mod hash;
mod host_functions;
#[cfg(feature = "wasm")]
mod hosted;
#[cfg(feature = "wasm")]
mod imports;
#[cfg(feature = "wasm")]
mod inspect;
#[cfg(feature = "wasm")]
mod intake;
#[cfg(feature = "wasm")]
mod limits;
#[cfg(feature = "wasm")]
mod output;
#[cfg(feature = "wasm")]
mod pool;
#[cfg(feature = "wasm")]
mod prepared;
#[cfg(feature = "wasm")]
mod receipt;
#[cfg(feature = "wasm")]
mod run;
#[cfg(feature = "wasm")]
mod served;
#[cfg(feature = "wasm")]
mod sources;
#[cfg(all(feature = "wasm", unix))]
mod thread_clock;
#[cfg(all(feature = "wasm", not(unix)))]
#[path = "wasm/no_thread_clock.rs"]
mod thread_clock;
#[cfg(feature = "wasm")]
mod verdict;
#[cfg(feature = "wasm")]
mod wasi;

#[cfg(feature = "wasm")]
pub use artifact::Artifact;
pub use compiler::Compiler;
pub use grants::{Clocks, Directory, Grants, Randomness};
pub use host_functions::{
    AccessError, HostCall, HostFunction, HostFunctions, HostResults, HostValue, Returned,
    Signature, Value, ValueType,
};
#[cfg(feature = "wasm")]
pub use inspect::{Exported, Imported, Inspection, MemorySize};
#[cfg(feature = "wasm")]
use run as imp;

#[cfg(not(feature = "wasm"))]
#[path = "wasm/unsupported.rs"]
mod imp;

/// Bytes of the longest module that is looked at; a longer one is refused.
pub const MAX_MODULE_BYTES: u64 = 64 << 20;

/// The names under which WASI is imported, which no other function can take.
const WASI_MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// A sandbox for WebAssembly modules.
///
/// A module gets linear memory, fuel and time, and the imports that its config
/// lists. With an empty list it can compute and nothing else: no files, no
/// network, no environment, no clock.
///
/// ```
/// # #[cfg(feature = "wasm")] {
/// use kernel::sandbox::{Exit, WasmSandbox, WasmSandboxConfig};
///
/// let sandbox = WasmSandbox::new(WasmSandboxConfig::default());
/// // (module (func (export "main") (result i32) i32.const 7))
/// let module = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\
///     \x07\x08\x01\x04main\0\0\x0a\x06\x01\x04\0\x41\x07\x0b";
/// let outcome = sandbox.execute(module, b"")?;
/// assert_eq!(outcome.exit, Exit::Exited(7));
/// # }
/// # Ok::<(), kernel::sandbox::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct WasmSandbox {
    config: WasmSandboxConfig,
    grants: Grants,
    host_functions: HostFunctions,
    compiler: Compiler,
}

impl WasmSandbox {
    /// A sandbox that runs every module under `config`. Nothing is checked
    /// before the first run.
    #[must_use]
    pub fn new(config: WasmSandboxConfig) -> Self {
        Self {
            config,
            grants: Grants::default(),
            host_functions: HostFunctions::default(),
            compiler: Compiler::default(),
        }
    }

    /// Puts `grants` behind the imports that the config allows.
    #[must_use]
    pub fn with_grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// Provides `functions` to modules that import them, as far as the config
    /// allows those imports.
    #[must_use]
    pub fn with_host_functions(mut self, functions: HostFunctions) -> Self {
        self.host_functions = functions;
        self
    }

    /// Compiles modules by `compiler`.
    #[must_use]
    pub fn with_compiler(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    /// The config it was made with.
    #[must_use]
    pub fn config(&self) -> &WasmSandboxConfig {
        &self.config
    }

    /// Runs `module` to its end and tells how it ended.
    ///
    /// `input` is what the module reads on its standard input, where WASI is
    /// granted. A module that traps, loops, exhausts its fuel or asks for an
    /// import that is not allowed is an `Ok`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a config that contradicts itself and for bytes
    /// that are no module this sandbox runs: text, a component, native or
    /// precompiled code, a module cut short, invalid or past the size caps.
    /// [`Error::Unsupported`] in a build without the `wasm` feature.
    pub fn execute(&self, module: &[u8], input: &[u8]) -> Result<Outcome> {
        self.request(Request { module, input: bytes(input), killer: None, sink: None })
    }

    /// Like [`execute`](Self::execute), and can be ended from another thread by
    /// `killer`, also while the module is compiled. A run that was ended so is
    /// [`Exit::Signalled(9)`](super::Exit::Signalled), as on the other back ends.
    ///
    /// # Errors
    ///
    /// As for [`execute`](Self::execute).
    pub fn execute_with(&self, module: &[u8], input: &[u8], killer: &Killer) -> Result<Outcome> {
        self.request(Request { module, input: bytes(input), killer: Some(killer), sink: None })
    }

    /// Like [`execute_with`](Self::execute_with), and passes output on to `sink`
    /// as it comes, up to the cap. It is captured all the same.
    ///
    /// The sink runs on the calling thread, in the middle of the guest: while it
    /// blocks, nobody looks at the clock.
    ///
    /// # Errors
    ///
    /// As for [`execute`](Self::execute).
    pub fn stream(
        &self,
        module: &[u8],
        input: Stdin,
        killer: &Killer,
        sink: impl FnMut(Stream, &[u8]) + Send + 'static,
    ) -> Result<Outcome> {
        self.request(Request { module, input, killer: Some(killer), sink: Some(Box::new(sink)) })
    }

    /// The hash of a run that came to `outcome`: SHA-256, in hexadecimal, over
    /// the module, the input, the config and the grants, and over what came of
    /// them: the ending, the output, the fuel and the memory. Not over times.
    ///
    /// Under [`Grants::deterministic`] a run with the same module and input has
    /// the same hash on every machine, unless the clock ended it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a config that contradicts itself.
    #[cfg(feature = "wasm")]
    pub fn run_hash(&self, module: &[u8], input: &[u8], outcome: &Outcome) -> Result<String> {
        let settings = self.settings()?;
        Ok(hash::run_hash(&settings, module, input, outcome))
    }

    /// Tells what `module` is and asks for, and runs nothing of it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for bytes that are no module this sandbox runs.
    #[cfg(feature = "wasm")]
    pub fn inspect(module: &[u8]) -> Result<Inspection> {
        inspect::inspect(module)
    }

    fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::new(&self.config, &self.grants)?;
        let problems = self.host_functions.problems();
        if !problems.is_empty() {
            return Err(Error::Config { problems });
        }
        settings.host_functions = self.host_functions.clone();
        settings.compiler = self.compiler.clone();
        Ok(settings)
    }

    fn request(&self, request: Request<'_>) -> Result<Outcome> {
        imp::execute(&self.settings()?, request)
    }
}

/// Compiles for a parent: what a program that a [`Compiler`] names does when its
/// first argument is `compile-module`. Reads a module from `input` and writes
/// machine code to `output`, under limits on memory and CPU time that it sets on
/// the whole process. Returns the exit code, with the reason for one that is not 0.
///
/// # Errors
///
/// The exit code and the sentence for standard error.
#[cfg(feature = "wasm")]
pub fn compile_for_parent(
    input: impl std::io::Read,
    output: impl std::io::Write,
) -> Result<(), (u8, Error)> {
    child::work(input, output).map_err(|error| match error {
        Error::Config { .. } => (child::REFUSED, error),
        other => (1, other),
    })
}

/// Tells the engine that this process runs a module or two and ends, as a command
/// does: it then reserves no pool of instances, which takes longer than one run.
/// Of no effect once something has run.
#[cfg(feature = "wasm")]
pub fn expect_one_run() {
    pool::do_without();
}

/// What is kept in a directory of compiled modules, what was used last first.
///
/// # Errors
///
/// [`Error::Setup`] for a directory that cannot be read or that others can write.
#[cfg(feature = "wasm")]
pub fn cached(directory: &std::path::Path) -> Result<Vec<Artifact>> {
    artifact::Artifacts::open(directory)?
        .list()
        .map_err(|error| Error::setup(format!("read {}", directory.display()), error))
}

/// Removes all that is kept in a directory of compiled modules, and nothing else;
/// how many there were.
///
/// # Errors
///
/// As for [`cached`].
#[cfg(feature = "wasm")]
pub fn clear_cache(directory: &std::path::Path) -> Result<usize> {
    artifact::Artifacts::open(directory)?
        .clear()
        .map_err(|error| Error::setup(format!("clear {}", directory.display()), error))
}

fn bytes(input: &[u8]) -> Stdin {
    if input.is_empty() { Stdin::Empty } else { Stdin::Bytes(input.to_vec()) }
}

/// Takes output as it comes.
type OutputSink = Box<dyn FnMut(Stream, &[u8]) + Send>;

/// What is to be run, and who is told and listened to meanwhile.
#[cfg_attr(not(feature = "wasm"), expect(dead_code, reason = "read by the engine alone"))]
struct Request<'a> {
    module: &'a [u8],
    input: Stdin,
    killer: Option<&'a Killer>,
    sink: Option<OutputSink>,
}

/// A config found consistent.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "wasm"), expect(dead_code, reason = "read by the engine alone"))]
struct Settings {
    max_memory: u64,
    timeout: Duration,
    max_fuel: Option<u64>,
    allowed_imports: Vec<String>,
    max_output: u64,
    grants: Grants,
    host_functions: HostFunctions,
    compiler: Compiler,
}

impl WasmSandboxConfig {
    /// The longest time-out: a year, which fits the clocks of every platform.
    pub const MAX_TIMEOUT_SECONDS: f64 = 365.0 * 24.0 * 3600.0;
}

impl Settings {
    /// Checks `config` as a whole and lists every problem.
    fn new(config: &WasmSandboxConfig, grants: &Grants) -> Result<Self> {
        let mut problems = Vec::new();
        let seconds = config.timeout_seconds;
        if !(seconds > 0.0 && seconds <= WasmSandboxConfig::MAX_TIMEOUT_SECONDS) {
            problems.push(format!(
                "timeout_seconds is {seconds}; it must be more than 0 and at most a year"
            ));
        }
        if config.max_fuel == Some(0) {
            problems.push("max_fuel is 0, so no instruction could run".to_owned());
        }
        for entry in &config.allowed_imports {
            if let Some(problem) = import_entry_problem(entry) {
                problems.push(problem);
            }
        }
        problems.extend(grants.problems());
        if !problems.is_empty() {
            return Err(Error::Config { problems });
        }

        Ok(Self {
            max_memory: config.max_memory_bytes,
            timeout: Duration::from_secs_f64(seconds),
            max_fuel: config.max_fuel,
            allowed_imports: config.allowed_imports.clone(),
            max_output: config.max_output,
            grants: grants.clone(),
            host_functions: HostFunctions::default(),
            compiler: Compiler::default(),
        })
    }
}

/// What is wrong with an entry of `allowed_imports`, if anything.
fn import_entry_problem(entry: &str) -> Option<String> {
    let form = "write `module.name`, or `module.*` for all of a module";
    match entry.split_once('.') {
        None => Some(format!("`{entry}` in allowed_imports names no module and import; {form}")),
        Some(("*", _)) => {
            Some(format!("`{entry}` in allowed_imports would allow any module; {form}"))
        }
        Some(("", _) | (_, "")) => {
            Some(format!("`{entry}` in allowed_imports is cut short; {form}"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_config_is_listed_at_once() {
        let config = WasmSandboxConfig {
            timeout_seconds: f64::NAN,
            max_fuel: Some(0),
            allowed_imports: vec!["env".into(), "*.*".into(), "env.log".into()],
            ..WasmSandboxConfig::default()
        };

        let Err(Error::Config { problems }) = Settings::new(&config, &Grants::default()) else {
            panic!("the config was accepted");
        };

        assert_eq!(problems.len(), 4, "{problems:?}");
    }

    #[test]
    fn the_default_config_is_consistent() {
        assert!(Settings::new(&WasmSandboxConfig::default(), &Grants::default()).is_ok());
    }
}
