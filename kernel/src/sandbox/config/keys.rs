//! Every key of the config, once: how it is written, what it does, and how it is
//! read. The file, the variables and the reference page follow from this table.

use std::fmt;

use super::value::{Fault, Node, Value};
use super::{Isolation, SandboxConfig, SandboxSecurityLevel, SeccompProfile, WasmSandboxConfig};

/// What is written for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes: `268435456`, `256MB`.
    Size,
    /// Seconds: `30`, `30s`, `1m`, `500ms`.
    Time,
    /// A whole number.
    Count,
    /// A number that may have a fraction: `0.5`.
    Decimal,
    /// `true` or `false`.
    Switch,
    /// One word.
    Word,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The path of a seccomp profile, or the profile itself.
    Profile,
    /// A list of words.
    List,
    /// A mapping of words to words.
    Pairs,
}

/// One word, as the reference page has it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Time => "time",
            Self::Count | Self::Decimal => "number",
            Self::Switch => "`true` or `false`",
            Self::Word | Self::Choice(_) => "word",
            Self::Profile => "path or mapping",
            Self::List => "list",
            Self::Pairs => "mapping",
        })
    }
}

/// One key of the config.
///
/// The same key is spelt `memory_limit` in a file and in Python,
/// `NEUROFLOW_MEMORY_LIMIT` in the environment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Key<C: 'static> {
    /// The name in files and in Python.
    pub name: &'static str,
    /// What is written for it.
    pub kind: Kind,
    /// Whether `none` is a value.
    pub optional: bool,
    /// The flag of the command line, where there is one.
    pub flag: Option<&'static str>,
    /// The default, as it is written in a file.
    pub default: &'static str,
    /// What it does, in one line of Markdown.
    pub meaning: &'static str,
    pub(super) set: fn(&mut C, &Node) -> Result<(), Fault>,
}

/// The keys of the section `sandbox`, in the order of the reference page.
pub const SANDBOX: &[Key<SandboxConfig>] = &[
    Key {
        name: "work_dir",
        kind: Kind::Word,
        optional: false,
        flag: Some("--work-dir"),
        default: "/tmp/neuroflow-sandbox",
        meaning: "The guest's current directory, writable, made if it is missing. Relative to the \
                  current directory of the host. The default one carries `-<uid>` at its end \
                  where it is another user's already.",
        set: |config, node| {
            config.work_dir = node.text("/tmp/sandbox")?.into();
            Ok(())
        },
    },
    Key {
        name: "cpu_time_limit",
        kind: Kind::Time,
        optional: true,
        flag: Some("--cpu-time"),
        default: "30",
        meaning: "CPU time before the guest is ended, in whole seconds.",
        set: |config, node| {
            config.cpu_time_limit = node.or_none(Node::whole_seconds)?;
            Ok(())
        },
    },
    Key {
        name: "cpu_quota",
        kind: Kind::Decimal,
        optional: true,
        flag: Some("--cpu-quota"),
        default: "none",
        meaning: "CPU time per wall-clock time, in cores: `0.5` is half of one. Slows the guest \
                  down and ends nothing. Needs cgroup v2.",
        set: |config, node| {
            config.cpu_quota = node.or_none(Node::decimal)?;
            Ok(())
        },
    },
    Key {
        name: "memory_limit",
        kind: Kind::Size,
        optional: true,
        flag: Some("--memory"),
        default: "256MB",
        meaning: "Memory of the guest and all it starts; at least 1MB.",
        set: |config, node| {
            config.memory_limit = node.or_none(Node::size)?;
            Ok(())
        },
    },
    Key {
        name: "timeout",
        kind: Kind::Time,
        optional: true,
        flag: Some("--timeout"),
        default: "30",
        meaning: "Wall-clock time before the guest is ended.",
        set: |config, node| {
            config.timeout = node.or_none(Node::time)?;
            Ok(())
        },
    },
    Key {
        name: "file_size_limit",
        kind: Kind::Size,
        optional: true,
        flag: Some("--file-size"),
        default: "10MB",
        meaning: "Largest file the guest can write.",
        set: |config, node| {
            config.file_size_limit = node.or_none(Node::size)?;
            Ok(())
        },
    },
    Key {
        name: "max_processes",
        kind: Kind::Count,
        optional: true,
        flag: Some("--max-processes"),
        default: "64",
        meaning: "Processes and threads alive at once.",
        set: |config, node| {
            config.max_processes = node.or_none(Node::count)?;
            Ok(())
        },
    },
    Key {
        name: "max_output",
        kind: Kind::Size,
        optional: false,
        flag: Some("--max-output"),
        default: "16MB",
        meaning: "Output kept of stdout and of stderr, each, at most 1GB. What comes after is \
                  thrown away; at ten times the cap the guest is ended.",
        set: |config, node| {
            config.max_output = node.size()?;
            Ok(())
        },
    },
    Key {
        name: "enable_network",
        kind: Kind::Switch,
        optional: false,
        flag: Some("--network"),
        default: "false",
        meaning: "Whether the guest may use the network at all; `allowed_hosts` must then say \
                  whom it may reach.",
        set: |config, node| {
            config.enable_network = node.switch()?;
            Ok(())
        },
    },
    Key {
        name: "allowed_hosts",
        kind: Kind::List,
        optional: false,
        flag: Some("--allow-host"),
        default: "[]",
        meaning: "Hosts the guest may reach: `api.trusted.com`, `*.trusted.com`, \
                  `api.trusted.com:443`, an address. `[]` is nobody, `[\"*\"]` is everybody.",
        set: |config, node| {
            config.allowed_hosts = node.words("api.trusted.com")?;
            Ok(())
        },
    },
    Key {
        name: "allowed_paths",
        kind: Kind::List,
        optional: false,
        flag: Some("--allow-path"),
        default: "[]",
        meaning: "Paths besides the work dir: `/data` or `/data:rw` is read-write, `/data:ro` is \
                  read-only. Absolute and without symlinks.",
        set: |config, node| {
            config.allowed_paths = node.words("/data:ro")?;
            Ok(())
        },
    },
    Key {
        name: "allowed_commands",
        kind: Kind::List,
        optional: false,
        flag: Some("--allow-command"),
        default: "[]",
        meaning: "Commands that may start, compared by the file that is really executed; `[]` is \
                  any.",
        set: |config, node| {
            config.allowed_commands = node.words("python3")?;
            Ok(())
        },
    },
    Key {
        name: "environment",
        kind: Kind::Pairs,
        optional: false,
        flag: Some("--env"),
        default: "{}",
        meaning: "Variables of the guest, besides `PATH`, `HOME`, `LANG` and `TMPDIR`. Those of \
                  the host are never passed on.",
        set: |config, node| {
            config.environment = node.pairs()?.into_iter().collect();
            Ok(())
        },
    },
    Key {
        name: "security_level",
        kind: Kind::Choice(&["minimal", "standard", "strict", "paranoid"]),
        optional: false,
        flag: Some("--level"),
        default: "standard",
        meaning: "How strong the process back end is: `minimal`, `standard`, `strict` or \
                  `paranoid`.",
        set: |config, node| {
            let levels = SandboxSecurityLevel::ALL.map(|level| (level.name(), level));
            config.security_level = node.choice(&levels)?;
            Ok(())
        },
    },
    Key {
        name: "isolation",
        kind: Kind::Choice(&["strict", "contained"]),
        optional: false,
        flag: Some("--isolation"),
        default: "strict",
        meaning: "What the namespace back end insists on: `strict` is all namespaces or a \
                  refusal; `contained`, which would make do with Landlock, seccomp and limits \
                  where the host has no namespaces, is not there yet and is refused.",
        set: |config, node| {
            config.isolation =
                node.choice(&[("strict", Isolation::Strict), ("contained", Isolation::Contained)])?;
            Ok(())
        },
    },
    Key {
        name: "landlock",
        kind: Kind::Switch,
        optional: false,
        flag: Some("--landlock"),
        default: "true",
        meaning: "Whether Landlock stands as a second wall around files.",
        set: |config, node| {
            config.landlock = node.switch()?;
            Ok(())
        },
    },
    Key {
        name: "enable_seccomp",
        kind: Kind::Switch,
        optional: false,
        flag: Some("--seccomp"),
        default: "true",
        meaning: "Whether system calls are filtered.",
        set: |config, node| {
            config.enable_seccomp = node.switch()?;
            Ok(())
        },
    },
    Key {
        name: "seccomp_profile",
        kind: Kind::Profile,
        optional: true,
        flag: Some("--seccomp"),
        default: "none",
        meaning: "A filter of your own in OCI/Docker format instead of the default one: the path \
                  of a JSON file, relative to the config file, or the profile itself as a \
                  mapping.",
        set: |config, node| {
            config.seccomp_profile = node.or_none(seccomp_profile)?;
            Ok(())
        },
    },
    Key {
        name: "allow_degraded",
        kind: Kind::List,
        optional: false,
        flag: Some("--allow-degraded"),
        default: "[]",
        meaning: "Protections that may be weaker on this host, by their name in the receipt: \
                  `memory`, ….",
        set: |config, node| {
            config.allow_degraded = node.words("memory")?;
            Ok(())
        },
    },
];

/// The keys of the section `wasm`, in the order of the reference page.
pub const WASM: &[Key<WasmSandboxConfig>] = &[
    Key {
        name: "max_memory_bytes",
        kind: Kind::Size,
        optional: false,
        flag: Some("--memory"),
        default: "64MB",
        meaning: "Linear memory, all memories together.",
        set: |config, node| {
            config.max_memory_bytes = node.size()?;
            Ok(())
        },
    },
    Key {
        name: "timeout_seconds",
        kind: Kind::Time,
        optional: false,
        flag: Some("--timeout"),
        default: "30",
        meaning: "Wall-clock time for compiling, starting and running, host calls included.",
        set: |config, node| {
            config.timeout_seconds = node.time()?.as_secs_f64();
            Ok(())
        },
    },
    Key {
        name: "max_fuel",
        kind: Kind::Count,
        optional: true,
        flag: Some("--fuel"),
        default: "1000000",
        meaning: "Units of fuel, about one an instruction; `none` is unmetered.",
        set: |config, node| {
            config.max_fuel = node.or_none(Node::count)?;
            Ok(())
        },
    },
    Key {
        name: "allowed_imports",
        kind: Kind::List,
        optional: false,
        flag: Some("--allow-import"),
        default: "[]",
        meaning: "Imports that are satisfied: `module.name` or `module.*`; `[]` is none.",
        set: |config, node| {
            config.allowed_imports = node.words("wasi_snapshot_preview1.*")?;
            Ok(())
        },
    },
    Key {
        name: "max_output",
        kind: Kind::Size,
        optional: false,
        flag: Some("--max-output"),
        default: "16MB",
        meaning: "Output kept of stdout and of stderr, each.",
        set: |config, node| {
            config.max_output = node.size()?;
            Ok(())
        },
    },
];

/// A path, or the profile itself: a mapping in a file, JSON in a variable.
fn seccomp_profile(node: &Node) -> Result<SeccompProfile, Fault> {
    match &node.value {
        Value::Map(_) => Ok(SeccompProfile::Json(node.to_json().to_string())),
        Value::Text { text, .. } if text.trim_start().starts_with('{') => {
            Ok(SeccompProfile::Json(text.clone()))
        }
        _ => node.text("profile.json").map(|path| SeccompProfile::Path(path.into())),
    }
}
