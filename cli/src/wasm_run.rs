//! `neuroflow run --backend wasm -- FILE.wasm`: the options that a module can
//! have, told to `neuroflow-wasm`; the others refused by name.

use std::ffi::OsString;

use kernel::sandbox::{Error, Result};

use crate::args::{Bound, LimitArgs, NetworkChoice, RunArgs, SandboxArgs, TellingArgs};
use crate::sibling;

/// Becomes `neuroflow-wasm`; returns only if that is not possible.
pub fn hand_over(args: &RunArgs) -> Error {
    let handed = arguments(args).and_then(|arguments| sibling::hand_over(&arguments));
    match handed {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// The command line of `neuroflow-wasm` that means the same.
///
/// # Errors
///
/// [`Error::Config`] with every option that says nothing about a module: one
/// that was asked for is not dropped in silence.
fn arguments(args: &RunArgs) -> Result<Vec<OsString>> {
    let meaningless = meaningless(&args.sandbox);
    if !meaningless.is_empty() {
        let problem = |flag| format!("`{flag}` says nothing about the wasm sandbox");
        return Err(Error::Config { problems: meaningless.into_iter().map(problem).collect() });
    }
    let mut words = limits(&args.sandbox.limits);
    if let Some(config) = &args.sandbox.config {
        words.extend(["--config".into(), config.into()]);
    }
    for (name, value) in &args.sandbox.env {
        words.push(format!("--env={name}={value}").into());
    }
    words.extend(telling(&args.telling));
    words.push("--".into());
    words.extend(args.command.iter().cloned());
    Ok(words)
}

/// The options given that a module has no use for. No network is what it has.
fn meaningless(flags: &SandboxArgs) -> Vec<&'static str> {
    // Taken apart by name, so that an option added later is not forgotten here.
    let SandboxArgs {
        backend: _,
        allow_weaker,
        config: _,
        work_dir,
        allow_paths,
        allow_commands,
        env: _,
        network,
        allow_hosts,
        level,
        isolation,
        seccomp,
        landlock,
        allow_degraded,
        limits:
            LimitArgs {
                timeout: _,
                cpu_time,
                cpu_quota,
                memory: _,
                file_size,
                max_processes,
                max_output: _,
            },
    } = flags;
    [
        (*allow_weaker, "--allow-weaker"),
        (work_dir.is_some(), "--work-dir"),
        (!allow_paths.is_empty(), "--allow-path"),
        (!allow_commands.is_empty(), "--allow-command"),
        (*network == Some(NetworkChoice::All), "--network all"),
        (!allow_hosts.is_empty(), "--allow-host"),
        (level.is_some(), "--level"),
        (isolation.is_some(), "--isolation"),
        (seccomp.is_some(), "--seccomp"),
        (landlock.is_some(), "--landlock"),
        (!allow_degraded.is_empty(), "--allow-degraded"),
        (cpu_time.is_some(), "--cpu-time"),
        (cpu_quota.is_some(), "--cpu-quota"),
        (file_size.is_some(), "--file-size"),
        (max_processes.is_some(), "--max-processes"),
    ]
    .into_iter()
    .filter_map(|(given, flag)| given.then_some(flag))
    .collect()
}

fn limits(flags: &LimitArgs) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    if let Some(timeout) = flags.timeout {
        words.push(format!("--timeout={}", bound(timeout)).into());
    }
    if let Some(memory) = flags.memory {
        words.push(format!("--memory={}", bound(memory)).into());
    }
    if let Some(max_output) = flags.max_output {
        words.push(format!("--max-output={}", max_output.bytes()).into());
    }
    words
}

fn bound<T: std::fmt::Display>(bound: Bound<T>) -> String {
    match bound.limit() {
        Some(limit) => limit.to_string(),
        None => "none".to_owned(),
    }
}

fn telling(flags: &TellingArgs) -> Vec<OsString> {
    let TellingArgs { report, json, interactive, verbose, quiet } = flags;
    let mut words: Vec<OsString> = Vec::new();
    if let Some(report) = report {
        words.extend(["--report".into(), report.into()]);
    }
    for (given, flag) in [
        (*json, "--json"),
        (*interactive, "--interactive"),
        (*verbose, "--verbose"),
        (*quiet, "--quiet"),
    ] {
        if given {
            words.push(flag.into());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn arguments_of(words: &[&str]) -> Result<Vec<OsString>> {
        let line = ["neuroflow", "run", "--backend", "wasm"].iter().chain(words);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Run(args) => arguments(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_module_can_have_is_handed_over() {
        let words = ["--timeout", "500ms", "--env", "A=b=c", "--json", "--", "a.wasm", "--json"];

        let handed = arguments_of(&words).unwrap();

        assert_eq!(handed, ["--timeout=500ms", "--env=A=b=c", "--json", "--", "a.wasm", "--json"]);
    }

    #[test]
    fn what_says_nothing_about_a_module_is_refused_all_at_once() {
        let error = arguments_of(&["--work-dir=/x", "--allow-path=/y", "a.wasm"]).unwrap_err();

        let Error::Config { problems } = error else { panic!("{error:?}") };
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("`--work-dir`") && problems[1].contains("`--allow-path`"));
    }

    #[test]
    fn no_network_is_what_a_module_has_anyway() {
        arguments_of(&["--network=none", "a.wasm"]).unwrap();

        arguments_of(&["--network=all", "a.wasm"]).unwrap_err();
    }
}
