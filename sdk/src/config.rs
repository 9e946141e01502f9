//! Configs on their way in and out: Python's dataclasses hold the values, the
//! kernel's structs give them their meaning.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use kernel::sandbox::config::{Isolation, Named, SeccompProfile};
use kernel::sandbox::units::{ByteSize, Seconds};
use kernel::sandbox::{SandboxConfig, SandboxSecurityLevel, WasmSandboxConfig};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{malformed, raised};

/// The attributes of a Python `SandboxConfig`; `None` is no limit throughout.
#[derive(FromPyObject, IntoPyObject)]
pub(crate) struct SandboxValues {
    work_dir: PathBuf,
    cpu_time_limit: Option<u64>,
    cpu_quota: Option<f64>,
    memory_limit: Option<u64>,
    file_size_limit: Option<u64>,
    timeout: Option<f64>,
    max_processes: Option<u64>,
    max_output: u64,
    enable_network: bool,
    allowed_hosts: Vec<String>,
    allowed_paths: Vec<String>,
    enable_seccomp: bool,
    #[pyo3(from_py_with = read_profile, into_py_with = show_profile)]
    seccomp_profile: Option<SeccompProfile>,
    landlock: bool,
    security_level: String,
    isolation: String,
    environment: BTreeMap<String, String>,
    allowed_commands: Vec<String>,
    allow_degraded: Vec<String>,
    named: BTreeSet<String>,
}

/// The attributes of a Python `WasmSandboxConfig`.
#[derive(FromPyObject, IntoPyObject)]
pub(crate) struct WasmValues {
    max_memory_bytes: u64,
    timeout_seconds: f64,
    max_fuel: Option<u64>,
    allowed_imports: Vec<String>,
    max_output: u64,
}

impl TryFrom<SandboxValues> for SandboxConfig {
    type Error = PyErr;

    fn try_from(values: SandboxValues) -> PyResult<Self> {
        let mut named = Named::default();
        values.named.into_iter().for_each(|key| named.insert(key));
        Ok(Self {
            work_dir: values.work_dir,
            cpu_time_limit: values.cpu_time_limit,
            cpu_quota: values.cpu_quota,
            memory_limit: values.memory_limit,
            file_size_limit: values.file_size_limit,
            timeout: values.timeout.map(duration).transpose()?,
            max_processes: values.max_processes,
            max_output: values.max_output,
            enable_network: values.enable_network,
            allowed_hosts: values.allowed_hosts,
            allowed_paths: values.allowed_paths,
            enable_seccomp: values.enable_seccomp,
            seccomp_profile: values.seccomp_profile,
            landlock: values.landlock,
            security_level: named_one(
                &values.security_level,
                &SandboxSecurityLevel::ALL,
                SandboxSecurityLevel::name,
            )?,
            isolation: named_one(&values.isolation, &Isolation::ALL, Isolation::name)?,
            environment: values.environment,
            allowed_commands: values.allowed_commands,
            allow_degraded: values.allow_degraded,
            named,
        })
    }
}

impl From<SandboxConfig> for SandboxValues {
    fn from(config: SandboxConfig) -> Self {
        Self {
            named: config.named.iter().map(str::to_owned).collect(),
            work_dir: config.work_dir,
            cpu_time_limit: config.cpu_time_limit,
            cpu_quota: config.cpu_quota,
            memory_limit: config.memory_limit,
            file_size_limit: config.file_size_limit,
            timeout: config.timeout.map(|timeout| timeout.as_secs_f64()),
            max_processes: config.max_processes,
            max_output: config.max_output,
            enable_network: config.enable_network,
            allowed_hosts: config.allowed_hosts,
            allowed_paths: config.allowed_paths,
            enable_seccomp: config.enable_seccomp,
            seccomp_profile: config.seccomp_profile,
            landlock: config.landlock,
            security_level: config.security_level.name().to_owned(),
            isolation: config.isolation.name().to_owned(),
            environment: config.environment,
            allowed_commands: config.allowed_commands,
            allow_degraded: config.allow_degraded,
        }
    }
}

impl From<WasmValues> for WasmSandboxConfig {
    fn from(values: WasmValues) -> Self {
        Self {
            max_memory_bytes: values.max_memory_bytes,
            timeout_seconds: values.timeout_seconds,
            max_fuel: values.max_fuel,
            allowed_imports: values.allowed_imports,
            max_output: values.max_output,
        }
    }
}

impl From<WasmSandboxConfig> for WasmValues {
    fn from(config: WasmSandboxConfig) -> Self {
        Self {
            max_memory_bytes: config.max_memory_bytes,
            timeout_seconds: config.timeout_seconds,
            max_fuel: config.max_fuel,
            allowed_imports: config.allowed_imports,
            max_output: config.max_output,
        }
    }
}

/// The kernel's defaults, for the test that compares them with Python's.
#[pyfunction]
#[pyo3(signature = () -> "dict[str, typing.Any]")]
pub(crate) fn default_config() -> SandboxValues {
    SandboxConfig::default().into()
}

/// Like `default_config`, of the WASM sandbox.
#[pyfunction]
#[pyo3(signature = () -> "dict[str, typing.Any]")]
pub(crate) fn default_wasm_config() -> WasmValues {
    WasmSandboxConfig::default().into()
}

/// The values of a file's section `sandbox`, as the constructor takes them.
#[pyfunction]
#[pyo3(signature = (path) -> "dict[str, typing.Any]")]
pub(crate) fn load_config(path: PathBuf) -> PyResult<SandboxValues> {
    SandboxConfig::from_file(path).map(SandboxValues::from).map_err(raised)
}

/// Like `load_config`, of the section `wasm`.
#[pyfunction]
#[pyo3(signature = (path) -> "dict[str, typing.Any]")]
pub(crate) fn load_wasm_config(path: PathBuf) -> PyResult<WasmValues> {
    WasmSandboxConfig::from_file(path).map(WasmValues::from).map_err(raised)
}

/// Bytes, from text such as `256MB`.
#[pyfunction]
pub(crate) fn parse_size(text: &str) -> PyResult<u64> {
    text.parse().map(ByteSize::bytes).map_err(malformed)
}

/// Seconds, from text such as `1m`.
#[pyfunction]
pub(crate) fn parse_seconds(text: &str) -> PyResult<f64> {
    text.parse::<Seconds>().map(|time| time.duration().as_secs_f64()).map_err(malformed)
}

/// A length of time that came as a number of seconds.
pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(malformed)
}

/// The one of `all` that is called `name`.
fn named_one<T: Copy>(name: &str, all: &[T], name_of: fn(T) -> &'static str) -> PyResult<T> {
    let found = all.iter().copied().find(|one| name_of(*one) == name);
    found.ok_or_else(|| malformed(format!("`{name}` is not known here")))
}

fn read_profile(value: &Bound<'_, PyAny>) -> PyResult<Option<SeccompProfile>> {
    if value.is_none() {
        return Ok(None);
    }
    if value.is_instance_of::<PyDict>() {
        let text = value.py().import("json")?.call_method1("dumps", (value,))?;
        return Ok(Some(SeccompProfile::Json(text.extract()?)));
    }
    Ok(Some(SeccompProfile::Path(value.extract()?)))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `into_py_with` takes")]
fn show_profile<'py>(
    profile: Cow<'_, Option<SeccompProfile>>,
    py: Python<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    match profile.as_ref() {
        None => Ok(py.None().into_bound(py)),
        Some(SeccompProfile::Path(path)) => Ok(path.as_path().into_pyobject(py)?.into_any()),
        Some(SeccompProfile::Json(text)) => {
            py.import("json")?.call_method1("loads", (text.as_str(),))
        }
    }
}
