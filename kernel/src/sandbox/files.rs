//! Files by name: what is laid into the work dir before a guest starts, and what
//! is collected out of it when nothing of the guest runs any more.
//!
//! # Theory of operation
//!
//! Both directions name files *relative to the work dir*, and neither can be led
//! out of it. On the way in, [`Inputs`] is checked as a whole before anything
//! runs. On the way out, `collect` walks the tree that a hostile guest left behind
//! and gives it no say in what it costs: every name is looked at from the
//! directory that holds it, links are not followed, only regular files are
//! opened, and entries, depth and bytes are bounded. What matched and was not
//! brought along is told with the reason, see [`Skipped`].

mod input;
mod pattern;

pub use input::InputFile;
pub(crate) use input::Inputs;
pub use pattern::Pattern;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something that [`Command::collect`](super::Command::collect) asked for and that
/// was not brought along.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Skipped {
    /// The path below the work dir, or the pattern that matched nothing. Bytes
    /// that are not UTF-8 read as U+FFFD.
    pub path: String,
    /// Why: `a symbolic link`, `a FIFO`, `64MiB are collected already`, ….
    pub why: String,
}

impl Skipped {
    /// That `path` was left where it is.
    #[allow(dead_code, reason = "for the back ends")]
    pub(crate) fn new(path: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self { path: path.into().to_string_lossy().into_owned(), why: why.into() }
    }
}
