//! What to run: a program, its arguments, its input and its files.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use super::files::InputFile;

/// What the guest finds on its standard input.
///
/// Never the host's own: a guest that is given nothing reads end of file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// At its end from the start (the default).
    #[default]
    Empty,
    /// These bytes, then end of file.
    Bytes(Vec<u8>),
    /// What the host reads from its own standard input, copied by the host
    /// through a pipe until end of file. The guest never holds the host's
    /// descriptor.
    Host,
}

/// A program to run inside a sandbox; feels like [`std::process::Command`].
///
/// The program is looked up on the *sandbox's* PATH. No shell is involved and
/// arguments reach the program as they are.
///
/// ```
/// use kernel::sandbox::Command;
///
/// let mut command = Command::new("python3");
/// command.args(["-c", "print(1)"]).input(b"text on stdin".to_vec());
/// assert_eq!(command.get_args().len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    stdin: Stdin,
    timeout: Option<Duration>,
    files: Vec<InputFile>,
    collect: Vec<OsString>,
}

impl Command {
    /// Names the program. Defaults: no arguments, stdin at its end, no files laid
    /// out or collected, and the config's wall-clock limit.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            stdin: Stdin::Empty,
            timeout: None,
            files: Vec::new(),
            collect: Vec::new(),
        }
    }

    /// Adds one argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(&mut self, args: I) -> &mut Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Gives the guest these bytes on its standard input.
    pub fn input(&mut self, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// Sets where the guest's standard input comes from.
    pub fn stdin(&mut self, stdin: Stdin) -> &mut Self {
        self.stdin = stdin;
        self
    }

    /// Ends this run after `timeout` of wall-clock time, whatever the config's
    /// limit is. One sandbox can so serve runs of different lengths.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lays a file into the work dir before the guest starts.
    ///
    /// `path` is relative to the work dir; directories on the way are made. The
    /// file belongs to the guest, and replaces one that is there already. One that
    /// begins like a script (`#!`) or a program can be executed. Where the config
    /// names no `work_dir`, a run with files gets an empty one of its own, which is
    /// gone afterwards.
    ///
    /// A path that is absolute, has `..` in it, or names what another one names is
    /// an [`Error::Config`](super::Error::Config) of the run, before anything
    /// starts; so are more than 10 000 files or 1 GiB.
    pub fn file(&mut self, path: impl AsRef<Path>, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.files.push(InputFile { path: path.as_ref().to_owned(), bytes: bytes.into() });
        self
    }

    /// Brings the files that match `pattern` back in
    /// [`Outcome::files`](super::Outcome::files), once nothing of the guest runs
    /// any more; see [`Pattern`](super::files::Pattern) for what can be written.
    /// Several patterns add up.
    ///
    /// Only regular files below the work dir are collected, and no link is
    /// followed. What matched and was left is told in
    /// [`Outcome::skipped`](super::Outcome::skipped). Gives the run a work dir of
    /// its own, as [`file`](Self::file) does.
    pub fn collect(&mut self, pattern: impl AsRef<OsStr>) -> &mut Self {
        self.collect.push(pattern.as_ref().to_owned());
        self
    }

    /// The program, as it was named.
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        &self.program
    }

    /// The arguments, without the program.
    #[must_use]
    pub fn get_args(&self) -> &[OsString] {
        &self.args
    }

    /// Where standard input comes from.
    #[must_use]
    pub fn get_stdin(&self) -> &Stdin {
        &self.stdin
    }

    /// Takes the input out, so that it need not be copied.
    pub(crate) fn take_stdin(&mut self) -> Stdin {
        std::mem::take(&mut self.stdin)
    }

    /// The files that are laid into the work dir.
    #[must_use]
    pub fn get_files(&self) -> &[InputFile] {
        &self.files
    }

    /// The patterns of the files that are brought back.
    #[must_use]
    pub fn get_collect(&self) -> &[OsString] {
        &self.collect
    }

    /// Whether files go in or out by name.
    pub(crate) fn has_files(&self) -> bool {
        !self.files.is_empty() || !self.collect.is_empty()
    }

    /// The wall-clock limit of this run, where it is not the config's.
    #[must_use]
    pub fn get_timeout(&self) -> Option<Duration> {
        self.timeout
    }
}
