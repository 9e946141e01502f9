//! What the tests of this project share: what they need of the host, and what
//! must not be left behind.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on fails")]

mod leftovers;
mod need;

pub use leftovers::Leftovers;
pub use need::{Need, have};
