//! `neuroflow seccomp trace`: what a program calls, as a profile.
//!
//! Two of us take part: the one that was started makes a sandbox and runs the
//! other one inside (`neuroflow seccomp record`), which starts the program under
//! the default filter and is asked about each call. So the program sees what it
//! will see in a run, and is as confined. The inner one cannot ask for that
//! under a filter of the sandbox's, so the sandbox has none, and the program
//! gets the filter from the inner one.
//!
//! The profile comes out on the inner one's standard output, which the program
//! does not have: both its streams are standard error here.

use std::fs;
use std::io::{self, Write};

use kernel::sandbox::running::Stream;
use kernel::sandbox::seccomp;
use kernel::sandbox::{Error, Exit, Outcome, Result, SandboxConfig};

use crate::args::{BackendChoice, RecordArgs, SandboxArgs, TraceArgs};
use crate::backend::{self, Chosen};
use crate::interrupt::Interrupts;
use crate::printer::Printer;
use crate::relay::Relay;
use crate::report_file::ReportFile;
use crate::{exit, guest_input, settings};

/// Runs the program in a sandbox and writes its profile; returns the program's
/// exit code.
///
/// # Errors
///
/// Those of `run`; [`Error::Config`] for options that contradict a recording.
pub fn trace(args: &TraceArgs) -> Result<u8> {
    let printer = Printer::new(false);
    let output = args.output.as_deref().map(ReportFile::prepare).transpose()?;
    let config = config(&args.sandbox)?;
    let Chosen { executor, warning } =
        backend::choose(&args.sandbox, config, kernel::sandbox::host::Host::get)?;
    if let Some(warning) = warning {
        printer.warning(&warning);
    }
    let mut command = kernel::sandbox::Command::new(own_path()?);
    command.args(["seccomp", "record", "--"]).args(&args.command);
    command.stdin(guest_input::stdin(false));

    let interrupts = Interrupts::watch()
        .map_err(|source| Error::Setup { step: "watch for Ctrl-C".to_owned(), source })?;
    let running = executor.start(command)?;
    let killer = running.killer();
    interrupts.arm(killer.clone());
    let mut relay = Relay::new(killer.clone());
    let result = running.wait_relaying(&mut |stream, bytes| {
        if stream == Stream::Stderr {
            relay.send(stream, bytes);
        }
    });
    // A reader who left does not change what the program calls.
    let _ = relay.finish(killer.is_killed());
    let outcome = result?;
    if let Some(signal) = interrupts.signal() {
        return Ok(exit::of_signal(signal));
    }
    write_profile(output.as_ref(), &outcome, &printer)
}

/// Tells the profile, or that there is none since the program was ended.
fn write_profile(output: Option<&ReportFile>, outcome: &Outcome, printer: &Printer) -> Result<u8> {
    let code = exit::code(&Ok(outcome.clone()));
    let Exit::Exited(_) = outcome.exit else {
        printer.ending(outcome);
        printer.note("no profile was written: the program did not come to its end");
        return Ok(code);
    };
    if outcome.stdout.is_empty() {
        // The inner one has said why.
        return Ok(code);
    }
    match output {
        Some(file) => file.write_text(&outcome.stdout)?,
        None => io::stdout()
            .lock()
            .write_all(&outcome.stdout)
            .map_err(|source| Error::Setup { step: "print the profile".to_owned(), source })?,
    }
    Ok(code)
}

/// The sandbox of a recording: that of a run, with us inside and without a
/// filter of its own.
fn config(flags: &SandboxArgs) -> Result<SandboxConfig> {
    let mut problems = Vec::new();
    if flags.seccomp.is_some() {
        problems.push("`--seccomp` contradicts a recording, which finds that out".to_owned());
    }
    if !matches!(flags.backend, BackendChoice::Auto | BackendChoice::Namespace) {
        problems.push("calls are recorded in the namespace sandbox only".to_owned());
    }
    let mut config = settings::sandbox_config(flags, std::env::vars_os())?;
    if !config.allowed_commands.is_empty() {
        problems.push(
            "`allowed_commands` contradicts a recording, in which `neuroflow` is the command"
                .to_owned(),
        );
    }
    if !problems.is_empty() {
        return Err(Error::Config { problems });
    }
    config.enable_seccomp = false;
    config.seccomp_profile = None;
    config.allowed_paths.push(format!("{}:ro", own_path()?));
    Ok(config)
}

fn own_path() -> Result<String> {
    let path = std::env::current_exe().and_then(fs::canonicalize);
    path.map(|path| path.display().to_string())
        .map_err(|source| Error::Setup { step: "find our own program".to_owned(), source })
}

/// The inner one: starts the program, and prints its profile.
///
/// # Errors
///
/// Those of [`seccomp::record`].
pub fn record(args: &RecordArgs) -> Result<u8> {
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Error::Config { problems: vec!["no program was given".to_owned()] });
    };
    let recording = seccomp::record(program, rest)?;
    io::stdout()
        .lock()
        .write_all(recording.profile().as_bytes())
        .map_err(|source| Error::Setup { step: "print the profile".to_owned(), source })?;
    Ok(recording.exit_code)
}
