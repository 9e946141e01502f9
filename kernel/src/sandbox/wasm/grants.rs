//! What a module finds behind the imports that it is allowed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What stands behind the WASI imports of a module; by default nothing does but
/// the clocks and the random bytes of the host.
///
/// `allowed_imports` decides what a module may *call*; this decides what it
/// *finds* there. Both are needed: a directory is of no use to a module that may
/// not import `path_open`, and without a directory `path_open` opens nothing.
///
/// ```
/// use kernel::sandbox::wasm::{Grants, WasmSandbox};
/// use kernel::sandbox::WasmSandboxConfig;
///
/// let grants = Grants::default().args(["tool", "--check"]).variable("LANG", "C");
/// let config = WasmSandboxConfig {
///     allowed_imports: vec!["wasi_snapshot_preview1.*".into()],
///     ..WasmSandboxConfig::default()
/// };
/// let sandbox = WasmSandbox::new(config).with_grants(grants);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The arguments; the first is by custom the name of the program.
    pub args: Vec<String>,
    /// The environment variables.
    pub environment: BTreeMap<String, String>,
    /// The directories.
    pub directories: Vec<Directory>,
    /// What the clocks tell.
    pub clocks: Clocks,
    /// Where random bytes come from.
    pub random: Randomness,
}

/// A directory of the host that a module may reach, with all below it and
/// nothing else: not by `..`, not by an absolute path, not by a symlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// The name the module knows it by: `/data`, or `.`.
    pub guest: String,
    /// The directory; it must exist when a run starts.
    pub host: PathBuf,
    /// Whether the module may change anything below it.
    pub writable: bool,
}

/// What stands behind the clocks of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clocks {
    /// The host's.
    #[default]
    Real,
    /// The same for every run: they start at the beginning of the year 2000,
    /// advance by a nanosecond for each unit of fuel, and jump over what the
    /// module sleeps without waiting for it.
    Fixed,
}

/// What stands behind the random bytes of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Randomness {
    /// The host's generator.
    #[default]
    Real,
    /// A generator started from this number, the same for every run. Not for
    /// secrets.
    Seed(u64),
}

impl Grants {
    /// Grants under which the same module and input always give the same output
    /// and the same fuel: fixed clocks, and random bytes that 0 starts.
    #[must_use]
    pub fn deterministic() -> Self {
        Self { clocks: Clocks::Fixed, random: Randomness::Seed(0), ..Self::default() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Lets the module read below `host`, which it knows as `guest`.
    #[must_use]
    pub fn read(self, guest: impl Into<String>, host: impl AsRef<Path>) -> Self {
        self.directory(guest.into(), host.as_ref(), false)
    }

    /// Lets the module read and change what is below `host`, which it knows as
    /// `guest`.
    #[must_use]
    pub fn write(self, guest: impl Into<String>, host: impl AsRef<Path>) -> Self {
        self.directory(guest.into(), host.as_ref(), true)
    }

    /// Whether a run under these grants is determined by module and input.
    #[must_use]
    pub fn is_deterministic(&self) -> bool {
        self.clocks == Clocks::Fixed
            && self.random != Randomness::Real
            && self.directories.is_empty()
    }

    fn directory(mut self, guest: String, host: &Path, writable: bool) -> Self {
        self.directories.push(Directory { guest, host: host.to_owned(), writable });
        self
    }

    /// One sentence for each thing that cannot be granted.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for arg in self.args.iter().filter(|arg| arg.contains('\0')) {
            problems.push(format!("the argument {arg:?} has a NUL in it"));
        }
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                problems.push(format!("{name:?} is no name of a variable, or its value has a NUL"));
            }
        }
        for (index, directory) in self.directories.iter().enumerate() {
            if directory.guest.is_empty() || directory.guest.contains('\0') {
                problems.push(format!(
                    "the directory {} needs a name for the module",
                    directory.host.display()
                ));
            }
            if self.directories[..index].iter().any(|other| other.guest == directory.guest) {
                problems.push(format!("two directories are named `{}`", directory.guest));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grant_that_cannot_be_is_told() {
        let grants = Grants::default()
            .args(["a\0b"])
            .variable("A=B", "c")
            .read("/x", "/tmp")
            .write("/x", "/etc")
            .read("", "/");

        assert_eq!(grants.problems().len(), 4, "{:?}", grants.problems());
    }

    #[test]
    fn real_clocks_random_bytes_or_directories_are_not_deterministic() {
        assert!(Grants::deterministic().is_deterministic());
        assert!(!Grants::default().is_deterministic());
        assert!(!Grants::deterministic().read(".", "/tmp").is_deterministic());
    }
}
