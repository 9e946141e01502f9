//! Thousands of runs of every ending, while hosts, launchers and guests are killed
//! at random; then a count of what is left, which must be nothing.
//!
//! ```text
//! cargo xtask soak --runs 10000
//! cargo test -p neuroflow-tests --test soak -- --seconds 60 --seed 7
//! ```
//!
//! This program plays two parts. The *supervisor* starts hosts, kills, and counts.
//! A *host* ([`host`]) embeds the kernel and runs guests ([`guests`]) on threads of
//! its own, each run announced by a line, until its standard input ends. Started
//! by `cargo test` it does a few hundred runs.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a host is a process of its own")]

#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
#[path = "linux.rs"]
mod imp;
#[cfg(not(all(target_os = "linux", not(neuroflow_portable))))]
#[path = "unsupported.rs"]
mod imp;

fn main() -> std::process::ExitCode {
    imp::main()
}
