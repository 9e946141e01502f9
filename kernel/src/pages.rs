//! The Rust examples of the pages, run by rustdoc as if they stood here.

#[doc = include_str!("../../docs/guides/allowed-hosts.md")]
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
mod allowed_hosts {}

#[doc = include_str!("../../docs/reference/errors.md")]
mod errors {}

#[doc = include_str!("../../docs/reference/outcome.md")]
mod outcome {}

// The namespace sandbox is Linux.
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
#[doc = include_str!("../../README.md")]
mod readme {}
