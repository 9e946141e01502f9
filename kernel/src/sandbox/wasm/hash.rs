//! The run hash: one number for what was run, under what, and what came of it.

use sha2::{Digest, Sha256};

use super::Settings;
use super::grants::{Clocks, Randomness};
use crate::sandbox::outcome::Outcome;

/// Names the fields and their order; a change of either changes the name.
const FORMAT: &[u8] = b"neuroflow wasm run 1";

/// The hash of a run, in hexadecimal.
///
/// Every field goes in with its length, so that no two runs share a hash by
/// where one field ends and the next begins.
pub(super) fn run_hash(
    settings: &Settings,
    module: &[u8],
    input: &[u8],
    outcome: &Outcome,
) -> String {
    let mut hasher = Fields(Sha256::new());
    hasher.bytes(FORMAT);
    hasher.bytes(&Sha256::digest(module));
    hasher.bytes(&Sha256::digest(input));

    hasher.number(settings.max_memory);
    hasher.number(settings.max_fuel.unwrap_or(u64::MAX));
    hasher.number(settings.max_output);
    hasher.list(settings.allowed_imports.iter().map(String::as_bytes));
    hasher.list(settings.grants.args.iter().map(String::as_bytes));
    hasher.list(settings.grants.environment.keys().map(String::as_bytes));
    hasher.list(settings.grants.environment.values().map(String::as_bytes));
    hasher.bytes(match settings.grants.clocks {
        Clocks::Real => b"real",
        Clocks::Fixed => b"fixed",
    });
    match settings.grants.random {
        Randomness::Real => hasher.bytes(b"real"),
        Randomness::Seed(seed) => hasher.number(seed),
    }

    hasher.bytes(outcome.exit.kind().as_bytes());
    hasher.bytes(outcome.exit.to_string().as_bytes());
    hasher.bytes(&outcome.stdout);
    hasher.bytes(&outcome.stderr);
    hasher.number(outcome.usage.stdout_bytes);
    hasher.number(outcome.usage.stderr_bytes);
    hasher.number(outcome.usage.fuel_consumed.unwrap_or(u64::MAX));
    hasher.number(outcome.usage.max_memory_bytes);
    hex(&hasher.0.finalize())
}

struct Fields(Sha256);

impl Fields {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn list<'a>(&mut self, items: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.number(items.len() as u64);
        for item in items {
            self.bytes(item);
        }
    }
}

/// `bytes` in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
