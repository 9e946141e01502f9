//! `neuroflow run`: one program, one sandbox, from the command line to the exit
//! code.

use std::ffi::OsString;

use kernel::sandbox::executor::SandboxExecutor;
use kernel::sandbox::host::Host;
use kernel::sandbox::{Command, Error, Exit, Outcome, Result};

use crate::args::{BackendChoice, RunArgs, SandboxArgs};
use crate::backend::{self, Chosen};
use crate::interrupt::Interrupts;
use crate::relay::Relay;
use crate::telling::{Circumstances, Telling};
use crate::{guest_input, settings, wasm_run};

/// Runs the program and tells how it went; returns the exit code.
#[must_use]
pub fn run(args: &RunArgs) -> u8 {
    let mut circumstances = Circumstances::default();
    let (telling, result) = match Telling::prepare(&args.telling) {
        Ok(telling) => {
            let result = execute(args, &telling, &mut circumstances)
                .map_err(|error| backend::with_way_out(&args.sandbox, error));
            (telling, result)
        }
        Err(error) => (Telling::without_file(&args.telling), Err(error)),
    };
    telling.tell(&result, &circumstances)
}

/// Reads the settings and chooses the sandbox: what `run` and `explain` share.
///
/// # Errors
///
/// Those of [`settings::sandbox_config`] and [`backend::choose`].
pub(super) fn prepare(flags: &SandboxArgs) -> Result<(Chosen, Vec<String>)> {
    let config = settings::sandbox_config(flags, std::env::vars_os())?;
    let allow_degraded = config.allow_degraded.clone();
    Ok((backend::choose(flags, config, Host::get)?, allow_degraded))
}

/// The program and its arguments, as clap found them.
pub(super) fn command(words: &[OsString]) -> Result<Command> {
    let Some((program, args)) = words.split_first() else {
        return Err(Error::Config { problems: vec!["no program was given".to_owned()] });
    };
    let mut command = Command::new(program);
    command.args(args);
    Ok(command)
}

fn execute(args: &RunArgs, telling: &Telling, told: &mut Circumstances) -> Result<Outcome> {
    if args.sandbox.backend == BackendChoice::Wasm {
        return Err(wasm_run::hand_over(args));
    }
    let (chosen, allow_degraded) = prepare(&args.sandbox)?;
    told.allow_degraded = allow_degraded;
    if let Some(warning) = &chosen.warning {
        telling.printer.warning(warning);
    }
    let mut command = command(&args.command)?;
    command.stdin(guest_input::stdin(args.telling.interactive));
    supervise(&chosen.executor, command, !telling.wants_json(), told)
}

/// Runs `command` to its end, streaming its output if that is wanted, and ends
/// it when we are interrupted.
fn supervise(
    executor: &SandboxExecutor,
    command: Command,
    stream: bool,
    told: &mut Circumstances,
) -> Result<Outcome> {
    let interrupts = Interrupts::watch()
        .map_err(|source| Error::Setup { step: "watch for Ctrl-C".to_owned(), source })?;
    let mut running = executor.start(command)?;
    let killer = running.killer();
    interrupts.arm(killer.clone());

    let result = if stream {
        running.capture(false);
        let mut relay = Relay::new(killer.clone());
        let result = running.wait_relaying(&mut |stream, bytes| relay.send(stream, bytes));
        told.delivery = relay.finish(killer.is_killed() || cut_short(&result));
        result
    } else {
        running.wait()
    };
    told.interrupted_by = interrupts.signal();
    result
}

/// Whether a limit ended the guest, so that a reader who takes nothing is not
/// waited for.
fn cut_short(result: &Result<Outcome>) -> bool {
    !matches!(result, Ok(Outcome { exit: Exit::Exited(_) | Exit::Signalled(_), .. }))
}
