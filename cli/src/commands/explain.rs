//! `neuroflow explain`: the plan of a run, and nothing run.

use std::io::{self, Write};

use kernel::sandbox::{Error, Result};

use super::run;
use crate::args::ExplainArgs;
use crate::backend;
use crate::printer::Printer;

/// Prints the plan that a `run` with the same options would carry out.
///
/// # Errors
///
/// What would stop the run before its start; [`Error::Setup`] if standard
/// output takes no more.
pub fn explain(args: &ExplainArgs) -> Result<()> {
    let (chosen, _) = run::prepare(&args.sandbox)?;
    if let Some(warning) = &chosen.warning {
        Printer::new(false).warning(warning);
    }
    let plan = chosen
        .executor
        .plan(&run::command(&args.command)?)
        .map_err(|error| backend::with_way_out(&args.sandbox, error))?;
    io::stdout()
        .lock()
        .write_all(plan.to_string().as_bytes())
        .map_err(|source| Error::Setup { step: "print the plan".to_owned(), source })
}
