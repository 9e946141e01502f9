//! Where there is no Linux there are no system calls to record.

use std::ffi::{OsStr, OsString};

use super::Recording;
use crate::sandbox::error::{Error, Result};

/// Refuses, by name.
///
/// # Errors
///
/// [`Error::Unsupported`], always.
pub fn record(_program: &OsStr, _args: &[OsString]) -> Result<Recording> {
    Err(Error::unsupported(
        "seccomp trace",
        "it needs a Linux kernel",
        "run it on the machine that the guest is for",
    ))
}
