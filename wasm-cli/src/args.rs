//! The options of `neuroflow wasm`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser};
use kernel::sandbox::units::{ByteSize, Seconds};
use neuroflow_cli::args::{Bound, TellingArgs};

/// Run a WebAssembly module in a sandbox
///
/// The module gets memory, fuel and time, and nothing else that is not allowed
/// by name: no files, no network, no clock, no output.
#[derive(Parser, Debug)]
#[command(
    name = "neuroflow wasm",
    version,
    override_usage = "neuroflow wasm [OPTIONS] FILE [-- ARGS]...",
    after_help = EXIT_CODES
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) run: RunArgs,
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
}

const EXIT_CODES: &str = "\
Exit codes: the module's own (255 where it has more than eight bits); 124 it timed out;
125 the sandbox refused or failed; 126 the file cannot be read; 127 it was not found;
134 the module trapped; 137 another limit ended it. `--json` and `--report` tell them
apart for certain.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
    fn a_module_has_to_be_named() {
        assert!(Cli::try_parse_from(["neuroflow wasm", "--json"]).is_err());
    }
}
