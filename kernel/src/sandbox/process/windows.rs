//! Not written yet: a job object with its limits would be the mechanism.

use super::super::command::Command;
use super::super::error::{Error, Result};
use super::super::plan::Plan;
use super::super::policy::Policy;
use super::super::resolve::ResolvedProgram;
use super::super::running::Running;

/// Starts nothing.
#[derive(Debug, Default)]
pub(super) struct Isolator;

/// Never made.
#[derive(Debug)]
pub(crate) enum Guest {}

/// Whether a guest can get a network that is not the host's.
pub(super) fn has_network_namespaces() -> bool {
    false
}

/// Whether a share of the CPU can be held, where the host gives us cgroups.
pub(super) fn has_cgroups() -> bool {
    false
}

impl Isolator {
    pub(super) fn plan(&self, _: &Policy, _: &ResolvedProgram, _: &Command) -> Result<Plan> {
        Err(unsupported())
    }

    pub(super) fn start(&self, _: &Policy, _: &ResolvedProgram, _: Command) -> Result<Running> {
        Err(unsupported())
    }
}

fn unsupported() -> Error {
    Error::unsupported(
        "process",
        "the process back end is not written for this system yet",
        "use the WASM back end, or a Linux or macOS host",
    )
}
