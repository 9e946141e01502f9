//! `neuroflow wasm verify`: runs a module twice and compares the run hashes.

use std::io::{self, Read, Write};

use kernel::sandbox::{Error, Exit, Result, Stdin};
use neuroflow_cli::guest_input;

use crate::args::{SandboxArgs, VerifyArgs};
use crate::{module_file, run};

/// The two runs, or the run and the hash that was expected, differ.
const DIFFERS: u8 = 1;

/// Bytes of standard input that are kept for the second run.
const MOST_INPUT: u64 = 256 << 20;

/// Prints the run hash; the exit code tells whether it is what it should be.
///
/// # Errors
///
/// Those of a run; and [`Error::Config`] where the clock ended it, since that
/// happens elsewhere each time.
pub(crate) fn verify(args: &VerifyArgs) -> Result<u8> {
    let flags = SandboxArgs { deterministic: true, ..args.sandbox.clone() };
    if !flags.dirs.is_empty() {
        return Err(Error::Config {
            problems: vec!["a run with directories depends on what is in them".to_owned()],
        });
    }
    let sandbox = run::sandbox(&flags, &args.file, &args.args)?;
    let module = module_file::read(&args.file)?;
    let input = input()?;

    let mut hashes = Vec::new();
    for _ in 0..2 {
        let outcome = sandbox.execute(&module, &input)?;
        if let Exit::TimedOut(_) = outcome.exit {
            return Err(Error::Config {
                problems: vec![
                    "the clock ended the run, which it does elsewhere each time; give it more \
                     --timeout, or let --fuel end it"
                        .to_owned(),
                ],
            });
        }
        hashes.push(sandbox.run_hash(&module, &input, &outcome)?);
    }

    let same = hashes[0] == hashes[1];
    let expected = args.expect.as_ref().is_none_or(|hash| hash.eq_ignore_ascii_case(&hashes[0]));
    let mut told = format!("{}\n", hashes[0]);
    if !same {
        told.push_str(&format!("{}\n", hashes[1]));
    }
    io::stdout()
        .write_all(told.as_bytes())
        .map_err(|source| Error::Setup { step: "write the output".to_owned(), source })?;
    if !same {
        let _ = writeln!(io::stderr(), "error: the two runs differ");
    } else if !expected {
        let _ = writeln!(io::stderr(), "error: this is not the hash that was expected");
    }
    Ok(if same && expected { 0 } else { DIFFERS })
}

/// All of standard input, where it is a pipe or a file: both runs read it.
fn input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if guest_input::stdin(false) == Stdin::Host {
        io::stdin()
            .take(MOST_INPUT + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Setup { step: "read standard input".to_owned(), source })?;
    }
    if bytes.len() as u64 > MOST_INPUT {
        return Err(Error::Config {
            problems: vec![format!("standard input is longer than {MOST_INPUT} bytes")],
        });
    }
    Ok(bytes)
}
