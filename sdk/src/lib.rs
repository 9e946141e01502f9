//! `neuroflow.sandbox._native`: the kernel, as Python sees it.
//!
//! Private to the package. It blocks and knows nothing of asyncio: a
//! [`Run`](run::Run) is waited for on a thread without the GIL and can be killed
//! from any other. The typed, documented and asynchronous surface is the Python
//! beside it (`neuroflow/sandbox/`), which also owns every value a user makes or
//! keeps.

mod config;
mod error;
mod manager;
mod outcome;
mod run;

/// The kernel under `neuroflow.sandbox`: blocking, private, and thin.
#[pyo3::pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::config::{
        default_config, default_wasm_config, load_config, load_wasm_config, parse_seconds,
        parse_size,
    };
    #[pymodule_export]
    use super::manager::{Manager, Stats};
    #[pymodule_export]
    use super::outcome::{Outcome, Usage};
    #[pymodule_export]
    use super::run::{Executor, Run, probe_host};
}
