//! What can be written on the command line, as types. What it means is said in
//! settings; what it does, in [`commands`](crate::commands).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use kernel::sandbox::SandboxSecurityLevel;
use kernel::sandbox::config::Isolation;
use kernel::sandbox::units::{ByteSize, Seconds};

/// Runs code its owner did not write, inside a sandbox.
#[derive(Debug, Parser)]
#[command(name = "neuroflow", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One variant a command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program inside a sandbox
    Run(Box<RunArgs>),
    /// Show what a `run` with the same options would do; runs nothing
    Explain(Box<ExplainArgs>),
    /// Show what this host can enforce, and the fix for what it cannot
    Check(CheckArgs),
    /// Run a WebAssembly module (`neuroflow wasm --help` tells its options)
    Wasm(WasmArgs),
    /// Try on this host what the sandboxes promise
    #[cfg(target_os = "linux")]
    Selftest(SelftestArgs),
    /// What the self-test runs inside a sandbox.
    #[cfg(target_os = "linux")]
    #[command(name = crate::selftest::GUEST, hide = true, disable_help_flag = true)]
    SelftestGuest {
        /// The act.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        act: Vec<OsString>,
    },
    /// Look at a system-call profile before anything runs under it
    #[command(subcommand)]
    Seccomp(SeccompCommand),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// `neuroflow run`.
#[derive(Args, Debug)]
#[command(
    override_usage = "neuroflow run [OPTIONS] [--] PROGRAM [ARGS]...",
    after_help = RUN_EXIT_CODES
)]
pub struct RunArgs {
    /// How the sandbox is made.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    /// What is told, and where.
    #[command(flatten)]
    pub telling: TellingArgs,
    /// The program and its arguments; what stands here is never an option of ours
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "PROGRAM",
        help_heading = "Arguments"
    )]
    pub command: Vec<OsString>,
}

/// `neuroflow explain`.
#[derive(Args, Debug)]
#[command(override_usage = "neuroflow explain [OPTIONS] [--] PROGRAM [ARGS]...")]
pub struct ExplainArgs {
    /// How the sandbox is made.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "PROGRAM",
        help_heading = "Arguments"
    )]
    pub command: Vec<OsString>,
}

/// `neuroflow check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// `neuroflow wasm`: everything behind it belongs to `neuroflow-wasm`.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub struct WasmArgs {
    /// The module and the options of `neuroflow-wasm`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
}

/// `neuroflow selftest`.
#[derive(Args, Debug)]
pub struct SelftestArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// `neuroflow seccomp`.
#[derive(Debug, Subcommand)]
pub enum SeccompCommand {
    /// Tell what is missing in an OCI/Docker profile, and what it asks for in vain
    ///
    /// The exit code is 1 for a profile under which no program can start.
    Lint {
        /// The profile; `-` reads it from standard input
        file: PathBuf,
    },
    /// Tell what the filter of a profile does with each system call
    ///
    /// It is the profile and the default one together: of two verdicts the stricter.
    Explain {
        /// The profile, `-` for standard input; the default one alone if left out
        file: Option<PathBuf>,
    },
    /// Print the default profile, in the same format
    Default,
    /// Run a program in the sandbox and write the smallest profile it got by with
    ///
    /// The profile goes to standard output; what the program prints, to standard
    /// error. The exit code is the program's.
    Trace(Box<TraceArgs>),
    /// What `trace` runs inside the sandbox.
    #[command(hide = true)]
    Record(RecordArgs),
}

/// `neuroflow seccomp trace`.
#[derive(Args, Debug)]
#[command(override_usage = "neuroflow seccomp trace [OPTIONS] [--] PROGRAM [ARGS]...")]
pub struct TraceArgs {
    /// Write the profile to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How the sandbox is made.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "PROGRAM",
        help_heading = "Arguments"
    )]
    pub command: Vec<OsString>,
}

/// `neuroflow seccomp record`.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// `neuroflow completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell to complete for
    pub shell: clap_complete::Shell,
}

/// What is told about a run, and where; shared with `neuroflow-wasm`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct TellingArgs {
    /// Write the report of the run to this file, beside the streamed output
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print the report, with the captured output in it, instead of streaming
    #[arg(long)]
    pub json: bool,
    /// Pass standard input on even if it is a terminal (a pipe or a file always is)
    #[arg(short, long)]
    pub interactive: bool,
    /// Tell the receipt of the run on standard error
    #[arg(short, long)]
    pub verbose: bool,
    /// Tell no warnings
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The options that make a sandbox. Flags go before variables, variables before
/// the file, the file before the defaults.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sandbox")]
pub struct SandboxArgs {
    /// `auto` (namespace, or a refusal), `namespace`, `process` or `wasm` [default: auto]
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "NAME",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub backend: BackendChoice,
    /// With `--backend auto`: take the process sandbox where the host has no namespaces
    #[arg(long)]
    pub allow_weaker: bool,
    /// Read the settings of this YAML file (also: NEUROFLOW_CONFIG)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The program's current directory, writable [default: /tmp/neuroflow-sandbox]
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// Let the program reach this path: `P`, `P:rw` or `P:ro` (repeatable)
    #[arg(long = "allow-path", value_name = "PATH[:ro|:rw]")]
    pub allow_paths: Vec<String>,
    /// Start no other command than this one (repeatable)
    #[arg(long = "allow-command", value_name = "COMMAND")]
    pub allow_commands: Vec<String>,
    /// Set a variable in the program's otherwise clean environment (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// `none`, or `all` of the host's network without a filter [default: none]
    #[arg(long, value_enum, value_name = "WHICH", hide_possible_values = true)]
    pub network: Option<NetworkChoice>,
    /// Let the program reach this host (repeatable)
    #[arg(long = "allow-host", value_name = "HOST")]
    pub allow_hosts: Vec<String>,
    /// How strong the process sandbox is: `minimal`, `standard`, `strict`, `paranoid`
    #[arg(long, value_name = "LEVEL", value_parser = levels(), hide_possible_values = true)]
    pub level: Option<SandboxSecurityLevel>,
    /// What the namespace sandbox insists on: `strict`; `contained` is not there yet [default: strict]
    #[arg(long, value_name = "HOW", value_parser = isolations(), hide_possible_values = true)]
    pub isolation: Option<Isolation>,
    /// Filter system calls: `default`, `off`, or an OCI/Docker profile [default: default]
    #[arg(long, value_name = "FILE")]
    pub seccomp: Option<String>,
    /// Keep Landlock as a second wall: `on` or `off` [default: on]
    #[arg(long, value_enum, value_name = "SWITCH", hide_possible_values = true)]
    pub landlock: Option<Switch>,
    /// Let this protection, e.g. `memory`, be weaker on this host (repeatable)
    #[arg(long = "allow-degraded", value_name = "PROTECTION")]
    pub allow_degraded: Vec<String>,
    /// Limits of the run.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// The limits of a run.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Limits (`none` lifts one)")]
pub struct LimitArgs {
    /// Wall-clock time, as in `5s` or `500ms` [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Bound<Seconds>>,
    /// CPU time, in whole seconds [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub cpu_time: Option<Bound<Seconds>>,
    /// CPU time per wall-clock time, in cores, as in `0.5` [default: none]
    #[arg(long, value_name = "CORES")]
    pub cpu_quota: Option<Bound<f64>>,
    /// Memory, as in `256MB` [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Bound<ByteSize>>,
    /// Largest file [default: 10MiB]
    #[arg(long, value_name = "SIZE")]
    pub file_size: Option<Bound<ByteSize>>,
    /// Processes and threads at once [default: 64]
    #[arg(long, value_name = "N")]
    pub max_processes: Option<Bound<u64>>,
    /// Bytes of stdout and of stderr that are kept or streamed, each [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_output: Option<ByteSize>,
}

/// Which sandbox runs the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// Namespace where the host can, else a refusal
    #[default]
    Auto,
    /// Linux namespaces, for code of others
    Namespace,
    /// A process with limits, for code you trust
    Process,
    /// A WebAssembly engine, for modules
    Wasm,
}

/// Whether there is a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkChoice {
    /// No network
    None,
    /// The host's network, without a filter
    All,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On
    On,
    /// Off
    Off,
}

/// A limit as a flag tells it: a value, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound<T> {
    /// No limit.
    None,
    /// This limit.
    At(T),
}

impl<T> Bound<T> {
    /// The limit, as configs spell it.
    pub fn limit(self) -> Option<T> {
        match self {
            Self::None => None,
            Self::At(limit) => Some(limit),
        }
    }
}

impl<T: std::str::FromStr> std::str::FromStr for Bound<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::At) }
    }
}

/// What stands below the options of `run --help`.
const RUN_EXIT_CODES: &str = "\
Exit codes: the program's own; 124 it timed out; 125 the sandbox refused or failed;
126 it cannot be executed; 127 it was not found; 128+N signal N ended it;
137 another limit ended it. `--json` and `--report` tell them apart for certain.";

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write a name and a value, as in `LANG=C.UTF-8`".to_owned()),
    }
}

fn levels() -> impl TypedValueParser<Value = SandboxSecurityLevel> {
    PossibleValuesParser::new(SandboxSecurityLevel::ALL.map(SandboxSecurityLevel::name)).try_map(
        |name| {
            SandboxSecurityLevel::ALL
                .into_iter()
                .find(|level| level.name() == name)
                .ok_or("not a level")
        },
    )
}

fn isolations() -> impl TypedValueParser<Value = Isolation> {
    PossibleValuesParser::new(["strict", "contained"]).map(|name| match name.as_str() {
        "contained" => Isolation::Contained,
        _ => Isolation::Strict,
    })
}
