//! The options of `neuroflow wasm`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kernel::sandbox::units::{ByteSize, Seconds};
use kernel::sandbox::wasm::Directory;
use neuroflow_cli::args::{Bound, TellingArgs};

/// Run a WebAssembly module in a sandbox
///
/// The module gets memory, fuel and time, and nothing else that is not allowed
/// by name: no files, no network, no clock, no output.
#[derive(Parser, Debug)]
#[command(
    name = "neuroflow wasm",
    version,
    override_usage = "neuroflow wasm [OPTIONS] FILE [-- ARGS]...\n       \
                      neuroflow wasm inspect|verify|cache …",
    after_help = EXIT_CODES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What else can be done with a module. A file of such a name is `./inspect`.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Tell what a module imports, exports and needs, and run nothing of it
    Inspect(InspectArgs),
    /// Run a module twice, deterministically, and compare the two runs
    Verify(Box<VerifyArgs>),
    /// List or clear the compiled modules that are kept
    Cache(CacheArgs),
    /// Compile a module from stdin to stdout, for a parent of ours
    #[command(hide = true)]
    CompileModule,
}

/// `neuroflow wasm cache`.
#[derive(Args, Debug)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

/// What can be done with the compiled modules that are kept.
#[derive(Subcommand, Debug)]
pub(crate) enum CacheCommand {
    /// Tell what is kept, what was used last first
    List,
    /// Remove all of it
    Clear,
}

/// `neuroflow wasm inspect`.
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The module, as a .wasm file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// `neuroflow wasm verify`.
#[derive(Args, Debug)]
#[command(override_usage = "neuroflow wasm verify [OPTIONS] FILE [-- ARGS]...")]
pub(crate) struct VerifyArgs {
    /// Compare with this run hash, too; it is what an earlier `verify` printed
    #[arg(long, value_name = "HASH")]
    pub(crate) expect: Option<String>,
    /// The sandbox of both runs.
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    /// The module, as a .wasm file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The module's arguments
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

/// What is run, and how.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    pub(crate) telling: TellingArgs,
    /// The module, as a .wasm file
    #[arg(value_name = "FILE", required_unless_present = "args")]
    file: Option<PathBuf>,
    /// What the module is given as its arguments; never an option of ours
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

impl RunArgs {
    /// The module and its arguments. Both `FILE -- ARGS` and `-- FILE ARGS` are
    /// understood: `neuroflow run --backend wasm` says the latter.
    pub(crate) fn module(&self) -> (PathBuf, &[OsString]) {
        match (&self.file, self.args.as_slice()) {
            (Some(file), args) => (file.clone(), args),
            (None, [file, args @ ..]) => (file.into(), args),
            // clap insists on one of the two.
            (None, []) => (PathBuf::new(), &[]),
        }
    }
}

/// The sandbox of a module.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sandbox (`none` lifts a limit)")]
pub(crate) struct SandboxArgs {
    /// Read the section `wasm` of this YAML file (also: NEUROFLOW_CONFIG)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Units of fuel, about one an instruction [default: 1000000]
    #[arg(long, value_name = "N")]
    pub(crate) fuel: Option<Bound<u64>>,
    /// Linear memory, as in `64MB` [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Bound<ByteSize>>,
    /// Wall-clock time, compiling included, as in `5s` [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Bound<Seconds>>,
    /// Bytes of stdout and of stderr that are kept or streamed, each [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_output: Option<ByteSize>,
    /// Satisfy this import: `wasi_snapshot_preview1.fd_write`, or `….*` (repeatable)
    #[arg(long = "allow-import", value_name = "MODULE.NAME")]
    pub(crate) allow_imports: Vec<String>,
    /// Keep no compiled module, and take none that was kept
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Set a variable of the module's environment (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Let the module reach this directory, as `/data=./data` or `/data=./data:rw` (repeatable)
    #[arg(long = "dir", value_name = "NAME=DIR[:ro|:rw]", value_parser = directory)]
    pub(crate) dirs: Vec<Directory>,
    /// The same output and fuel in every run: fixed clocks, seeded random bytes
    #[arg(long, conflicts_with = "dirs")]
    pub(crate) deterministic: bool,
    /// The number that starts the random bytes of `--deterministic` [default: 0]
    #[arg(long, value_name = "N", requires = "deterministic")]
    pub(crate) seed: Option<u64>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write a name and a value, as in `LANG=C.UTF-8`".to_owned()),
    }
}

/// Read-only unless it says otherwise.
fn directory(text: &str) -> Result<Directory, String> {
    let (guest, host) = text
        .split_once('=')
        .filter(|(guest, host)| !guest.is_empty() && !host.is_empty())
        .ok_or("write the module's name for it and the directory, as in `/data=./data`")?;
    let (host, writable) = match host.rsplit_once(':') {
        Some((host, "ro")) => (host, false),
        Some((host, "rw")) => (host, true),
        _ => (host, false),
    };
    Ok(Directory { guest: guest.to_owned(), host: host.into(), writable })
}

const EXIT_CODES: &str = "\
Exit codes: the module's own (255 where it has more than eight bits); 124 it timed out;
125 the sandbox refused or failed; 126 the file cannot be read; 127 it was not found;
134 the module trapped; 137 another limit ended it. `--json` and `--report` tell them
apart for certain.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use kernel::sandbox::config::keys::WASM;

    use super::*;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    fn module(words: &[&str]) -> (PathBuf, Vec<OsString>, bool) {
        let cli = Cli::try_parse_from([&["neuroflow wasm"], words].concat()).unwrap();
        let (file, args) = cli.run.module();
        (file, args.to_vec(), cli.run.telling.json)
    }

    #[test]
    fn options_stand_on_both_sides_of_the_module() {
        assert_eq!(module(&["a.wasm", "--json"]), ("a.wasm".into(), vec![], true));
        assert_eq!(module(&["--json", "a.wasm"]), ("a.wasm".into(), vec![], true));
    }

    #[test]
    fn what_stands_behind_two_dashes_is_no_option_of_ours() {
        let args = vec!["--json".into()];

        assert_eq!(module(&["a.wasm", "--", "--json"]), ("a.wasm".into(), args.clone(), false));
        assert_eq!(module(&["--", "a.wasm", "--json"]), ("a.wasm".into(), args, false));
    }

    #[test]
    fn a_directory_is_read_only_unless_it_says_otherwise() {
        let granted = |text| directory(text).map(|directory| (directory.host, directory.writable));

        assert_eq!(granted("/d=x"), Ok(("x".into(), false)));
        assert_eq!(granted("/d=x:ro"), Ok(("x".into(), false)));
        assert_eq!(granted("/d=x:rw"), Ok(("x".into(), true)));
        assert_eq!(granted("/d=a:b"), Ok(("a:b".into(), false)));
        assert!(granted("x").is_err() && granted("=x").is_err() && granted("/d=").is_err());
    }

    #[test]
    fn other_commands_have_names_of_their_own() {
        let cli = Cli::try_parse_from(["neuroflow wasm", "inspect", "a.wasm"]).unwrap();

        assert!(matches!(cli.command, Some(Command::Inspect(_))));
    }

    #[test]
    fn a_module_has_to_be_named() {
        assert!(Cli::try_parse_from(["neuroflow wasm", "--json"]).is_err());
    }

    #[test]
    fn every_flag_of_the_table_of_keys_is_an_option() {
        let command = Cli::command();
        let flags: Vec<_> = command
            .get_arguments()
            .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
            .collect();

        for key in WASM {
            let Some(flag) = key.flag else { continue };
            assert!(flags.iter().any(|known| known == flag), "`{}` has no `{flag}`", key.name);
        }
    }
}
