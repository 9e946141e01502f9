//! The NeuroFlow kernel: runs code its owner did not write.
//!
//! Three sandboxes stand behind one interface: a Python-process sandbox for
//! trusted code, a Linux-namespace sandbox (the recommended one) and a WASM
//! sandbox for untrusted modules. Every run walks the same path:
//!
//! ```text
//! Command + SandboxConfig   what the user said
//!    │  Policy::new(&config)?
//! Policy                    what is allowed; cannot be invalid
//!    │  executor.plan(&command)?
//! Plan                      what will be done, as data
//!    │  executor.start(command)?
//! Running                   owns the guest, its pipes, its cgroup
//!    │  running.wait()?
//! Outcome                   how it ended, what it used, what was enforced
//! ```
//!
//! A guest that fails, loops or is killed is an `Ok(Outcome)`; an `Err` means
//! that *we* could not do what was asked. The crate is synchronous and never
//! prints.

#[cfg(doctest)]
mod pages;
pub mod sandbox;
