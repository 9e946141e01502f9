//! What a user writes. Flat structs with public fields, for use as literals
//! with `..SandboxConfig::default()`; [`Policy`](super::Policy) is what code reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

mod env;
mod file;
pub mod keys;
mod value;
mod yaml;

pub use file::ConfigFile;

/// How strong the process back end's protection is.
///
/// The namespace back end is at least as strong as [`Strict`](Self::Strict) at
/// every level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SandboxSecurityLevel {
    /// Limits only.
    Minimal,
    /// Limits, `no_new_privs`, and a deny list of dangerous system calls.
    #[default]
    Standard,
    /// Standard, and Landlock to the work dir, the allowed paths and the
    /// system's own read-only files, and no network.
    Strict,
    /// The namespace back end's plan, or a refusal.
    Paranoid,
}

impl SandboxSecurityLevel {
    /// All levels, weakest first.
    pub const ALL: [Self; 4] = [Self::Minimal, Self::Standard, Self::Strict, Self::Paranoid];

    /// The name in files, flags and Python: `minimal`, `standard`, ….
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Standard => "standard",
            Self::Strict => "strict",
            Self::Paranoid => "paranoid",
        }
    }
}

/// Where a seccomp profile comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeccompProfile {
    /// A file in OCI/Docker JSON.
    Path(PathBuf),
    /// The JSON text itself.
    Json(String),
}

/// How much isolation the namespace back end insists on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All namespaces, or a refusal (the default).
    #[default]
    Strict,
    /// Landlock, seccomp and rlimits without namespaces, where the host has no
    /// namespaces to give. Not there yet: asking for it is refused.
    Contained,
}

impl Isolation {
    /// All of them, strongest first.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Contained];

    /// The name in files, flags and Python: `strict`, `contained`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Contained => "contained",
        }
    }
}

/// The names of the keys that a user wrote, as opposed to defaults.
///
/// A limit that was *named* and cannot be enforced is refused; one that is only
/// a default takes the best mechanism there is. Flags, files and Python fill
/// this in. A Rust literal need not: a value that differs from the default
/// counts as named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named(BTreeSet<String>);

impl Named {
    /// Marks `key` as named by the user.
    pub fn insert(&mut self, key: impl Into<String>) {
        self.0.insert(key.into());
    }

    /// Whether the user named `key`.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains(key)
    }

    /// The keys the user named, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The config of the process and namespace sandboxes.
///
/// ```
/// use kernel::sandbox::SandboxConfig;
///
/// let config = SandboxConfig {
///     work_dir: "/tmp/sandbox".into(),
///     cpu_time_limit: Some(30),
///     ..SandboxConfig::default()
/// };
/// assert_eq!(config.memory_limit, Some(256 * 1024 * 1024));
/// assert!(!config.enable_network);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxConfig {
    /// The guest's current directory, writable; made if it is missing. Default
    /// `/tmp/neuroflow-sandbox`; where that is another user's already,
    /// `/tmp/neuroflow-sandbox-<uid>`. Seen under the same path inside.
    pub work_dir: PathBuf,
    /// CPU seconds before the guest is ended; `None` is no limit. Default 30.
    pub cpu_time_limit: Option<u64>,
    /// CPU time per wall-clock time, in cores: 0.5 is half of one. `None`, the
    /// default, is all there are. Slows the guest down and ends nothing. Needs
    /// cgroup v2.
    pub cpu_quota: Option<f64>,
    /// Bytes of memory; `None` is no limit. Default 256 MiB.
    pub memory_limit: Option<u64>,
    /// Largest file in bytes; `None` is no limit. Default 10 MiB.
    pub file_size_limit: Option<u64>,
    /// Wall-clock time before the guest is ended; `None` is no limit. Default 30 s.
    pub timeout: Option<Duration>,
    /// Processes and threads alive at once; `None` is no limit. Default 64.
    pub max_processes: Option<u64>,
    /// Bytes of stdout and of stderr that are kept, each; what comes after is
    /// read and thrown away, and at ten times the cap the guest is ended.
    /// Default 16 MiB.
    pub max_output: u64,
    /// Whether the guest may use the network at all. Default false. With it,
    /// `allowed_hosts` must say which hosts.
    pub enable_network: bool,
    /// Hosts the guest may reach: empty is nobody, `["*"]` is all.
    pub allowed_hosts: Vec<String>,
    /// Paths besides the work dir: `/data` (read-write), `/data:ro`, `/data:rw`.
    pub allowed_paths: Vec<String>,
    /// Whether system calls are filtered. Default true.
    pub enable_seccomp: bool,
    /// A filter of the user's own instead of the default one.
    pub seccomp_profile: Option<SeccompProfile>,
    /// Whether Landlock stands as a second wall. Default true.
    pub landlock: bool,
    /// How strong the process back end is. Default [`SandboxSecurityLevel::Standard`].
    pub security_level: SandboxSecurityLevel,
    /// How much isolation the namespace back end insists on.
    pub isolation: Isolation,
    /// Variables added to the guest's clean environment.
    pub environment: BTreeMap<String, String>,
    /// Commands that may start, compared by the resolved executable; empty is any.
    pub allowed_commands: Vec<String>,
    /// Protections that may be weaker on this host, by name: `memory`.
    pub allow_degraded: Vec<String>,
    /// Which keys the user wrote; see [`Named`].
    pub named: Named,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            work_dir: "/tmp/neuroflow-sandbox".into(),
            cpu_time_limit: Some(30),
            cpu_quota: None,
            memory_limit: Some(256 << 20),
            file_size_limit: Some(10 << 20),
            timeout: Some(Duration::from_secs(30)),
            max_processes: Some(64),
            max_output: 16 << 20,
            enable_network: false,
            allowed_hosts: Vec::new(),
            allowed_paths: Vec::new(),
            enable_seccomp: true,
            seccomp_profile: None,
            landlock: true,
            security_level: SandboxSecurityLevel::Standard,
            isolation: Isolation::Strict,
            environment: BTreeMap::new(),
            allowed_commands: Vec::new(),
            allow_degraded: Vec::new(),
            named: Named::default(),
        }
    }
}

impl SandboxConfig {
    /// The preset for development: 60 s of CPU and of wall clock, 512 MiB.
    #[must_use]
    pub fn development() -> Self {
        Self::preset(60, 512 << 20)
    }

    /// The preset for production: 30 s of CPU and of wall clock, 256 MiB.
    #[must_use]
    pub fn production() -> Self {
        Self::preset(30, 256 << 20)
    }

    /// Who takes a preset has named its limits.
    fn preset(seconds: u64, memory: u64) -> Self {
        let mut preset = Self {
            cpu_time_limit: Some(seconds),
            memory_limit: Some(memory),
            timeout: Some(Duration::from_secs(seconds)),
            ..Self::default()
        };
        for key in ["cpu_time_limit", "memory_limit", "timeout"] {
            preset.named.insert(key);
        }
        preset
    }
}

/// The config of the WASM sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmSandboxConfig {
    /// Bytes of linear memory, all memories together. Default 64 MiB.
    pub max_memory_bytes: u64,
    /// Wall-clock time; covers compiling, starting, running and host calls.
    /// Default 30 s.
    pub timeout_seconds: f64,
    /// Units of fuel; `None` is unmetered. Default 1 000 000.
    pub max_fuel: Option<u64>,
    /// Imports that are satisfied: `module.name` or `module.*`. Empty is none.
    pub allowed_imports: Vec<String>,
    /// Bytes of stdout and of stderr that are kept, each. Default 16 MiB.
    pub max_output: u64,
}

impl Default for WasmSandboxConfig {
    fn default() -> Self {
        Self {
            max_memory_bytes: 64 << 20,
            timeout_seconds: 30.0,
            max_fuel: Some(1_000_000),
            allowed_imports: Vec::new(),
            max_output: 16 << 20,
        }
    }
}

#[cfg(test)]
mod tests;
