//! Flags, variables and the file, made into one config.
//!
//! Flags go before variables, variables before the file, the file before the
//! defaults. A list given by flags replaces the file's list, so that what a
//! command line opens can be read off it; `--env` adds to the file's variables.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kernel::sandbox::config::SeccompProfile;
use kernel::sandbox::units::Seconds;
use kernel::sandbox::{Error, Policy, Result, SandboxConfig, WasmSandboxConfig};

use crate::args::{Bound, LimitArgs, NetworkChoice, SandboxArgs, Switch};

/// The variable that names a config file.
const CONFIG_VARIABLE: &str = "NEUROFLOW_CONFIG";
/// What every variable of ours begins with.
const PREFIX: &str = "NEUROFLOW_";

/// Reads the file and the variables, and lays the flags over them.
///
/// # Errors
///
/// [`Error::Config`] for a file that cannot be read or understood, a variable
/// that is not known, and flags that contradict each other.
pub fn sandbox_config(
    flags: &SandboxArgs,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<SandboxConfig> {
    let variables = our_variables(variables)?;
    let mut config = match config_file(flags.config.as_deref(), &variables) {
        Some(file) => SandboxConfig::from_file(&file)?,
        None => SandboxConfig::default(),
    };
    config.apply_env(variables)?;
    apply_flags(flags, &mut config)?;
    Ok(config)
}

/// Reads the file that `flag` or `NEUROFLOW_CONFIG` names, and the variables, for
/// a module. The flags are still to be laid over it.
///
/// # Errors
///
/// As for [`sandbox_config`].
pub fn wasm_config(
    flag: Option<&Path>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<WasmSandboxConfig> {
    let variables = our_variables(variables)?;
    let mut config = match config_file(flag, &variables) {
        Some(file) => WasmSandboxConfig::from_file(&file)?,
        None => WasmSandboxConfig::default(),
    };
    config.apply_env(variables)?;
    Ok(config)
}

/// Lays `flags` over `config`, and marks each key they name. Flags that
/// contradict each other are told together with all else that is wrong.
fn apply_flags(flags: &SandboxArgs, config: &mut SandboxConfig) -> Result<()> {
    let found = [apply_limits(&flags.limits, config), apply_network(flags, config)];
    apply_files_and_commands(flags, config);
    apply_walls(flags, config);
    let mut problems: Vec<String> = found.into_iter().flat_map(problems_of).collect();
    if problems.is_empty() {
        return Ok(());
    }
    problems.extend(problems_of(Policy::new(config).map(drop)));
    Err(Error::Config { problems })
}

fn problems_of(result: Result<()>) -> Vec<String> {
    match result {
        Err(Error::Config { problems }) => problems,
        Err(other) => vec![other.to_string()],
        Ok(()) => Vec::new(),
    }
}

fn apply_walls(flags: &SandboxArgs, config: &mut SandboxConfig) {
    if let Some(level) = flags.level {
        config.security_level = level;
        config.named.insert("security_level");
    }
    if let Some(isolation) = flags.isolation {
        config.isolation = isolation;
        config.named.insert("isolation");
    }
    if let Some(landlock) = flags.landlock {
        config.landlock = landlock == Switch::On;
        config.named.insert("landlock");
    }
    if let Some(seccomp) = &flags.seccomp {
        config.enable_seccomp = seccomp != "off";
        config.named.insert("enable_seccomp");
        config.seccomp_profile = match seccomp.as_str() {
            "off" | "default" => None,
            file => Some(SeccompProfile::Path(file.into())),
        };
        config.named.insert("seccomp_profile");
    }
}

fn apply_limits(flags: &LimitArgs, config: &mut SandboxConfig) -> Result<()> {
    if let Some(timeout) = flags.timeout {
        config.timeout = timeout.limit().map(Seconds::duration);
        config.named.insert("timeout");
    }
    if let Some(cpu_time) = flags.cpu_time {
        config.cpu_time_limit = whole_seconds(cpu_time)?;
        config.named.insert("cpu_time_limit");
    }
    if let Some(cpu_quota) = flags.cpu_quota {
        config.cpu_quota = cpu_quota.limit();
        config.named.insert("cpu_quota");
    }
    if let Some(memory) = flags.memory {
        config.memory_limit = memory.limit().map(|size| size.bytes());
        config.named.insert("memory_limit");
    }
    if let Some(file_size) = flags.file_size {
        config.file_size_limit = file_size.limit().map(|size| size.bytes());
        config.named.insert("file_size_limit");
    }
    if let Some(max_processes) = flags.max_processes {
        config.max_processes = max_processes.limit();
        config.named.insert("max_processes");
    }
    if let Some(max_output) = flags.max_output {
        config.max_output = max_output.bytes();
        config.named.insert("max_output");
    }
    Ok(())
}

fn whole_seconds(bound: Bound<Seconds>) -> Result<Option<u64>> {
    match bound {
        Bound::None => Ok(None),
        Bound::At(time) => match time.whole() {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(contradiction(format!(
                "`--cpu-time {time}` is not a whole number of seconds, which is how the kernel \
                 counts CPU time"
            ))),
        },
    }
}

/// The network by flags. A host that is allowed implies a network; `--network
/// all` is the only way to open it without naming hosts.
fn apply_network(flags: &SandboxArgs, config: &mut SandboxConfig) -> Result<()> {
    let hosts = (!flags.allow_hosts.is_empty()).then(|| flags.allow_hosts.clone());
    let (enabled, hosts) = match (flags.network, hosts) {
        (None, None) => return Ok(()),
        (None, Some(hosts)) => (true, hosts),
        (Some(NetworkChoice::All), None) => (true, vec!["*".to_owned()]),
        (Some(NetworkChoice::None), None) => (false, Vec::new()),
        (Some(choice), Some(_)) => {
            let choice = if choice == NetworkChoice::All { "all" } else { "none" };
            return Err(contradiction(format!(
                "`--network {choice}` and `--allow-host` contradict each other; `--allow-host` \
                 alone opens the network to the hosts it names"
            )));
        }
    };
    config.enable_network = enabled;
    config.allowed_hosts = hosts;
    config.named.insert("enable_network");
    config.named.insert("allowed_hosts");
    Ok(())
}

fn apply_files_and_commands(flags: &SandboxArgs, config: &mut SandboxConfig) {
    if let Some(work_dir) = &flags.work_dir {
        config.work_dir.clone_from(work_dir);
        config.named.insert("work_dir");
    }
    for (list, given, key) in [
        (&mut config.allowed_paths, &flags.allow_paths, "allowed_paths"),
        (&mut config.allowed_commands, &flags.allow_commands, "allowed_commands"),
        (&mut config.allow_degraded, &flags.allow_degraded, "allow_degraded"),
    ] {
        if !given.is_empty() {
            list.clone_from(given);
            config.named.insert(key);
        }
    }
    if !flags.env.is_empty() {
        config.environment.extend(flags.env.iter().cloned());
        config.named.insert("environment");
    }
}

/// The variables that are ours, as text.
fn our_variables(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>> {
    variables
        .filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
        .map(|(name, value)| match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => Ok((name, value)),
            (Ok(name), Err(_)) => Err(contradiction(format!("the variable `{name}` is not UTF-8"))),
            (Err(name), _) => Err(contradiction(format!(
                "the name of the variable `{}` is not UTF-8",
                name.to_string_lossy()
            ))),
        })
        .collect()
}

fn config_file(flag: Option<&Path>, variables: &[(String, String)]) -> Option<PathBuf> {
    let named = || variables.iter().find(|(name, _)| name == CONFIG_VARIABLE);
    flag.map(Path::to_owned).or_else(|| named().map(|(_, file)| PathBuf::from(file)))
}

fn contradiction(problem: String) -> Error {
    Error::Config { problems: vec![problem] }
}
