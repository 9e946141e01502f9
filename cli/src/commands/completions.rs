//! `neuroflow completions SHELL`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;
use kernel::sandbox::{Error, Result};

use crate::args::Cli;

/// Prints the completion script for `shell`.
///
/// # Errors
///
/// [`Error::Setup`] if standard output takes no more.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "neuroflow", &mut script);
    io::stdout()
        .write_all(&script)
        .map_err(|source| Error::Setup { step: "print the script".to_owned(), source })
}
