//! The whole public interface on one page.
//!
//! Read the modules in the order of the path: [`config`] → [`policy`] →
//! [`plan`] → [`running`] → [`outcome`].

pub mod command;
pub mod config;
pub mod error;
pub mod executor;
pub mod files;
pub mod host;
pub mod manager;
mod names;
pub mod namespace;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod process;
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
mod proxy;
pub mod report;
mod resolve;
pub mod running;
// Not below `namespace`: the process back end filters too, and it is pure.
#[path = "namespace/seccomp.rs"]
pub mod seccomp;
mod text_file;
#[cfg(all(target_os = "linux", not(neuroflow_portable)))]
mod tree;
pub mod units;
pub mod wasm;

pub use command::{Command, Stdin};
pub use config::{SandboxConfig, SandboxSecurityLevel, WasmSandboxConfig};
pub use error::{Error, Result};
pub use executor::SandboxExecutor;
pub use manager::{SandboxManager, SandboxStats};
pub use namespace::NamespaceIsolator;
pub use outcome::{Enforcement, Exit, Outcome, Protection, State, Usage, Violation};
pub use plan::{Backend, Plan};
pub use policy::Policy;
pub use process::ProcessIsolator;
pub use report::Report;
pub use running::{Killer, Running, Stream};
pub use wasm::WasmSandbox;
