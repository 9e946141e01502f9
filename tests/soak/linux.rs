//! The soak on Linux: its command line, and which part is played.

mod count;
mod guests;
mod host;
mod random;
mod supervisor;

use std::process::ExitCode;
use std::time::Duration;

use neuroflow_tests::{Need, have};

/// How much of it there shall be: whichever comes first.
#[derive(Clone, Copy, Debug)]
struct Amount {
    runs: u64,
    time: Duration,
    seed: u64,
}

/// What `cargo test` does.
const SHORT: Amount = Amount { runs: 300, time: Duration::from_secs(25), seed: 1 };

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(seed) = std::env::var_os(host::ROLE) {
        return host::play(seed.to_string_lossy().parse().unwrap());
    }
    // What asks every test program for its tests, and finds one.
    if arguments.iter().any(|argument| argument == "--list") {
        println!("soak: test");
        return ExitCode::SUCCESS;
    }
    let amount = match amount(&arguments) {
        Ok(amount) => amount,
        Err(problem) => {
            println!("{problem}; --runs N, --seconds S, --seed N");
            return ExitCode::from(2);
        }
    };
    if !have(Need::UserNamespaces) {
        return ExitCode::SUCCESS;
    }
    supervisor::run(amount)
}

/// The amount that was asked for; the time is open when only runs are named.
fn amount(arguments: &[String]) -> Result<Amount, String> {
    let mut amount = SHORT;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let known = matches!(argument.as_str(), "--runs" | "--seconds" | "--seed");
        if !known {
            // A filter or an option of the usual harness, from `cargo test`.
            continue;
        }
        let value = arguments.next().ok_or(format!("`{argument}` needs a number"))?;
        let value: u64 = value.parse().map_err(|_| format!("`{value}` is not a number"))?;
        match argument.as_str() {
            "--runs" => {
                amount.runs = value;
                amount.time = Duration::MAX;
            }
            "--seconds" => {
                amount.time = Duration::from_secs(value);
                amount.runs = u64::MAX;
            }
            _ => amount.seed = value,
        }
    }
    Ok(amount)
}
