//! A sandbox, and a run in it.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::sandbox::host::Host;
use kernel::sandbox::{self, Command, Killer, Result, SandboxExecutor, SandboxManager};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::config::{SandboxValues, WasmValues, duration};
use crate::error::raised;
use crate::manager::Manager;
use crate::outcome::Outcome;

/// A sandbox of one of the three kinds.
#[pyclass(frozen)]
#[derive(Clone, Debug)]
pub(crate) struct Executor(pub(crate) SandboxExecutor);

#[pymethods]
impl Executor {
    /// The process sandbox.
    #[staticmethod]
    fn process(config: SandboxValues) -> PyResult<Self> {
        Ok(Self(SandboxExecutor::new_process(config.try_into()?)))
    }

    /// The Linux-namespace sandbox.
    #[staticmethod]
    fn namespace(config: SandboxValues) -> PyResult<Self> {
        Ok(Self(SandboxExecutor::new_namespace(config.try_into()?)))
    }

    /// The WASM sandbox.
    #[staticmethod]
    fn wasm(config: WasmValues) -> Self {
        Self(SandboxExecutor::new_wasm(config.into()))
    }

    /// A run of a program, not begun yet. With a manager it is counted there: as
    /// one of the sandbox of that name or, without a name, by itself.
    #[pyo3(signature = (program, args, *, input=None, timeout=None, manager=None, sandbox=None))]
    fn command(
        &self,
        program: OsString,
        args: Vec<OsString>,
        input: Option<Vec<u8>>,
        timeout: Option<f64>,
        manager: Option<&Bound<'_, Manager>>,
        sandbox: Option<String>,
    ) -> PyResult<Run> {
        let mut command = Command::new(program);
        command.args(args);
        if let Some(input) = input {
            command.input(input);
        }
        if let Some(timeout) = timeout {
            command.timeout(duration(timeout)?);
        }
        Ok(self.run(Work::Command(command), manager, sandbox))
    }

    /// A run of a WASM module with `input` on its stdin, not begun yet.
    #[pyo3(signature = (module, input, *, manager=None, sandbox=None))]
    fn module(
        &self,
        module: PyBackedBytes,
        input: PyBackedBytes,
        manager: Option<&Bound<'_, Manager>>,
        sandbox: Option<String>,
    ) -> Run {
        self.run(Work::Module { module, input }, manager, sandbox)
    }
}

impl Executor {
    fn run(
        &self,
        work: Work,
        manager: Option<&Bound<'_, Manager>>,
        sandbox: Option<String>,
    ) -> Run {
        Run {
            executor: self.0.clone(),
            work: Mutex::new(Some(work)),
            killer: Killer::new(),
            counted_by: manager.map(|manager| (Arc::clone(&manager.get().0), sandbox)),
        }
    }
}

/// What a run is to run.
#[derive(Debug)]
enum Work {
    /// A program.
    Command(Command),
    /// A WASM module; both stay in Python's heap.
    Module { module: PyBackedBytes, input: PyBackedBytes },
}

/// One run: waited for once, killed from any thread and at any time.
// Weakly held by Python's list of live runs.
#[pyclass(frozen, weakref)]
#[derive(Debug)]
pub(crate) struct Run {
    executor: SandboxExecutor,
    /// Taken by `wait`.
    work: Mutex<Option<Work>>,
    killer: Killer,
    counted_by: Option<(Arc<SandboxManager>, Option<String>)>,
}

#[pymethods]
impl Run {
    /// Starts the guest and blocks, without the GIL, until it has ended and
    /// nothing of it is left. Starts nothing if the run was killed before.
    fn wait(&self, py: Python<'_>) -> PyResult<Outcome> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(work) = work else {
            return Err(PyRuntimeError::new_err("a run is waited for once"));
        };
        let outcome = py.detach(|| self.carry_out(work)).map_err(raised)?;
        Outcome::new(py, outcome)
    }

    /// Ends the run and everything the guest started. Does not wait for it.
    fn kill(&self, py: Python<'_>) {
        // Its hooks take locks that a thread in `wait` may hold.
        py.detach(|| self.killer.kill());
    }
}

impl Run {
    fn carry_out(&self, work: Work) -> Result<sandbox::Outcome> {
        let go = |killer: &Killer| match work {
            Work::Command(command) => self.executor.run_with(command, killer),
            Work::Module { module, input } => {
                self.executor.execute_wasm_with(&module, &input, killer)
            }
        };
        match &self.counted_by {
            Some((manager, name)) => manager.counted(name.as_deref(), &self.killer, go),
            None => go(&self.killer),
        }
    }
}

/// Probes what this host can enforce, so that the first run need not.
#[pyfunction]
pub(crate) fn probe_host(py: Python<'_>) {
    py.detach(Host::get);
}
