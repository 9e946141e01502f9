//! Limits that make no sense, and whether a limit was named.

use std::time::Duration;

use super::Limit;
use crate::sandbox::config::SandboxConfig;
use crate::sandbox::units::{ByteSize, Seconds};

/// Less, and not even a static program can be loaded beside its stack.
const LEAST_MEMORY: u64 = 1 << 20;
/// More than any machine has: a slip of the unit.
const MOST_BYTES: u64 = 1 << 50;
/// Kept output lies in the memory of whoever embeds us.
const MOST_OUTPUT: u64 = 1 << 30;
/// More processes than Linux has numbers for (`PID_MAX_LIMIT`, pid_max in proc(5)).
const MOST_PROCESSES: u64 = 1 << 22;
/// The kernel hands out no slices below a millisecond, in periods of a tenth of a
/// second (`cpu.max`, Documentation/admin-guide/cgroup-v2.rst).
const LEAST_CORES: f64 = 0.01;
/// More processors than Linux can be built for.
const MOST_CORES: f64 = 8192.0;
/// A year. A run that long is a service; `none` says so more clearly.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The limits of a config that were found to make sense.
pub(super) struct Limits {
    pub(super) cpu_time: Option<Limit<u64>>,
    pub(super) cpu_quota: Option<Limit<f64>>,
    pub(super) memory: Option<Limit<u64>>,
    pub(super) file_size: Option<Limit<u64>>,
    pub(super) timeout: Option<Limit<Duration>>,
    pub(super) max_processes: Option<Limit<u64>>,
}

impl Limits {
    pub(super) fn new(config: &SandboxConfig, problems: &mut Vec<String>) -> Self {
        let default = SandboxConfig::default();
        let bytes = |key, value: Option<u64>, least, most, problems: &mut Vec<String>| {
            let Some(bytes) = value else { return };
            if bytes < least {
                let (bytes, least) = (size(bytes), size(least));
                problems.push(format!("`{key}` is {bytes}; it must be at least {least}"));
            } else if bytes > most {
                let (bytes, most) = (size(bytes), size(most));
                problems.push(format!("`{key}` is {bytes}; the most is {most}{}", no_limit(key)));
            }
        };
        bytes("memory_limit", config.memory_limit, LEAST_MEMORY, MOST_BYTES, problems);
        // Zero is a policy: no file may have any content.
        bytes("file_size_limit", config.file_size_limit, 0, MOST_BYTES, problems);
        bytes("max_output", Some(config.max_output), 1, MOST_OUTPUT, problems);

        let cpu_time = config.cpu_time_limit.map(Duration::from_secs);
        for (key, value) in [("cpu_time_limit", cpu_time), ("timeout", config.timeout)] {
            let Some(time) = value else { continue };
            if time.is_zero() {
                problems.push(format!("`{key}` is 0; nothing could run{}", no_limit(key)));
            } else if time > LONGEST {
                let (time, most) = (Seconds::from(time), Seconds::from(LONGEST));
                problems.push(format!("`{key}` is {time}; the most is {most}{}", no_limit(key)));
            }
        }
        if let Some(cores) = config.cpu_quota
            // Neither holds for what is no number.
            && !(LEAST_CORES..=MOST_CORES).contains(&cores)
        {
            problems.push(format!(
                "`cpu_quota` is {cores} cores; it must be {LEAST_CORES} to {MOST_CORES}{}",
                no_limit("cpu_quota"),
            ));
        }
        match config.max_processes {
            Some(0) => problems.push(format!(
                "`max_processes` is 0; the program itself is one{}",
                no_limit("max_processes"),
            )),
            Some(count) if count > MOST_PROCESSES => problems.push(format!(
                "`max_processes` is {count}; the most is {MOST_PROCESSES}{}",
                no_limit("max_processes"),
            )),
            _ => {}
        }

        Self {
            cpu_time: limit(
                config,
                "cpu_time_limit",
                config.cpu_time_limit,
                default.cpu_time_limit,
            ),
            cpu_quota: limit(config, "cpu_quota", config.cpu_quota, default.cpu_quota),
            memory: limit(config, "memory_limit", config.memory_limit, default.memory_limit),
            file_size: limit(
                config,
                "file_size_limit",
                config.file_size_limit,
                default.file_size_limit,
            ),
            timeout: limit(config, "timeout", config.timeout, default.timeout),
            max_processes: limit(
                config,
                "max_processes",
                config.max_processes,
                default.max_processes,
            ),
        }
    }
}

/// A limit, with whether it was named: written by the user, or not the default.
fn limit<T: PartialEq + Copy>(
    config: &SandboxConfig,
    key: &str,
    value: Option<T>,
    default: Option<T>,
) -> Option<Limit<T>> {
    let named = config.named.contains(key) || value != default;
    value.map(|value| Limit { value, named })
}

fn size(bytes: u64) -> String {
    ByteSize::new(bytes).map_or_else(|| format!("{bytes} bytes"), |size| size.to_string())
}

fn no_limit(key: &str) -> &'static str {
    if key == "max_output" { "" } else { " (`none` is no limit)" }
}
