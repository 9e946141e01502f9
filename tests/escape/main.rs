//! Hostile guests: one test for every promise that the namespace back end makes.
//!
//! A test is named after the promise it keeps, and lies in the file of its
//! family: F files, D descriptors and secrets, P processes and identity, S system
//! calls, N network, R resources, L life and death, C commands, H honesty, U that
//! it is still useful. What is not kept has a test that is ignored, with the
//! reason, and a line under "Known gaps" in SECURITY.md. Each denial is tried twice:
//! inside, where it must fail with the right errno, and where the layer that
//! denies is off or absent, where the same act succeeds. A test whose act would
//! fail anyway proves nothing.
//!
//! Each test runs as root and as an ordinary user, in a process of its own: see
//! [`caller`].
#![cfg(all(target_os = "linux", not(neuroflow_portable)))]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "twins of guests are started outside of any sandbox")]

#[macro_use]
mod caller;
mod live;
mod scene;
mod told;

mod commands;
mod descriptors;
mod files;
mod honesty;
mod lifetime;
mod network;
mod processes;
mod resources;
mod system_calls;
mod useful;
