//! The namespace back end where there is no Linux: the same names.

use std::os::fd::BorrowedFd;

use crate::sandbox::command::Command;
use crate::sandbox::config::SandboxConfig;
use crate::sandbox::error::{Error, Result};
use crate::sandbox::host::{Gate, Host};
use crate::sandbox::outcome::Violation;
use crate::sandbox::plan::Plan;
use crate::sandbox::running::verdict::Ended;
use crate::sandbox::running::{Running, Sample};

const REASON: &str = "namespaces are a feature of Linux";
const FIX: &str = "use the process or the WASM sandbox, or run on Linux";

/// Starts nothing.
#[derive(Debug, Default)]
pub(super) struct Isolator;

impl Isolator {
    #[expect(clippy::unused_self, reason = "the twin has state")]
    pub(super) fn plan(&self, _: &Command, _: &SandboxConfig) -> Result<Plan> {
        Err(Error::unsupported("namespaces", REASON, FIX))
    }

    #[expect(clippy::unused_self, reason = "the twin has state")]
    pub(super) fn start(&self, _: Command, _: &SandboxConfig) -> Result<Result<Running, String>> {
        Err(Error::unsupported("namespaces", REASON, FIX))
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Guest {}

impl Guest {
    pub(crate) fn ended_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    pub(crate) fn kill(&self) {
        match *self {}
    }

    pub(crate) fn sample(&mut self, _: Option<u64>) -> Sample {
        match *self {}
    }

    pub(crate) fn refused(&self) -> Vec<Violation> {
        match *self {}
    }

    pub(crate) fn collect(self) -> Result<Ended> {
        match self {}
    }
}

/// What a try would find.
pub(crate) fn probe_host() -> Host {
    let closed = || Err(Gate { reason: REASON.into(), fix: FIX.into() });
    Host { namespaces: closed(), landlock_abi: 0, seccomp: false, cgroup2: closed(), root: false }
}
