//! One interface to the three sandboxes.

use std::sync::Arc;

use super::command::Command;
use super::config::{SandboxConfig, WasmSandboxConfig};
use super::error::{Error, Result};
use super::namespace::NamespaceIsolator;
use super::outcome::Outcome;
use super::plan::{Backend, Plan};
use super::process::ProcessIsolator;
use super::running::{Killer, Running};
use super::wasm::WasmSandbox;

/// A sandbox of one of the three kinds: a closed set, dispatched by `match`.
///
/// Takes `&self` everywhere, and can be used by many threads at once.
///
/// ```
/// use kernel::sandbox::SandboxExecutor;
///
/// let executor = SandboxExecutor::new_python();
/// let outcome = executor.execute("python3", &["-c", "print('hello')"])?;
/// assert_eq!(outcome.stdout, b"hello\n");
/// # Ok::<(), kernel::sandbox::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SandboxExecutor {
    /// A process with limits, for code one trusts.
    Process(Arc<ProcessIsolator>),
    /// Linux namespaces, the recommended one.
    Namespace(Arc<NamespaceIsolator>),
    /// WebAssembly modules, for code one does not trust.
    Wasm(Arc<WasmSandbox>),
}

impl SandboxExecutor {
    /// The process sandbox with its defaults, named after what it is mostly for.
    #[must_use]
    pub fn new_python() -> Self {
        Self::new_process(SandboxConfig::default())
    }

    /// The process sandbox.
    #[must_use]
    pub fn new_process(config: SandboxConfig) -> Self {
        Self::Process(Arc::new(ProcessIsolator::new(config)))
    }

    /// The Linux-namespace sandbox.
    #[must_use]
    pub fn new_namespace(config: SandboxConfig) -> Self {
        Self::Namespace(Arc::new(NamespaceIsolator::new(config)))
    }

    /// The WASM sandbox.
    #[must_use]
    pub fn new_wasm(config: WasmSandboxConfig) -> Self {
        Self::Wasm(Arc::new(WasmSandbox::new(config)))
    }

    /// Which kind it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self {
            Self::Process(_) => Backend::Process,
            Self::Namespace(_) => Backend::Namespace,
            Self::Wasm(_) => Backend::Wasm,
        }
    }

    /// Tells what would be done for `command`, and does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a contradiction, [`Error::Unsupported`] for what
    /// this host cannot enforce, [`Error::NotFound`] and
    /// [`Error::NotExecutable`] for the program.
    pub fn plan(&self, command: &Command) -> Result<Plan> {
        match self {
            Self::Process(isolator) => isolator.plan(command),
            Self::Namespace(isolator) => isolator.plan(command),
            Self::Wasm(_) => Err(only_modules()),
        }
    }

    /// Starts `command` and returns while it runs.
    ///
    /// # Errors
    ///
    /// As for [`plan`](Self::plan); [`Error::Config`] for a command that is not
    /// on the list; and [`Error::Setup`] for a step that failed just now.
    pub fn start(&self, command: Command) -> Result<Running> {
        match self {
            Self::Process(isolator) => isolator.start(command),
            Self::Namespace(isolator) => isolator.start(command),
            Self::Wasm(_) => Err(only_modules()),
        }
    }

    /// Runs `command` to its end.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start) and [`Running::wait`]; but a command that
    /// is not on the list is an `Ok` with
    /// [`Exit::Refused`](super::Exit::Refused), and nothing was started.
    pub fn run(&self, command: Command) -> Result<Outcome> {
        self.run_with(command, &Killer::new())
    }

    /// Like [`run`](Self::run), and can be ended from another thread by `killer`,
    /// also before anything has started.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn run_with(&self, command: Command, killer: &Killer) -> Result<Outcome> {
        match self {
            Self::Process(isolator) => isolator.run_with(command, killer),
            Self::Namespace(isolator) => isolator.run_with(command, killer),
            Self::Wasm(_) => Err(only_modules()),
        }
    }

    /// Runs `program` with `args` to its end, with nothing on its stdin.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run), and [`Error::Unsupported`] on the WASM
    /// sandbox, which runs modules.
    pub fn execute(&self, program: &str, args: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(program);
        command.args(args);
        self.run(command)
    }

    /// Runs a WASM module to its end, with `input` as its standard input.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] on the sandboxes that run programs; otherwise as
    /// for [`WasmSandbox::execute`].
    pub fn execute_wasm(&self, module: &[u8], input: &[u8]) -> Result<Outcome> {
        match self {
            Self::Process(_) | Self::Namespace(_) => Err(only_programs()),
            Self::Wasm(sandbox) => sandbox.execute(module, input),
        }
    }

    /// Like [`execute_wasm`](Self::execute_wasm), and can be ended from another
    /// thread by `killer`.
    ///
    /// # Errors
    ///
    /// As for [`execute_wasm`](Self::execute_wasm).
    pub fn execute_wasm_with(
        &self,
        module: &[u8],
        input: &[u8],
        killer: &Killer,
    ) -> Result<Outcome> {
        match self {
            Self::Process(_) | Self::Namespace(_) => Err(only_programs()),
            Self::Wasm(sandbox) => sandbox.execute_with(module, input, killer),
        }
    }
}

fn only_modules() -> Error {
    Error::unsupported(
        "execute",
        "the WASM sandbox runs modules, not programs",
        "call execute_wasm, or use the process or namespace sandbox",
    )
}

fn only_programs() -> Error {
    Error::unsupported(
        "execute_wasm",
        "this sandbox runs programs, not WASM modules",
        "use SandboxExecutor::new_wasm",
    )
}
