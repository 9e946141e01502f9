//! A config found consistent. Nothing below this line reads a config or the
//! environment again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config::{Isolation, SandboxConfig, SandboxSecurityLevel, SeccompProfile};
use super::error::{Error, Result};
use super::names::nearest;
use super::outcome::Protection;
use super::text_file;
use super::units::{ByteSize, quoted};

pub mod hosts;
mod limits;
mod paths;

use hosts::{HostRule, HostRules, PROXY_PORT};
use limits::Limits;

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
    Hosts(HostRules),
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
    /// CPU time per wall-clock time, in cores.
    pub cpu_quota: Option<Limit<f64>>,
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

/// The longest `NAME=value` with its NUL: `MAX_ARG_STRLEN`, execve(2).
const LONGEST_VARIABLE: usize = 128 << 10;

impl Policy {
    /// Checks `config` as a whole.
    ///
    /// Looks at the work dir, the allowed paths and the seccomp profile on disk;
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with every contradiction, not only the first.
    pub fn new(config: &SandboxConfig) -> Result<Self> {
        let mut problems = Vec::new();
        let default = SandboxConfig::default();

        let work_dir_named =
            config.named.contains("work_dir") || config.work_dir != default.work_dir;
        let work_dir = match work_dir_named {
            true => paths::work_dir(&config.work_dir, &mut problems),
            false => paths::work_dir(&paths::default_work_dir(&default.work_dir), &mut problems),
        };
        let allowed_paths = paths::allowed_paths(&config.allowed_paths, &work_dir, &mut problems);
        let limits = Limits::new(config, &mut problems);
        let network = network(config, &mut problems);
        let syscalls = syscalls(config, &mut problems);
        let environment = environment(config, &work_dir, &network, &mut problems);
        let allow_degraded = allow_degraded(&config.allow_degraded, &mut problems);
        check_commands(&config.allowed_commands, &mut problems);
        check_level(config, &mut problems);

        if !problems.is_empty() {
            return Err(Error::Config { problems });
        }
        Ok(Self {
            work_dir_named,
            work_dir,
            allowed_paths,
            cpu_time: limits.cpu_time,
            cpu_quota: limits.cpu_quota,
            memory: limits.memory,
            file_size: limits.file_size,
            timeout: limits.timeout,
            max_processes: limits.max_processes,
            max_output: config.max_output,
            network,
            syscalls,
            landlock: config.landlock,
            level: config.security_level,
            isolation: config.isolation,
            environment,
            allowed_commands: config.allowed_commands.clone(),
            allow_degraded,
        })
    }

    /// The read-only paths that lie inside a writable one, with that one.
    ///
    /// Mounts can carve them out. Landlock cannot: it adds up what is allowed
    /// along the way. A back end without mounts must refuse what is listed here.
    pub fn read_only_inside_writable(&self) -> impl Iterator<Item = (&Path, &Path)> {
        let writable = |path: &Path| {
            let allowed = self.allowed_paths.iter().filter(|it| it.access == Access::ReadWrite);
            std::iter::once(self.work_dir.as_path())
                .chain(allowed.map(|it| it.path.as_path()))
                .find(|outer| path.starts_with(outer))
        };
        let read_only = self.allowed_paths.iter().filter(|it| it.access == Access::ReadOnly);
        read_only.filter_map(move |it| writable(&it.path).map(|outer| (it.path.as_path(), outer)))
    }
}

fn network(config: &SandboxConfig, problems: &mut Vec<String>) -> Network {
    let hosts = &config.allowed_hosts;
    match (config.enable_network, hosts.as_slice()) {
        (false, []) => Network::None,
        (false, _) => {
            problems.push(
                "`allowed_hosts` lists hosts, but `enable_network` is false; set it to true, or \
                 empty the list"
                    .into(),
            );
            Network::None
        }
        (true, []) => {
            problems.push(
                "`enable_network` is true, but `allowed_hosts` is empty, which is nobody; list \
                 the hosts, or write `[\"*\"]` to open the whole network"
                    .into(),
            );
            Network::None
        }
        (true, [all]) if all == "*" => Network::All,
        (true, hosts) => {
            Network::Hosts(hosts.iter().filter_map(|host| rule(host, problems)).collect())
        }
    }
}

fn rule(host: &str, problems: &mut Vec<String>) -> Option<HostRule> {
    if host == "*" {
        problems.push(
            "`allowed_hosts` has `*` beside other entries; keep `*` alone to open the whole \
             network, or take it out"
                .into(),
        );
        return None;
    }
    host.parse().map_err(|error| problems.push(format!("`allowed_hosts` entry {error}"))).ok()
}

fn syscalls(config: &SandboxConfig, problems: &mut Vec<String>) -> Syscalls {
    match (&config.seccomp_profile, config.enable_seccomp) {
        (None, true) => Syscalls::Default,
        (None, false) => Syscalls::Unfiltered,
        (Some(_), false) => {
            problems.push(
                "`seccomp_profile` is given, but `enable_seccomp` is false; drop one of them"
                    .into(),
            );
            Syscalls::Unfiltered
        }
        (Some(SeccompProfile::Json(text)), true) => Syscalls::Profile(text.clone()),
        (Some(SeccompProfile::Path(path)), true) => match text_file::read(path, ByteSize::MEBIBYTE)
        {
            Ok(text) => Syscalls::Profile(text),
            Err(error) => {
                let path = quoted(&path.to_string_lossy());
                problems.push(format!("`seccomp_profile` {path} cannot be read: {error}"));
                Syscalls::Default
            }
        },
    }
}

/// The guest's whole environment: four variables of ours, those of the proxy where
/// there is one, and what was asked for.
fn environment(
    config: &SandboxConfig,
    work_dir: &Path,
    network: &Network,
    problems: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("PATH", GUEST_PATH),
        ("HOME", &work_dir.to_string_lossy()),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if let Network::Hosts(rules) = network {
        environment.extend(proxy_variables(rules));
    }
    for (name, value) in &config.environment {
        let fault = if name.is_empty() {
            "has an empty name"
        } else if name.contains('=') {
            "has a `=` in its name"
        } else if name.contains('\0') || value.contains('\0') {
            "contains a NUL byte"
        } else if name.len() + value.len() + 2 > LONGEST_VARIABLE {
            "is longer than the 128KiB that execve(2) takes"
        } else {
            environment.insert(name.clone(), value.clone());
            continue;
        };
        problems.push(format!("`environment` entry {} {fault}", quoted(name)));
    }
    environment
}

/// Where programs look for a proxy. `ALL_PROXY` is HTTP too, though the proxy
/// understands SOCKS: some clients fail at a SOCKS address they have no use for.
fn proxy_variables(rules: &HostRules) -> impl Iterator<Item = (String, String)> {
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    // The guest's loopback is its own, unless something of the host's is listed.
    let direct = if rules.open_loopback() { "" } else { "localhost,127.0.0.1,::1" };
    let variables = [
        ("http_proxy", proxy.as_str()),
        ("https_proxy", &proxy),
        ("all_proxy", &proxy),
        ("no_proxy", direct),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let upper = variables.clone().map(|(name, value)| (name.to_uppercase(), value));
    // Node.js asks for the others only where this is set.
    let node = ("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned());
    variables.into_iter().chain(upper).chain([node])
}

fn allow_degraded(names: &[String], problems: &mut Vec<String>) -> BTreeSet<Protection> {
    let mut allowed = BTreeSet::new();
    for name in names {
        match Protection::ALL.into_iter().find(|protection| protection.name() == name) {
            Some(protection) => {
                allowed.insert(protection);
            }
            None => {
                let near = nearest(name, Protection::ALL.map(Protection::name));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                let name = quoted(name);
                problems.push(format!("`allow_degraded` entry {name} is no protection{hint}"));
            }
        }
    }
    allowed
}

fn check_commands(commands: &[String], problems: &mut Vec<String>) {
    for command in commands {
        let fault = if command.is_empty() {
            "is empty"
        } else if command.contains('\0') {
            "contains a NUL byte"
        } else if command.contains('/') && !command.starts_with('/') {
            "is a relative path; write a name that is on the PATH, or a path from `/`"
        } else {
            continue;
        };
        problems.push(format!("`allowed_commands` entry {} {fault}", quoted(command)));
    }
}

/// A level promises layers; switching one of them off takes the promise back.
fn check_level(config: &SandboxConfig, problems: &mut Vec<String>) {
    use SandboxSecurityLevel::{Paranoid, Strict};

    let level = config.security_level;
    if level < Strict {
        return;
    }
    let contained = level == Paranoid && config.isolation == Isolation::Contained;
    for (contradicts, key) in [
        (!config.enable_seccomp, "enable_seccomp: false"),
        (!config.landlock, "landlock: false"),
        (config.enable_network, "enable_network: true"),
        (contained, "isolation: contained"),
    ] {
        if contradicts {
            let level = level.name();
            problems.push(format!(
                "`security_level: {level}` and `{key}` contradict each other; drop one of them",
            ));
        }
    }
}

#[cfg(test)]
mod tests;
