use std::collections::BTreeSet;
use std::fs;

use super::keys::{Kind, SANDBOX, WASM};
use super::*;
use crate::sandbox::error::{Error, Result};

fn problems<T: std::fmt::Debug>(read: Result<T>) -> Vec<String> {
    match read {
        Err(Error::Config { problems }) => problems,
        other => panic!("expected faults, got {other:?}"),
    }
}

fn problem(text: &str) -> String {
    let problems = problems(ConfigFile::from_yaml(text, "a.yaml"));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

/// The config of one key of the section `sandbox`.
fn sandbox(line: &str) -> SandboxConfig {
    SandboxConfig::from_yaml(&format!("sandbox:\n  {line}\n"), "a.yaml").unwrap()
}

fn with_named(mut config: SandboxConfig, keys: &[&str]) -> SandboxConfig {
    for key in keys {
        config.named.insert(*key);
    }
    config
}

/// The file as it is in the repository, not where a packaged crate is tested.
fn shipped() -> Option<String> {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/neuroflow.yaml")).ok()
}

#[test]
fn the_shipped_file_has_every_key_with_its_default() {
    let Some(text) = shipped() else { return };
    // In a comment, so that a copy of the file names no limit that a host without
    // a memory controller would have to refuse.
    let text = text.replace("\n  # memory_limit: ", "\n  memory_limit: ");

    let file = ConfigFile::from_yaml(&text, "neuroflow.yaml").unwrap();

    let all: Vec<_> = SANDBOX.iter().map(|key| key.name).collect();
    assert_eq!(file.sandbox, with_named(SandboxConfig::default(), &all));
    assert_eq!(file.wasm, WasmSandboxConfig::default());
    let wasm = text.split_once("\nwasm:").unwrap().1;
    for key in WASM {
        assert!(wasm.contains(&format!("\n  {}: ", key.name)), "`{}` is missing", key.name);
    }
}

#[test]
fn the_default_that_a_key_tells_is_the_default() {
    for key in SANDBOX {
        let config = sandbox(&format!("{}: {}", key.name, key.default));
        assert_eq!(config, with_named(SandboxConfig::default(), &[key.name]), "{}", key.name);
    }
    for key in WASM {
        let text = format!("wasm: {{{}: {}}}", key.name, key.default);
        assert_eq!(
            WasmSandboxConfig::from_yaml(&text, "").unwrap(),
            WasmSandboxConfig::default(),
            "{}",
            key.name
        );
    }
}

#[test]
fn the_choices_that_a_key_tells_are_the_ones_that_are_read() {
    for key in SANDBOX {
        let Kind::Choice(choices) = key.kind else { continue };
        for choice in choices {
            assert!(sandbox(&format!("{}: {choice}", key.name)).named.contains(key.name));
        }
        let refused = problem(&format!("sandbox: {{{}: zzz}}", key.name));
        let names: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        assert!(refused.ends_with(&format!("`zzz` is none of {}", names.join(", "))), "{refused}");
    }
}

#[test]
fn no_two_keys_of_a_section_have_one_name() {
    let names: BTreeSet<_> = SANDBOX.iter().map(|key| key.name).collect();
    assert_eq!(names.len(), SANDBOX.len());
}

#[test]
fn the_file_that_users_were_shown_is_read() {
    let text = "
sandbox:
  cpu_time_limit: 30          # CPU seconds
  memory_limit: 268435456     # bytes
  timeout: 30                 # wall-clock seconds
  file_size_limit: 10485760   # bytes
  max_processes: 10
  enable_network: true
  allowed_hosts: [localhost, api.trusted.com]
  work_dir: /tmp/sandbox
  allowed_paths: [/tmp, /workspace]
";

    let config = SandboxConfig::from_yaml(text, "neuroflow.yaml").unwrap();

    assert_eq!(config.memory_limit, Some(256 << 20));
    assert_eq!(config.max_processes, Some(10));
    assert_eq!(config.allowed_hosts, ["localhost", "api.trusted.com"]);
    assert_eq!(config.allowed_paths, ["/tmp", "/workspace"]);
    assert_eq!(config.work_dir, PathBuf::from("/tmp/sandbox"));
    assert!(config.named.contains("max_processes"));
    assert!(!config.named.contains("max_output"));
}

#[test]
fn sizes_and_times_are_read_in_every_spelling() {
    for text in ["268435456", "\"256MB\"", "256MB", "'256MiB'", "256 MB", "0.25G"] {
        assert_eq!(
            sandbox(&format!("memory_limit: {text}")).memory_limit,
            Some(256 << 20),
            "{text}"
        );
    }
    for (text, millis) in [("30", 30_000), ("\"30s\"", 30_000), ("1m", 60_000), ("1.5", 1_500)] {
        let timeout = sandbox(&format!("timeout: {text}")).timeout;
        assert_eq!(timeout, Some(Duration::from_millis(millis)), "{text}");
    }
    assert_eq!(sandbox("cpu_time_limit: 1m").cpu_time_limit, Some(60));
}

#[test]
fn a_limit_is_lifted_by_name_and_never_by_a_forgotten_value() {
    for text in ["none", "null", "~", "\"none\""] {
        let config = sandbox(&format!("memory_limit: {text}"));
        assert_eq!(config.memory_limit, None, "{text}");
        assert!(config.named.contains("memory_limit"));
    }
    assert_eq!(
        problem("sandbox:\n  memory_limit:\n  timeout: 30\n"),
        "a.yaml:2:15: `memory_limit`: has no value; write one, as in `256MB`, or leave it out",
    );
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_one_and_its_place() {
    assert_eq!(
        problem("sandbox:\n  timeout: 5\n  memory_limt: 1GB\n"),
        "a.yaml:3:3: unknown key `memory_limt`; did you mean `memory_limit`?",
    );
    assert_eq!(
        problem("memory_limit: 1GB"),
        "a.yaml:1:1: unknown section `memory_limit`; it is a key of `sandbox:`, write it below that",
    );
    assert_eq!(
        problem("sandbx: {}"),
        "a.yaml:1:1: unknown section `sandbx`; did you mean `sandbox`?",
    );
    assert_eq!(problem("sandbox: {zzz: 1}"), "a.yaml:1:11: unknown key `zzz`");
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_what_to_write() {
    for (line, message) in [
        ("memory_limit: -1", "`-1` is not a size; write bytes or a unit, as in `256MB`"),
        ("memory_limit: [1]", "is a list; write one value, as in `256MB`"),
        ("timeout: .nan", "`.nan` is not a time; write seconds or a unit, as in `30s` or `1m`"),
        ("cpu_time_limit: 500ms", "is 500ms; the system counts whole seconds, as in `30s`"),
        ("cpu_quota: inf", "`inf` is not a number; write one, as in `0.5`"),
        ("cpu_quota: -1", "`-1` is not a number; write one, as in `0.5`"),
        ("max_processes: ten", "`ten` is not a whole number; write one, as in `10`"),
        ("max_processes: +1", "`+1` is not a whole number; write one, as in `10`"),
        ("enable_network: yes", "`yes` is neither `true` nor `false`; write one"),
        ("allowed_hosts: localhost", "`localhost` is not a list; write `[localhost]`"),
        ("allowed_hosts: {a: b}", "is a mapping; write a list, as in `[api.trusted.com]`"),
        ("environment: [A]", "is not a mapping; write `{NAME: value}` or `{}`"),
        ("environment: {A: }", "`A` has no value; write `\"\"` for an empty one"),
        ("environment: {A: [1]}", "`A` must be one value, not several"),
        (
            "security_level: strickt",
            "`strickt` is none of `minimal`, `standard`, `strict`, `paranoid`; did you mean \
             `strict`?",
        ),
    ] {
        let problem = problem(&format!("sandbox:\n  {line}\n"));
        let (place, rest) = problem.split_once(": ").unwrap();
        assert!(place.starts_with("a.yaml:2:"), "{problem}");
        assert_eq!(rest.split_once(": ").unwrap().1, message);
    }
}

#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let text = "sandbox:\n  memory_limit: much\n  timeot: 5\nwasm:\n  max_fuel: -1\nserver: {}\n";

    let problems = problems(SandboxConfig::from_yaml(text, "a.yaml"));

    let places: Vec<_> = problems.iter().map(|it| it.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["a.yaml:2:17", "a.yaml:3:3", "a.yaml:5:13", "a.yaml:6:1"], "{problems:#?}");
}

#[test]
fn what_yaml_offers_beyond_a_config_is_refused() {
    for (text, message) in [
        ("sandbox: {timeout: 1, timeout: 2}", "`timeout` is given twice, first in line 1"),
        ("sandbox: &a {}\nwasm: *a", "anchors and tags are not read"),
        ("sandbox: !!map {}", "anchors and tags are not read"),
        ("sandbox: {}\n---\nsandbox: {}", "a second document begins"),
        ("sandbox: {[a]: b}", "a key must be one word"),
        ("sandbox: {a: b", "not YAML: "),
        ("sandbox:\n\ttimeout: 1", "not YAML: "),
        ("- sandbox", "is not a mapping; a config begins with `sandbox:`"),
        ("sandbox: 5", "is not a mapping; write `key: value` lines"),
        (&"[".repeat(100), "levels deep"),
        (&"- ".repeat(500_000), "levels deep"),
        (&"[".repeat(1_000_000), "not YAML: "),
    ] {
        let problem = problem(text);
        assert!(problem.contains(message), "{problem}");
    }
}

#[test]
fn a_file_without_settings_is_the_default() {
    for text in ["", "# nothing\n", "sandbox:\n", "---\nsandbox: {}\n", "\u{feff}wasm:\n"] {
        assert_eq!(
            ConfigFile::from_yaml(text, "a.yaml").unwrap(),
            ConfigFile::default(),
            "{text:?}"
        );
    }
}

#[test]
fn words_stay_as_they_are_written() {
    let config = sandbox("environment: {COUNTRY: NO, VERSION: 1.10, EMPTY: \"\", NULL: \"null\"}");

    let pairs: Vec<_> = config.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("COUNTRY", "NO"), ("EMPTY", ""), ("NULL", "null"), ("VERSION", "1.10")]);
}

#[test]
fn a_seccomp_profile_is_a_path_or_the_profile_itself() {
    let path = sandbox("seccomp_profile: strict.json").seccomp_profile;
    assert_eq!(path, Some(SeccompProfile::Path("strict.json".into())));

    let inline = sandbox(
        "seccomp_profile: {defaultAction: SCMP_ACT_ERRNO, defaultErrnoRet: 1, syscalls: [{names: [read], \
         action: SCMP_ACT_ALLOW, args: [{index: 0, value: 18446744073709551615, op: SCMP_CMP_EQ}]}]}",
    );
    let Some(SeccompProfile::Json(text)) = inline.seccomp_profile else { panic!("not inline") };
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["defaultErrnoRet"], 1);
    assert_eq!(json["syscalls"][0]["names"][0], "read");
    assert_eq!(json["syscalls"][0]["args"][0]["value"], u64::MAX);
}

#[test]
fn a_profile_lies_beside_the_file_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("neuroflow.yaml");
    fs::write(&path, "sandbox: {seccomp_profile: profiles/mine.json}").unwrap();

    let config = SandboxConfig::from_file(&path).unwrap();

    let expected = dir.path().join("profiles/mine.json");
    assert_eq!(config.seccomp_profile, Some(SeccompProfile::Path(expected)));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("long.yaml");
    fs::write(&long, "#".repeat((1 << 20) + 1)).unwrap();
    let bytes = dir.path().join("bytes.yaml");
    fs::write(&bytes, [0xff, 0xfe]).unwrap();

    for (path, reason) in [
        (dir.path().join("missing.yaml"), "No such file"),
        (dir.path().to_owned(), "s a directory"),
        (long, "longer than 1MiB"),
        (bytes, "not UTF-8 text"),
    ] {
        let problem = problems(ConfigFile::from_file(&path)).remove(0);
        assert!(problem.contains(path.to_str().unwrap()), "{problem}");
        assert!(problem.contains(reason), "{problem}");
    }
}

fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

#[test]
fn variables_override_the_file() {
    let mut config = sandbox("{memory_limit: 1GB, timeout: 5}");

    config
        .apply_env(vars(&[
            ("NEUROFLOW_MEMORY_LIMIT", "512MB"),
            ("NEUROFLOW_MAX_PROCESSES", "none"),
            ("NEUROFLOW_ALLOWED_COMMANDS", "python3, pip"),
            ("NEUROFLOW_ENVIRONMENT", "A=1,B=x=y,C="),
            ("NEUROFLOW_CONFIG", "elsewhere.yaml"),
            ("NEUROFLOW_WASM_MAX_FUEL", "5"),
            ("PATH", "/bin"),
        ]))
        .unwrap();

    assert_eq!(config.memory_limit, Some(512 << 20));
    assert_eq!(config.max_processes, None);
    assert_eq!(config.timeout, Some(Duration::from_secs(5)));
    assert_eq!(config.allowed_commands, ["python3", "pip"]);
    let pairs: Vec<_> = config.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("A", "1"), ("B", "x=y"), ("C", "")]);
    assert!(config.named.contains("max_processes"));
    assert!(config.named.contains("timeout"));
}

#[test]
fn the_wasm_sandbox_has_variables_of_its_own() {
    let mut config = WasmSandboxConfig::default();

    config
        .apply_env(vars(&[
            ("NEUROFLOW_WASM_MAX_FUEL", "none"),
            ("NEUROFLOW_WASM_TIMEOUT_SECONDS", "500ms"),
            ("NEUROFLOW_TIMEOUT", "1"),
        ]))
        .unwrap();

    assert_eq!(config.max_fuel, None);
    assert!((config.timeout_seconds - 0.5).abs() < f64::EPSILON);
}

#[test]
fn every_variable_that_cannot_be_read_is_told() {
    let problems = problems(SandboxConfig::default().apply_env(vars(&[
        ("NEUROFLOW_MEMORY_LIMIT", "-1"),
        ("NEUROFLOW_MEMORY_LIMT", "1GB"),
        ("NEUROFLOW_TIMEOUT", ""),
        ("NEUROFLOW_ENVIRONMENT", "A"),
    ])));

    assert_eq!(
        problems,
        [
            "`NEUROFLOW_MEMORY_LIMIT`: `-1` is not a size; write bytes or a unit, as in `256MB`",
            "unknown variable `NEUROFLOW_MEMORY_LIMT`; did you mean `NEUROFLOW_MEMORY_LIMIT`?",
            "`NEUROFLOW_TIMEOUT`: has no value; write one, as in `30s`, or leave it out",
            "`NEUROFLOW_ENVIRONMENT`: `A` has no `=`; write `NAME=value,NAME=value`",
        ],
    );
}

#[test]
fn every_key_can_be_set_by_a_variable() {
    for key in SANDBOX {
        let mut config = SandboxConfig::default();
        let default = match key.kind {
            Kind::List | Kind::Pairs => "",
            _ => key.default,
        };
        let variable = format!("NEUROFLOW_{}", key.name.to_uppercase());
        config.apply_env(vars(&[(&variable, default)])).unwrap();

        assert_eq!(config, with_named(SandboxConfig::default(), &[key.name]));
    }
}

#[test]
fn a_preset_names_its_limits() {
    let (development, production) = (SandboxConfig::development(), SandboxConfig::production());

    assert_eq!(development.memory_limit, Some(512 << 20));
    assert_eq!(development.timeout, Some(Duration::from_secs(60)));
    assert_eq!(production.memory_limit, Some(256 << 20));
    assert_eq!(production.cpu_time_limit, Some(30));
    for preset in [development, production] {
        assert!(preset.named.contains("memory_limit") && !preset.named.contains("work_dir"));
    }
}
