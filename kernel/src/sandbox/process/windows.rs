//! Not written yet: a job object with its limits would be the mechanism.

use super::super::error::{Error, Result};
use super::super::outcome::Enforcement;
use super::super::plan::PlannedStep;
use super::super::policy::Policy;

/// Never made: nothing starts here.
#[derive(Debug)]
pub(crate) enum Guest {}

pub(super) fn plan(_policy: &Policy) -> Result<(Vec<PlannedStep>, Enforcement)> {
    Err(Error::unsupported(
        "process",
        "the process back end is not written for this system yet",
        "use the WASM back end, or a Linux or macOS host",
    ))
}
