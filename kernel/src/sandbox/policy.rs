//! A config found consistent. Nothing below this line reads a config or the
//! environment again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::config::{Isolation, SandboxConfig, SandboxSecurityLevel};
use super::error::{Error, Result};
use super::outcome::Protection;

/// A limit, and whether the user named it or it is only a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<T> {
    /// The limit.
    pub value: T,
    /// Named by the user: enforced as promised, or refused.
    pub named: bool,
}

/// What the guest may do with an allowed path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Content and metadata can be read, nothing can be changed.
    ReadOnly,
    /// Everything its owner can do.
    ReadWrite,
}

/// A path the guest may reach, beside the work dir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedPath {
    /// Absolute, normalised, no symlink in it.
    pub path: PathBuf,
    /// What may be done with it.
    pub access: Access,
}

/// Whom the guest may talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Nobody; its own loopback at most.
    None,
    /// Everybody, by the host's network.
    All,
    /// The listed hosts.
    Hosts(Vec<String>),
}

/// Which system calls are let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Syscalls {
    /// All: the filter is off by config.
    Unfiltered,
    /// The default profile of the back end.
    Default,
    /// The user's own profile: the text of an OCI/Docker JSON file.
    Profile(String),
}

/// A config found consistent: absolute paths, parsed hosts, known names.
///
/// There is no way to make an invalid one.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Absolute, normalised.
    pub work_dir: PathBuf,
    /// Whether the user named the work dir.
    pub work_dir_named: bool,
    /// Beside the work dir, in the order given.
    pub allowed_paths: Vec<AllowedPath>,
    /// CPU seconds.
    pub cpu_time: Option<Limit<u64>>,
    /// Bytes.
    pub memory: Option<Limit<u64>>,
    /// Bytes.
    pub file_size: Option<Limit<u64>>,
    /// Wall clock.
    pub timeout: Option<Limit<Duration>>,
    /// Processes and threads.
    pub max_processes: Option<Limit<u64>>,
    /// Bytes kept of each stream.
    pub max_output: u64,
    /// Whom the guest may talk to.
    pub network: Network,
    /// Which system calls are let through.
    pub syscalls: Syscalls,
    /// Whether Landlock stands as a second wall.
    pub landlock: bool,
    /// How strong the process back end is.
    pub level: SandboxSecurityLevel,
    /// How much isolation the namespace back end insists on.
    pub isolation: Isolation,
    /// The whole environment of the guest, clean but for what the user added.
    pub environment: BTreeMap<String, String>,
    /// Empty is any.
    pub allowed_commands: Vec<String>,
    /// What may be weaker on this host.
    pub allow_degraded: BTreeSet<Protection>,
}

/// The guest's PATH. The host's is never passed on.
pub const GUEST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Policy {
    /// Checks `config` as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with every contradiction, not only the first.
    pub fn new(config: &SandboxConfig) -> Result<Self> {
        let _ = (config, Error::config(""));
        Err(Error::unsupported("policy", "being written", "wait"))
    }
}
