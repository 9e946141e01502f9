//! The one error type: a variant per *who can act* on it.

use std::io;

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The sandbox could not do what it was asked.
///
/// A guest that fails is not an error: see [`Exit`](super::Exit).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked for something that contradicts itself or is malformed.
    /// Every contradiction found is listed, not only the first.
    #[error("{}", problems.join("; "))]
    Config {
        /// One sentence for each contradiction.
        problems: Vec<String>,
    },

    /// This host, or this version, cannot enforce what was asked. Nothing ran.
    #[error("{feature} is not supported here: {reason}")]
    Unsupported {
        /// The name of the protection or feature, as the config spells it.
        feature: String,
        /// What the host lacks, as it was found by trying.
        reason: String,
        /// What to change: a command for the administrator, or a config key.
        fix: String,
    },

    /// The program to run was not found (exit code 127 on the command line).
    #[error("`{program}` was not found on the sandbox's PATH")]
    NotFound {
        /// The program as it was asked for.
        program: String,
    },

    /// The program exists but cannot be executed (exit code 126).
    #[error("`{program}` cannot be executed: {source}")]
    NotExecutable {
        /// The program as it was asked for.
        program: String,
        /// What the system said.
        source: io::Error,
    },

    /// A setup step failed on this host just now, before the guest's first
    /// instruction.
    #[error("could not {step}: {source}")]
    Setup {
        /// The step in words: `mount proc on /proc`.
        step: String,
        /// The errno of the system call that failed.
        source: io::Error,
    },

    /// A defect of ours.
    #[error("internal error while trying to {doing}: {source}")]
    Internal {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// A stable name for programs to match on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "config",
            Self::Unsupported { .. } => "unsupported",
            Self::NotFound { .. } => "not_found",
            Self::NotExecutable { .. } => "not_executable",
            Self::Setup { .. } => "setup",
            Self::Internal { .. } => "internal",
        }
    }

    /// What the reader can do about it, where something can be done.
    #[must_use]
    pub fn fix(&self) -> Option<&str> {
        match self {
            Self::Unsupported { fix, .. } => Some(fix),
            _ => None,
        }
    }

    /// A config error with one problem.
    pub(crate) fn config(problem: impl Into<String>) -> Self {
        Self::Config { problems: vec![problem.into()] }
    }

    /// A missing capability of this host or version.
    pub(crate) fn unsupported(
        feature: impl Into<String>,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::Unsupported { feature: feature.into(), reason: reason.into(), fix: fix.into() }
    }

    /// A setup step that failed with `source`.
    pub(crate) fn setup(step: impl Into<String>, source: io::Error) -> Self {
        Self::Setup { step: step.into(), source }
    }

    /// A defect of ours, found while `doing` something.
    pub(crate) fn internal(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Internal { doing: doing.into(), source }
    }
}
