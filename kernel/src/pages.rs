//! The Rust examples of the pages, run by rustdoc as if they stood here.

#[doc = include_str!("../../docs/guides/allowed-hosts.md")]
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
mod allowed_hosts {}

#[cfg(feature = "wasm")]
#[doc = include_str!("../../docs/guides/wasm-sandbox.md")]
mod wasm_sandbox {}

#[doc = include_str!("../../docs/reference/errors.md")]
mod errors {}

#[doc = include_str!("../../docs/reference/outcome.md")]
mod outcome {}

// The namespace sandbox is Linux.
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
#[doc = include_str!("../../docs/best-practices/security.md")]
mod security {}
