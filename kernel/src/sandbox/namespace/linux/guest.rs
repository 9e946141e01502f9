//! A guest of the namespace back end, as the supervision sees it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use neuroflow_launcher::wire::{Event, Report};
use rustix::process::Signal;

use super::super::plan::Step;
use super::Prepared;
use super::cgroup::Cgroup;
use super::handover::Handover;
use super::launch::{Launcher, receive};
use super::program;
use crate::sandbox::error::{Error, Result};
use crate::sandbox::outcome::Violation;
use crate::sandbox::proxy::Proxy;
use crate::sandbox::running::Sample;
use crate::sandbox::running::verdict::{Ended, Memory, Status};
use crate::sandbox::tree;

/// A guest with its init.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(super) init: OwnedFd,
    pub(super) pid: u32,
    /// Init, and after it the launcher, report here.
    pub(super) reports: OwnedFd,
    /// The run's cgroup, where the host has them.
    pub(super) cgroup: Option<Cgroup>,
    /// The work dir, where it had to be lent. Given back when nothing runs.
    pub(super) _handover: Option<Handover>,
    pub(super) prepared: Arc<Prepared>,
    /// As the caller named it, for errors.
    pub(super) program: String,
    /// The way out of its network, where there is one; closed with it.
    pub(super) proxy: Option<Proxy>,
    /// Lives while its sandboxes do.
    pub(super) _launcher: Arc<Launcher>,
}

impl Guest {
    /// Readable once the guest has ended, or could not be started.
    pub(crate) fn ended_fd(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }

    /// Ends the sandbox: the kernel kills what runs in init's PID namespace. Where
    /// it has none, init is told to do so by hand.
    pub(crate) fn kill(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        let alone = matches!(self.prepared.steps.init.first(), Some(Step::ForkInit { .. }));
        let signals: &[Signal] = match alone {
            // The guest may have stopped it: it is the same user.
            true => &[Signal::TERM, Signal::CONT],
            false => &[Signal::KILL],
        };
        for signal in signals {
            // It may have ended by itself just now.
            let _ = rustix::process::pidfd_send_signal(&self.init, *signal);
        }
    }

    /// What the sandbox takes now.
    pub(crate) fn sample(&mut self, suspect: Option<u64>) -> Sample {
        match &self.cgroup {
            Some(cgroup) => cgroup.sample(),
            None => {
                let tree = tree::sample(self.pid, suspect);
                // Init at its top is ours, and no process of the guest's.
                Sample { tasks: tree.tasks.saturating_sub(1), ..tree }
            }
        }
    }

    /// The destinations that the proxy refused so far.
    pub(crate) fn refused(&self) -> Vec<Violation> {
        self.proxy.as_ref().map(Proxy::refused).unwrap_or_default()
    }

    /// Waits until nothing of the sandbox runs, and tells how the guest ended.
    ///
    /// # Errors
    ///
    /// What kept the guest from starting: a step, or the program itself.
    pub(crate) fn collect(self) -> Result<Ended> {
        let mut ended = None;
        let mut failed = None;
        loop {
            let (report, _) = receive(self.reports.as_fd())
                .map_err(|source| Error::internal("hear how the guest ended", source))?;
            match report.event {
                event if event == Event::Ended as u32 => ended = Some(report),
                event if event == Event::Failed as u32 => failed = failed.or(Some(report)),
                event if event == Event::Gone as u32 => {
                    return match failed {
                        Some(failure) => Err(self.failure(&failure)),
                        None => Ok(self.ended(ended.as_ref(), &report)),
                    };
                }
                _ => {}
            }
        }
    }

    /// How the guest ended and what it used, by the cgroup where there is one.
    fn ended(&self, ended: Option<&Report>, gone: &Report) -> Ended {
        let by_wait = ended_by_wait(ended, gone);
        let Some(counted) = self.cgroup.as_ref().map(Cgroup::counted) else { return by_wait };
        Ended {
            cpu_user: counted.cpu_user,
            cpu_system: counted.cpu_system,
            max_rss_bytes: counted.peak_bytes.unwrap_or(by_wait.max_rss_bytes),
            memory: match counted.short_of_memory {
                Some(shortage) => Memory::RanOut(shortage),
                None => Memory::Sufficed,
            },
            pids_refused: Some(counted.forks_refused),
            most_tasks: counted.peak_tasks,
            pressure: counted.pressure,
            ..by_wait
        }
    }

    /// The step that failed, in words.
    fn failure(&self, report: &Report) -> Error {
        let source = io::Error::from_raw_os_error(report.errno);
        match program::step_of_run(&self.prepared.steps, report.step) {
            Some(Step::Exec(_)) if report.errno == libc::ENOENT => {
                Error::NotFound { program: self.program.clone() }
            }
            Some(Step::Exec(_)) if matches!(report.errno, libc::EACCES | libc::ENOEXEC) => {
                Error::NotExecutable { program: self.program.clone(), source }
            }
            Some(step) => Error::setup(step.to_string(), source),
            None => Error::setup("start the guest", source),
        }
    }
}

/// How the guest ended, with what the whole sandbox used: init has waited for
/// all there was. Without a word of init, init was killed, and the guest with it.
fn ended_by_wait(ended: Option<&Report>, gone: &Report) -> Ended {
    let status = ended.map_or(libc::SIGKILL, |report| report.status);
    let status = if libc::WIFEXITED(status) {
        Status::Exited(libc::WEXITSTATUS(status))
    } else {
        Status::Signalled(libc::WTERMSIG(status))
    };
    let most = |of: fn(&Report) -> u64| ended.map_or(0, of).max(of(gone));
    Ended {
        status,
        cpu_user: Duration::from_micros(most(|report| report.cpu_user_us)),
        cpu_system: Duration::from_micros(most(|report| report.cpu_system_us)),
        max_rss_bytes: most(|report| report.max_rss_kib) * 1024,
        memory: Memory::Unwatched,
        pids_refused: None,
        most_tasks: None,
        pressure: None,
    }
}
