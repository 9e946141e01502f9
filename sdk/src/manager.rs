//! Many runs at once, counted and ended together.

use std::sync::Arc;

use kernel::sandbox::{SandboxConfig, SandboxManager};
use pyo3::prelude::*;

use crate::config::duration;
use crate::error::raised;
use crate::run::Executor;

/// Counts runs and ends those that take too long.
#[pyclass(frozen)]
#[derive(Debug)]
pub(crate) struct Manager(pub(crate) Arc<SandboxManager>);

/// What a manager counted.
#[pyclass(frozen, get_all)]
#[derive(Debug)]
pub(crate) struct Stats {
    /// Named sandboxes, and runs that have none, alive now.
    active_sandboxes: usize,
    /// Runs that came to an outcome.
    total_executions: u64,
    /// Mean wall-clock milliseconds of a run.
    avg_execution_time: f64,
    /// Mean peak MiB of a run.
    avg_memory_mb: f64,
}

#[pymethods]
impl Manager {
    #[new]
    fn new() -> Self {
        // Python passes an executor with each run, so the default is never used.
        Self(Arc::new(SandboxManager::new(SandboxConfig::default())))
    }

    /// Keeps a sandbox under a name.
    fn create_sandbox(&self, id: &str, executor: &Bound<'_, Executor>) -> PyResult<()> {
        self.0.create_sandbox(id, executor.get().0.clone()).map_err(raised)
    }

    /// Ends the sandbox of that name and its runs. False if there is none.
    fn destroy_sandbox(&self, py: Python<'_>, id: &str) -> bool {
        py.detach(|| self.0.destroy_sandbox(id))
    }

    /// The counts so far.
    fn stats(&self) -> Stats {
        let stats = self.0.get_stats();
        Stats {
            active_sandboxes: stats.active_sandboxes,
            total_executions: stats.total_executions,
            avg_execution_time: stats.avg_execution_time,
            avg_memory_mb: stats.avg_memory_mb,
        }
    }

    /// Ends every run and removes every sandbox; blocks until they are gone.
    fn cleanup(&self, py: Python<'_>) -> usize {
        py.detach(|| self.0.cleanup())
    }

    /// Ends the runs that have taken longer; blocks until they are gone.
    fn cleanup_longer_than(&self, py: Python<'_>, seconds: f64) -> PyResult<usize> {
        let timeout = duration(seconds)?;
        Ok(py.detach(|| self.0.cleanup_longer_than(timeout)))
    }

    /// Removes the named sandboxes in which nothing has run for so long.
    fn cleanup_idle(&self, seconds: f64) -> PyResult<usize> {
        Ok(self.0.cleanup_idle(duration(seconds)?))
    }
}
