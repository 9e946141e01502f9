//! The command line of NeuroFlow Sandbox, as a library: `neuroflow` is a thin
//! `main` over it, and `neuroflow-wasm` shares what the two have in common.
//!
//! Data goes to standard output, everything else to standard error. A command
//! reads its [`args`], resolves its [`settings`], calls the kernel and hands the
//! [`exit`] code to `main`.

pub mod args;
pub mod backend;
pub mod commands;
pub mod exit;
pub mod guest_input;
pub mod interrupt;
pub mod printer;
pub mod relay;
pub mod report_file;
#[cfg(target_os = "linux")]
pub mod selftest;
pub mod settings;
pub mod sibling;
pub mod telling;
pub mod terminal;
pub mod wasm_run;
