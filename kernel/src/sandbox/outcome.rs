//! What a run came to: how it ended, what it used, which protection held by
//! which mechanism, and what was refused.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::Skipped;

/// How the guest ended. None of these is an [`Error`](super::Error): a guest
/// that fails has been run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// It ended by itself, with this code.
    Exited(i32),
    /// A signal of its own making ended it.
    Signalled(i32),
    /// The wall clock ran out; the limit is told.
    TimedOut(Duration),
    /// The CPU-time limit, in seconds, was reached.
    CpuTime(u64),
    /// The memory limit, in bytes, was reached.
    OutOfMemory(u64),
    /// The process limit was reached and the guest was ended for it.
    Processes(u64),
    /// A file grew to the limit, in bytes.
    FileSize(u64),
    /// It wrote far past the output cap, in bytes.
    Output(u64),
    /// A WASM guest used up its fuel; the amount given is told.
    OutOfFuel(u64),
    /// A WASM guest trapped.
    Trap(String),
    /// A WASM module asks for imports that are not on the list, `module.name`
    /// each. Nothing ran.
    ImportRefused(Vec<String>),
    /// The policy does not allow this command; the sentence says why. Nothing
    /// ran.
    Refused(String),
}

impl Exit {
    /// The public name of the kind, as reports spell it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exited(_) => "exited",
            Self::Signalled(_) => "signalled",
            Self::TimedOut(_) => "timed_out",
            Self::CpuTime(_) => "cpu_time",
            Self::OutOfMemory(_) => "out_of_memory",
            Self::Processes(_) => "processes",
            Self::FileSize(_) => "file_size",
            Self::Output(_) => "output",
            Self::OutOfFuel(_) => "out_of_fuel",
            Self::Trap(_) => "trap",
            Self::ImportRefused(_) => "import_refused",
            Self::Refused(_) => "refused",
        }
    }

    /// Whether any instruction of the guest ran.
    #[must_use]
    pub fn guest_ran(&self) -> bool {
        !matches!(self, Self::ImportRefused(_) | Self::Refused(_))
    }
}

/// What went wrong, in one sentence; `ended with exit code 0` for success.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "Command ended with exit code {code}"),
            Self::Signalled(signal) => write!(f, "Command was ended by signal {signal}"),
            Self::TimedOut(limit) => {
                write!(f, "Command timed out after {}s", limit.as_secs_f64())
            }
            Self::CpuTime(limit) => write!(f, "Command used up its {limit}s of CPU time"),
            Self::OutOfMemory(limit) => {
                write!(f, "Command ran out of its {limit} bytes of memory")
            }
            Self::Processes(limit) => write!(f, "Command reached its limit of {limit} processes"),
            Self::FileSize(limit) => write!(f, "A file reached the limit of {limit} bytes"),
            Self::Output(limit) => {
                write!(f, "Command wrote far more than the {limit} bytes of output that are kept")
            }
            Self::OutOfFuel(limit) => write!(f, "Module used up its {limit} units of fuel"),
            Self::Trap(message) => write!(f, "Module trapped: {message}"),
            Self::ImportRefused(imports) => {
                write!(f, "Module imports what is not allowed: {}", imports.join(", "))
            }
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

/// What the guest and all its descendants used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    /// Wall-clock time from start to end, in milliseconds.
    pub wall_ms: f64_ms::Milliseconds,
    /// CPU time in user mode, in milliseconds.
    pub cpu_user_ms: f64_ms::Milliseconds,
    /// CPU time in the kernel, in milliseconds.
    pub cpu_system_ms: f64_ms::Milliseconds,
    /// Peak memory in bytes: of the cgroup, of the whole WASM store, or the
    /// largest process where the host has no memory controller.
    pub max_memory_bytes: u64,
    /// Bytes the guest wrote to stdout, kept or not.
    pub stdout_bytes: u64,
    /// Bytes the guest wrote to stderr, kept or not.
    pub stderr_bytes: u64,
    /// Fuel a metered WASM guest consumed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fuel_consumed: Option<u64>,
    /// Most processes and threads alive at once, where they were counted or
    /// watched.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_processes: Option<u64>,
    /// How long the guest had to wait for CPU, memory and disk, where a cgroup
    /// measures it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pressure: Option<Pressure>,
}

/// Pressure stall information of a run's cgroup: for how long of the run
/// something in it stood still for want of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pressure {
    /// Waiting for a processor, its quota used up or the others busy.
    pub cpu: Stall,
    /// Waiting for memory to be freed.
    pub memory: Stall,
    /// Waiting for reads and writes.
    pub io: Stall,
}

/// For how long something waited for one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stall {
    /// While at least one task waited, in milliseconds.
    pub some_ms: f64_ms::Milliseconds,
    /// While all that could have run waited, in milliseconds.
    pub full_ms: f64_ms::Milliseconds,
}

/// Milliseconds that serialize as a number with microsecond precision.
pub mod f64_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// A duration that reads and writes as fractional milliseconds.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub struct Milliseconds(pub Duration);

    impl Milliseconds {
        /// The value as fractional milliseconds.
        #[must_use]
        pub fn as_f64(self) -> f64 {
            self.0.as_secs_f64() * 1e3
        }

        /// The value to the nearest microsecond, as it is serialized.
        #[must_use]
        pub fn rounded(self) -> f64 {
            (self.as_f64() * 1e3).round() / 1e3
        }
    }

    impl From<Duration> for Milliseconds {
        fn from(duration: Duration) -> Self {
            Self(duration)
        }
    }

    impl Serialize for Milliseconds {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_f64(self.rounded())
        }
    }

    impl<'de> Deserialize<'de> for Milliseconds {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let milliseconds = f64::deserialize(deserializer)?;
            Duration::try_from_secs_f64(milliseconds / 1e3)
                .map(Self)
                .map_err(serde::de::Error::custom)
        }
    }
}

/// One thing a sandbox protects, as the receipt lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Protection {
    /// Sees only its own processes; host processes cannot be signalled.
    Processes,
    /// Reaches only the work dir, the allowed paths and the system's files.
    Filesystem,
    /// Reaches no network, or only what was allowed.
    Network,
    /// Own host name.
    Hostname,
    /// Own SysV and POSIX IPC objects.
    Ipc,
    /// Acts for the host as an unprivileged user.
    Identity,
    /// Holds no capability.
    Capabilities,
    /// Cannot gain privileges by `execve`.
    NoNewPrivs,
    /// System calls are filtered.
    Syscalls,
    /// Landlock, a second wall for files.
    Landlock,
    /// Starts with descriptors 0, 1, 2 alone.
    Descriptors,
    /// Starts with a clean environment.
    Environment,
    /// Nothing the guest started outlives the run.
    Cleanup,
    /// Only the commands on the list start.
    AllowedCommands,
    /// Memory limit.
    Memory,
    /// CPU-time limit.
    CpuTime,
    /// Limit of CPU time per wall-clock time.
    CpuQuota,
    /// Wall-clock limit.
    Timeout,
    /// Limit of processes and threads.
    MaxProcesses,
    /// File-size limit.
    FileSize,
    /// Cap on kept output.
    Output,
    /// Fuel of a WASM guest.
    Fuel,
    /// Imports of a WASM guest.
    Imports,
}

impl Protection {
    /// All of them, in their order.
    pub const ALL: [Self; 23] = [
        Self::Processes,
        Self::Filesystem,
        Self::Network,
        Self::Hostname,
        Self::Ipc,
        Self::Identity,
        Self::Capabilities,
        Self::NoNewPrivs,
        Self::Syscalls,
        Self::Landlock,
        Self::Descriptors,
        Self::Environment,
        Self::Cleanup,
        Self::AllowedCommands,
        Self::Memory,
        Self::CpuTime,
        Self::CpuQuota,
        Self::Timeout,
        Self::MaxProcesses,
        Self::FileSize,
        Self::Output,
        Self::Fuel,
        Self::Imports,
    ];

    /// The name in reports and in `allow_degraded`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Filesystem => "filesystem",
            Self::Network => "network",
            Self::Hostname => "hostname",
            Self::Ipc => "ipc",
            Self::Identity => "identity",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivs => "no_new_privs",
            Self::Syscalls => "syscalls",
            Self::Landlock => "landlock",
            Self::Descriptors => "descriptors",
            Self::Environment => "environment",
            Self::Cleanup => "cleanup",
            Self::AllowedCommands => "allowed_commands",
            Self::Memory => "memory",
            Self::CpuTime => "cpu_time",
            Self::CpuQuota => "cpu_quota",
            Self::Timeout => "timeout",
            Self::MaxProcesses => "max_processes",
            Self::FileSize => "file_size",
            Self::Output => "output",
            Self::Fuel => "fuel",
            Self::Imports => "imports",
        }
    }
}

/// Whether a protection held, and how strongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Held for the guest as a whole.
    Enforced,
    /// Held by a weaker mechanism than the best one; `why` says which gap stays.
    Degraded,
    /// Not asked for.
    Off,
    /// This back end or host does not have it; `why` says what stays open.
    Missing,
}

impl State {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Degraded => "degraded",
            Self::Off => "off",
            Self::Missing => "missing",
        }
    }
}

/// One line of the receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Held {
    /// Whether it held.
    pub state: State,
    /// The mechanism, e.g. `RLIMIT_AS (per process)`; empty when off or missing.
    pub by: String,
    /// The reason for anything but `enforced`; empty otherwise.
    pub why: String,
}

/// The receipt: each protection with the mechanism that held it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Enforcement(BTreeMap<Protection, Held>);

impl Enforcement {
    /// Records that `protection` held by `by`.
    pub fn enforced(&mut self, protection: Protection, by: impl Into<String>) {
        self.record(protection, State::Enforced, by, "");
    }

    /// Records that `protection` held only by the weaker `by`.
    pub fn degraded(
        &mut self,
        protection: Protection,
        by: impl Into<String>,
        why: impl Into<String>,
    ) {
        self.record(protection, State::Degraded, by, why);
    }

    /// Records that `protection` was not asked for.
    pub fn off(&mut self, protection: Protection, why: impl Into<String>) {
        self.record(protection, State::Off, "", why);
    }

    /// Records that this back end or host has no such protection.
    pub fn missing(&mut self, protection: Protection, why: impl Into<String>) {
        self.record(protection, State::Missing, "", why);
    }

    /// The line for `protection`, if this back end speaks of it.
    #[must_use]
    pub fn get(&self, protection: Protection) -> Option<&Held> {
        self.0.get(&protection)
    }

    /// All lines, in the order of [`Protection`].
    pub fn iter(&self) -> impl Iterator<Item = (Protection, &Held)> {
        self.0.iter().map(|(protection, held)| (*protection, held))
    }

    fn record(
        &mut self,
        protection: Protection,
        state: State,
        by: impl Into<String>,
        why: impl Into<String>,
    ) {
        self.0.insert(protection, Held { state, by: by.into(), why: why.into() });
    }
}

/// Something the guest tried and was refused, or a limit it ran into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Violation {
    /// The kind: `memory`, `cpu_time`, `command`, `import`, ….
    pub kind: String,
    /// What was tried or reached.
    pub what: String,
    /// The config key that forbids it.
    pub rule: String,
    /// The smallest config change that would allow it.
    pub fix: String,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// What it used.
    pub usage: Usage,
    /// The receipt.
    pub enforcement: Enforcement,
    /// What was refused.
    pub violations: Vec<Violation>,
    /// Standard output, kept up to the cap, whatever the ending.
    pub stdout: Vec<u8>,
    /// Standard error, kept up to the cap, whatever the ending.
    pub stderr: Vec<u8>,
    /// Whether output past the cap was thrown away.
    pub output_truncated: bool,
    /// The files that [`Command::collect`](super::Command::collect) asked for, by
    /// their path below the work dir; whatever the ending.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// What it asked for and was left, with the reasons.
    pub skipped: Vec<Skipped>,
}

impl Outcome {
    /// Whether the guest ended by itself with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit == Exit::Exited(0)
    }

    /// The exit code as the Python API tells it: the guest's own, `-n` for
    /// signal *n*, `-9` for every limit that ends a guest, `-1` if nothing ran.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match &self.exit {
            Exit::Exited(code) => *code,
            Exit::Signalled(signal) => -signal,
            exit if exit.guest_ran() => -9,
            _ => -1,
        }
    }

    /// Whether the wall clock ended it.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        matches!(self.exit, Exit::TimedOut(_))
    }

    /// What went wrong, or `None` where the guest ended by itself.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        match self.exit {
            Exit::Exited(_) => None,
            ref exit => Some(exit.to_string()),
        }
    }

    /// Wall-clock time from start to end.
    #[must_use]
    pub fn execution_time(&self) -> Duration {
        self.usage.wall_ms.0
    }

    /// A run that the policy refused: nothing was started.
    pub(crate) fn refused(exit: Exit) -> Self {
        Self {
            exit,
            usage: Usage::default(),
            enforcement: Enforcement::default(),
            violations: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            output_truncated: false,
            files: BTreeMap::new(),
            skipped: Vec::new(),
        }
    }
}
