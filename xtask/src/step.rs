//! Runs a command with its output shown, timed and counted.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tally::Tally;

/// What can go wrong here is told to a person, so a sentence is enough.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The tree we work on.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder with the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds: `CARGO_TARGET_DIR`, else `target/`.
    pub(crate) target: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or("xtask has no parent folder")?
            .to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The file in which tests note what they skipped and why.
    pub(crate) fn skips(&self) -> PathBuf {
        self.target.join("skips.txt")
    }

    /// A command that starts at the root of the tree.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        // `cargo run` leaves these for *this* program. A build script that watches
        // one of them would run again for every step.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_")) {
                command.env_remove(name);
            }
        }
        command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
        command.env("NEUROFLOW_SKIPS", self.skips());
        command
    }

    /// `cargo ARGS`, by the cargo that started us.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        command.args(args);
        command
    }
}

/// Runs `command`, shows what it prints, and adds the tests it reports to `tally`.
///
/// # Errors
///
/// It could not be started, or ended with anything but success.
pub(crate) fn show(command: &mut Command, tally: &mut Tally) -> Result<()> {
    println!("$ {}", in_words(command));
    std::io::stdout().flush()?;
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| format!("could not start `{}`: {source}", in_words(command)))?;
    let stdout = child.stdout.take().ok_or("no pipe to the command")?;
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        tally.read_line(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("`{}` ended with {status}", in_words(command)).into())
}

/// Runs `command` and returns what it printed on stdout.
///
/// # Errors
///
/// It could not be started, ended with anything but success, or printed no UTF-8.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| format!("could not start `{}`: {source}", in_words(command)))?;
    if !output.status.success() {
        return Err(format!("`{}` ended with {}", in_words(command), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The command as one would type it, with the environment it sets.
fn in_words(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)))
        .filter(|(name, _)| *name != "NEUROFLOW_SKIPS")
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), quoted(value)))
        .collect();
    let program = Path::new(command.get_program());
    words.push(program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned());
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
