//! The WASM back end of a build without it.

use super::{Request, Settings};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::outcome::Outcome;

pub(super) fn execute(_: &Settings, _: Request<'_>) -> Result<Outcome> {
    Err(Error::unsupported(
        "wasm",
        "this build of the kernel has no WASM engine",
        "build `neuroflow-kernel` with its feature `wasm`, which is on by default",
    ))
}
