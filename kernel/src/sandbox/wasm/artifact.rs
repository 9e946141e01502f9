//! Machine code of modules, kept in a private directory.
//!
//! The only unsafe code of the WASM back end is here: machine code that is
//! loaded is run as it is, so where it comes from is all there is to check.
#![allow(unsafe_code, reason = "loads machine code; this is the only such file of the back end")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasmtime::{Engine, Module};

use super::cache::Key;
use super::hash::hex;
use crate::sandbox::error::{Error, Result};

/// Bytes that a directory holds; what was used longest ago goes first.
const MOST_BYTES: u64 = 512 << 20;

const SUFFIX: &str = "cwasm";

/// A directory that only this user can change.
#[derive(Debug)]
pub(super) struct Artifacts {
    directory: PathBuf,
}

/// One file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Artifact {
    /// SHA-256 of the module, in hexadecimal.
    pub module: String,
    /// Bytes of machine code.
    pub bytes: u64,
    /// When it was last used.
    pub used: SystemTime,
    path: PathBuf,
}

impl Artifacts {
    /// Opens `directory`, and makes it if it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] for one that others could write to.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let failed = |error| {
            Error::setup(format!("use {} for compiled modules", directory.display()), error)
        };
        if !directory.exists() {
            make_private(directory).map_err(failed)?;
        }
        check_private(directory).map_err(failed)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// The code of the module `key`, if this engine's is here.
    pub(super) fn load(&self, engine: &Engine, key: &Key) -> Option<Module> {
        let path = self.path(engine, key);
        if !path.exists() {
            return None;
        }
        // SAFETY: the file lies in a directory that `open` found to belong to this
        // user and to be closed to all others, so only programs of this user can
        // have put it there; ours do so by `store`, whole and under the name of the
        // module. A user whose own programs are hostile is not protected by us.
        let loaded = unsafe { Module::deserialize_file(engine, &path) };
        if loaded.is_err() {
            // Cut short by a full disk, or of another version: compiled anew.
            let _ = std::fs::remove_file(&path);
        } else {
            touch(&path);
        }
        loaded.ok()
    }

    /// Keeps `code`. A failure costs the next run a compilation and nothing else.
    pub(super) fn store(&self, engine: &Engine, key: &Key, code: &[u8]) {
        let path = self.path(engine, key);
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        // Whole or not at all: another process may be looking for it.
        let written = new_private(&temporary)
            .and_then(|mut file| file.write_all(code))
            .and_then(|()| std::fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        self.shrink();
    }

    /// What is here, what was used last first.
    pub(super) fn list(&self) -> io::Result<Vec<Artifact>> {
        let mut artifacts = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != SUFFIX) {
                continue;
            }
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let metadata = std::fs::metadata(&path)?;
            artifacts.push(Artifact {
                module: stem.split('-').next().unwrap_or(stem).to_owned(),
                bytes: metadata.len(),
                used: metadata.modified()?,
                path,
            });
        }
        artifacts.sort_by_key(|artifact| std::cmp::Reverse(artifact.used));
        Ok(artifacts)
    }

    /// Removes everything; how many there were.
    pub(super) fn clear(&self) -> io::Result<usize> {
        let artifacts = self.list()?;
        for artifact in &artifacts {
            std::fs::remove_file(&artifact.path)?;
        }
        Ok(artifacts.len())
    }

    fn shrink(&self) {
        let Ok(artifacts) = self.list() else { return };
        let mut total = 0;
        for artifact in artifacts {
            total += artifact.bytes;
            if total > MOST_BYTES {
                let _ = std::fs::remove_file(&artifact.path);
            }
        }
    }

    /// Named by the module, and by all that the engine's code depends on: its
    /// version, its settings and the features of this processor.
    fn path(&self, engine: &Engine, key: &Key) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.directory.join(format!("{}-{:016x}.{SUFFIX}", hex(key), hasher.finish()))
    }
}

/// The module that a compiler of ours made of bytes that we gave it.
pub(super) fn from_compiler(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: the bytes come from a child process that we started from a program
    // the embedder named, through a pipe that nobody else holds. It is trusted as
    // the compiler in this process would be.
    unsafe { Module::deserialize(engine, code) }
}

fn touch(path: &Path) {
    if let Ok(file) = std::fs::File::options().append(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(unix)]
fn check_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    // Of the name itself: a symlink would let its owner choose the directory.
    let metadata = std::fs::symlink_metadata(directory)?;
    let own = rustix::process::geteuid().as_raw();
    let problem = if !metadata.is_dir() {
        "it is not a directory".to_owned()
    } else if metadata.uid() != own {
        format!("it belongs to user {}, and we are user {own}", metadata.uid())
    } else if metadata.mode() & 0o077 != 0 {
        format!("others may enter it; `chmod 700 {}` closes it", directory.display())
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

#[cfg(unix)]
fn new_private(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;

    std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> io::Result<()> {
    // Who else may write there is not told by a mode.
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn new_private(_: &Path) -> io::Result<std::fs::File> {
    Err(io::ErrorKind::Unsupported.into())
}
