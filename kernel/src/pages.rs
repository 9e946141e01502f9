//! The Rust examples of the pages, run by rustdoc as if they stood here.

#[doc = include_str!("../../docs/reference/errors.md")]
mod errors {}

#[doc = include_str!("../../docs/reference/outcome.md")]
mod outcome {}
