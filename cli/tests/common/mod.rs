//! The built program, started as a user would, in a directory of its own.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and each starts the program"
)]
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this one")]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use kernel::sandbox::Report;
use neuroflow_tests::{Need, have};
use tempfile::TempDir;

/// The back ends that run programs on this host.
pub(crate) fn backends() -> Vec<&'static str> {
    let mut backends = vec!["process"];
    if have(Need::UserNamespaces) {
        backends.push("namespace");
    }
    backends
}

/// A directory to run in, gone at the end of the test.
pub(crate) struct Bench {
    directory: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The names of what lies in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `neuroflow` with nothing on stdin, and no variable of ours but the work
    /// dir, which lies below the directory: the default one is every test's, and
    /// belongs to whoever was first.
    pub(crate) fn neuroflow<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neuroflow"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEUROFLOW_") {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("NEUROFLOW_WORK_DIR", self.path("work"));
        command
    }

    /// `neuroflow run` on `backend`.
    pub(crate) fn run(&self, backend: &str) -> Command {
        self.neuroflow(["run", "--quiet", "--backend", backend])
    }
}

/// What a program that was started came to.
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Told {
    /// The report on standard output.
    pub(crate) fn report(&self) -> Report {
        match serde_json::from_str(&self.stdout) {
            Ok(report) => report,
            Err(error) => panic!("no report ({error}) in {:?}, {:?}", self.stdout, self.stderr),
        }
    }
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs `command` to its end.
pub(crate) fn told(command: &mut Command) -> Told {
    command.output().unwrap().into()
}

/// Runs `command` to its end with `input` on a pipe as its standard input.
pub(crate) fn told_with_input(command: &mut Command, input: &[u8]) -> Told {
    let mut child = piped(command.stdin(Stdio::piped()));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().into()
}

/// Starts `command` with its output in pipes.
pub(crate) fn piped(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads a report that was written to a file.
pub(crate) fn report_in(path: &Path) -> Report {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
