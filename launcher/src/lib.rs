//! The small static program that becomes init of a sandbox, and the format of
//! what is said to it.
//!
//! A user of the library installs nothing: the program is built by this crate's
//! build script, carried as bytes and started from a sealed memfd. See
//! `docs/adr/0001-launcher-in-a-memfd.md` for why.

pub mod wire;

/// The program, a static ELF executable for this target.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/neuroflow-launcher"));
