//! An [`Outcome`](kernel::sandbox::Outcome) in Python's own types.

use kernel::sandbox;
use kernel::sandbox::report::Ending;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// What a run came to.
#[pyclass(frozen, get_all)]
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How it ended: `exited`, `timed_out`, ….
    kind: &'static str,
    /// The exit code, where it ended by itself.
    code: Option<i32>,
    /// The signal, where one ended it.
    signal: Option<i32>,
    /// The limit that was reached, or the reason.
    detail: Option<String>,
    /// The exit code as results tell it.
    exit_code: i32,
    /// Whether the guest ended by itself with code 0.
    success: bool,
    /// What went wrong in one sentence.
    error: Option<String>,
    /// What the guest used.
    usage: Py<Usage>,
    /// The receipt: name, state, mechanism and reason of each protection.
    enforcement: Vec<(&'static str, &'static str, String, String)>,
    /// Kind, what, rule and fix of each refusal.
    violations: Vec<(String, String, String, String)>,
    /// Standard output up to the cap.
    stdout: Py<PyBytes>,
    /// Standard error up to the cap.
    stderr: Py<PyBytes>,
    /// Whether output past the cap was thrown away.
    output_truncated: bool,
}

/// What the guest and all its descendants used.
#[pyclass(frozen, get_all)]
#[derive(Debug)]
pub(crate) struct Usage {
    /// Wall-clock milliseconds.
    wall_ms: f64,
    /// Milliseconds of CPU in user mode.
    cpu_user_ms: f64,
    /// Milliseconds of CPU in the kernel.
    cpu_system_ms: f64,
    /// Peak bytes of memory.
    max_memory_bytes: u64,
    /// Bytes written to stdout.
    stdout_bytes: u64,
    /// Bytes written to stderr.
    stderr_bytes: u64,
    /// Fuel a metered WASM guest consumed.
    fuel_consumed: Option<u64>,
    /// Most tasks alive at once.
    max_processes: Option<u64>,
    /// Milliseconds that some and that all of it waited: for CPU, memory, disk.
    pressure: Option<[(f64, f64); 3]>,
}

impl Outcome {
    /// Moves `outcome` over; its output is copied into Python's heap once.
    pub(crate) fn new(py: Python<'_>, outcome: sandbox::Outcome) -> PyResult<Self> {
        let Ending { code, signal, detail, .. } = Ending::of_exit(&outcome.exit);
        let enforcement = outcome
            .enforcement
            .iter()
            .map(|(protection, held)| {
                (protection.name(), held.state.name(), held.by.clone(), held.why.clone())
            })
            .collect();
        Ok(Self {
            kind: outcome.exit.kind(),
            code,
            signal,
            detail,
            exit_code: outcome.exit_code(),
            success: outcome.success(),
            error: outcome.error(),
            usage: Py::new(py, Usage::from(&outcome.usage))?,
            enforcement,
            violations: outcome
                .violations
                .into_iter()
                .map(|violation| (violation.kind, violation.what, violation.rule, violation.fix))
                .collect(),
            stdout: PyBytes::new(py, &outcome.stdout).unbind(),
            stderr: PyBytes::new(py, &outcome.stderr).unbind(),
            output_truncated: outcome.output_truncated,
        })
    }
}

impl From<&sandbox::Usage> for Usage {
    fn from(usage: &sandbox::Usage) -> Self {
        Self {
            wall_ms: usage.wall_ms.as_f64(),
            cpu_user_ms: usage.cpu_user_ms.as_f64(),
            cpu_system_ms: usage.cpu_system_ms.as_f64(),
            max_memory_bytes: usage.max_memory_bytes,
            stdout_bytes: usage.stdout_bytes,
            stderr_bytes: usage.stderr_bytes,
            fuel_consumed: usage.fuel_consumed,
            max_processes: usage.max_processes,
            pressure: usage.pressure.map(|pressure| {
                [pressure.cpu, pressure.memory, pressure.io]
                    .map(|stall| (stall.some_ms.as_f64(), stall.full_ms.as_f64()))
            }),
        }
    }
}
