//! `neuroflow seccomp`: looks at system-call profiles before anything runs
//! under them.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use kernel::sandbox::seccomp::{self, Arch, Base, Explanation, Lint, Profile, Sockets};
use kernel::sandbox::{Error, Result};

use super::trace;
use crate::args::SeccompCommand;

/// The exit code for a profile under which nothing can start.
const UNUSABLE: u8 = 1;

/// Does what `command` asks for; returns the exit code.
///
/// # Errors
///
/// [`Error::Config`] for a profile that cannot be read or has mistakes.
pub fn seccomp(command: &SeccompCommand) -> Result<u8> {
    match command {
        SeccompCommand::Lint { file } => lint(file),
        SeccompCommand::Explain { file } => explain(file.as_deref()),
        SeccompCommand::Default => print(&seccomp::default_json()).map(|()| 0),
        SeccompCommand::Trace(args) => trace::trace(args),
        SeccompCommand::Record(args) => trace::record(args),
    }
}

fn lint(file: &Path) -> Result<u8> {
    let lint = Lint::read(&profile(file)?)?;
    if lint.is_clean() {
        print("nothing to say: programs start under it, and all it allows is allowed\n")?;
    } else {
        print(&lint.to_string())?;
    }
    Ok(if lint.vital.is_empty() { 0 } else { UNUSABLE })
}

fn explain(file: Option<&Path>) -> Result<u8> {
    // That of a guest with a network namespace of its own, as every guest has
    // that is not given the host's network.
    let base = Base::Namespace(Sockets::Internet);
    let explanation = match file {
        Some(file) => Explanation::of(base, &Profile::read(&profile(file)?)?)?,
        None => Explanation::of_base(base, Arch::native()?)?,
    };
    print(&explanation.to_string())?;
    Ok(0)
}

/// The text of `file`, or of standard input for `-`.
fn profile(file: &Path) -> Result<String> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    text.map_err(|source| Error::Config {
        problems: vec![format!("cannot read the profile `{}`: {source}", file.display())],
    })
}

fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|source| Error::Setup { step: "print what was found".to_owned(), source })
}
