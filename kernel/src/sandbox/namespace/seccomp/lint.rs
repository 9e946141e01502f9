//! What is wrong with a profile before anything runs under it.

use std::fmt::Write as _;

use super::base::{Base, Sockets};
use super::profile::Profile;
use super::tree::Tree;
use super::widening::{self, Widening};
use super::{Filter, too_complex};
use crate::sandbox::error::{Error, Result};

/// What a dynamically linked program calls until its `main` returns: the
/// baseline for a profile of one's own. Calls of either architecture; those
/// that the other lacks are passed over there.
///
/// Found by tracing such programs with glibc 2.36 on x86_64, and by refusing
/// each call in turn.
pub const STARTUP: &[&str] = &[
    "access",
    "arch_prctl",
    "brk",
    "close",
    "execve",
    "exit_group",
    "faccessat",
    "fstat",
    "getrandom",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "openat",
    "pread64",
    "prlimit64",
    "read",
    "readlink",
    "readlinkat",
    "rseq",
    "set_robust_list",
    "set_tid_address",
    "write",
];

/// What `python3 -c 'print(1)'` calls beyond [`STARTUP`].
pub const PYTHON_STARTUP: &[&str] = &[
    "fcntl",
    "futex",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "gettid",
    "getuid",
    "ioctl",
    "lseek",
    "rt_sigaction",
    "sysinfo",
];

/// Without one of these no C program gets to its `main`, or its end. `write` is
/// how a failed exec is reported.
const VITAL: &[&str] = &["arch_prctl", "execve", "exit_group", "mprotect", "write"];

/// Without one of these, as well, no dynamically linked program does.
const VITAL_WHEN_LINKED: &[&str] = &["close", "mmap", "newfstatat", "openat", "pread64", "read"];

/// Without one of these, as well, Python does not start.
const VITAL_FOR_PYTHON: &[&str] = &["fcntl", "futex", "getdents64"];

/// What was found in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Calls without which nothing starts, static programs included.
    pub vital: Vec<&'static str>,
    /// Calls without which dynamically linked programs do not start.
    pub linked: Vec<&'static str>,
    /// Calls without which Python does not start.
    pub python: Vec<&'static str>,
    /// The calls of the start-up baseline that it refuses, vital or not.
    pub baseline: Vec<&'static str>,
    /// What stays refused in the namespace sandbox though the profile allows it.
    pub widened: Vec<Widening>,
    /// What may be meant otherwise than it works.
    pub notes: Vec<String>,
}

impl Lint {
    /// Reads a profile for this machine and looks through it.
    ///
    /// # Errors
    ///
    /// Those of [`Profile::read`]. What [`Lint`] lists is no error.
    pub fn read(text: &str) -> Result<Self> {
        Self::of(&Profile::read(text)?)
    }

    /// Looks through a profile.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when its filter would be longer than the kernel takes.
    pub fn of(profile: &Profile) -> Result<Self> {
        let mut tree = Tree::default();
        let mut refused = |names: &[&'static str]| {
            let mut refused = Vec::new();
            for name in names {
                if profile.arch.number(name).is_some() {
                    let decision = profile.rules(name).decide(&mut tree).map_err(too_complex)?;
                    if tree.constant(decision).is_some_and(|action| !action.lets_through()) {
                        refused.push(*name);
                    }
                }
            }
            Ok::<_, Error>(refused)
        };
        let (vital, linked) = (refused(VITAL)?, refused(VITAL_WHEN_LINKED)?);
        let (python, baseline) = (refused(VITAL_FOR_PYTHON)?, refused(STARTUP)?);
        let mut notes = profile.notes.clone();
        notes.extend(profile.contradictions().map(|name| {
            format!(
                "`{name}` is allowed by one entry and refused, whatever its arguments, by \
                 another: the refusal holds"
            )
        }));
        let base = Base::Namespace(Sockets::Internet);
        let widened = Filter::combined(base, profile)?.widened().to_vec();
        Ok(Self { vital, linked, python, baseline, widened, notes })
    }

    /// # Errors
    ///
    /// [`Error::Config`] for a profile under which no program can start. It
    /// names the calls that are missing and the start-up baseline.
    pub fn refuse_what_cannot_start(&self) -> Result<()> {
        if self.vital.is_empty() {
            return Ok(());
        }
        let mut missing = [self.vital.as_slice(), &self.linked].concat();
        missing.sort_unstable();
        Err(Error::config(format!(
            "seccomp profile: no program can start under it, it refuses {}; allow the start-up \
             baseline: {}",
            quoted(&missing),
            quoted(STARTUP),
        )))
    }

    /// One sentence for each kind of program that will not start, though others do.
    #[must_use]
    pub fn cautions(&self) -> Vec<String> {
        let caution = |who: &str, refused: &[&str]| {
            let refused = quoted(refused);
            format!("{who} cannot start under the seccomp profile: it refuses {refused}")
        };
        if !self.linked.is_empty() {
            vec![caution("dynamically linked programs", &self.linked)]
        } else if !self.python.is_empty() {
            vec![caution("python3", &self.python)]
        } else {
            Vec::new()
        }
    }

    /// Whether there is nothing to say but that some arguments stay refused, as
    /// for nearly every profile: only ours limits the arguments of `openat`.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.linked.is_empty()
            && self.vital.is_empty()
            && self.python.is_empty()
            && self.widened.iter().all(Widening::is_in_part)
            && self.notes.is_empty()
    }
}

impl std::fmt::Display for Lint {
    /// One finding a line; nothing at all for a clean profile.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        let mut missing = |severity: &str, who: &str, calls: &[&str]| {
            if !calls.is_empty() {
                let _ = writeln!(text, "{severity}: {who}: it refuses {}", quoted(calls));
            }
        };
        missing("error", "no program can start under it", &self.vital);
        missing("warning", "no dynamically linked program can start under it", &self.linked);
        missing("warning", "python3 cannot start under it", &self.python);
        let unusable = !self.vital.is_empty() || !self.linked.is_empty();
        if unusable && !self.baseline.is_empty() {
            let _ = writeln!(text, "hint: add to the allowed names: {}", quoted(&self.baseline));
        }
        let (parts, wholes): (Vec<&Widening>, Vec<&Widening>) =
            self.widened.iter().partition(|widening| widening.is_in_part());
        if !wholes.is_empty() {
            let _ = writeln!(text, "warning: stays refused: {}", widening::listed(&wholes));
        }
        if !parts.is_empty() {
            let limited = widening::listed(&parts);
            let _ = writeln!(text, "note: stays refused with some arguments: {limited}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        f.write_str(&text)
    }
}

fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
