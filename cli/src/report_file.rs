//! The file of `--report`: whole or not there at all, and written where it was
//! asked for, whatever the guest did to the directory meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kernel::sandbox::{Error, Report, Result};

/// A place for a report that was found good before the run.
#[derive(Debug)]
pub struct ReportFile {
    /// As the user wrote it, for messages.
    asked: PathBuf,
    /// Its directory, without a symlink in it.
    directory: PathBuf,
    target: PathBuf,
    scratch: PathBuf,
}

impl ReportFile {
    /// Finds out whether a report can be written to `path`, so that a run is
    /// not made in vain. Leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if something other than an ordinary file is there: a
    /// symlink (which would send the report elsewhere) or a device (which the
    /// report would replace); [`Error::Setup`] if the directory cannot be
    /// written to.
    pub fn prepare(path: &Path) -> Result<Self> {
        let problem = |problem| Err(Error::Config { problems: vec![problem] });
        let Some(name) = path.file_name() else {
            return problem(format!(
                "`{}` is not the name of a file for the report",
                path.display()
            ));
        };
        match fs::symlink_metadata(path) {
            Ok(there) if !there.is_file() => {
                return problem(format!(
                    "`{}` is not an ordinary file; name a file of its own for the report",
                    path.display()
                ));
            }
            _ => {}
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = parent.canonicalize().map_err(|error| failure(path, error))?;
        let mut scratch = std::ffi::OsString::from(".");
        scratch.push(name);
        scratch.push(format!(".{}.tmp", std::process::id()));
        let place = Self {
            asked: path.to_owned(),
            target: directory.join(name),
            scratch: directory.join(scratch),
            directory,
        };
        place.open_scratch().map_err(|error| failure(path, error))?;
        fs::remove_file(&place.scratch).map_err(|error| failure(path, error))?;
        Ok(place)
    }

    /// Writes the report beside its place and moves it there.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] with what the system said. What was there before stays.
    pub fn write(&self, report: &Report) -> Result<()> {
        let json = serde_json::to_vec_pretty(report);
        let mut text = json.map_err(|error| failure(&self.asked, error.into()))?;
        text.push(b'\n');
        self.write_text(&text)
    }

    /// The same for any text.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn write_text(&self, text: &[u8]) -> Result<()> {
        self.try_write(text).map_err(|error| {
            // The first error is the one that tells.
            let _ = fs::remove_file(&self.scratch);
            failure(&self.asked, error)
        })
    }

    fn try_write(&self, text: &[u8]) -> io::Result<()> {
        // A guest that may write here could have put a symlink in the place of
        // the directory. It is dead by now, so this stays true.
        if self.directory.canonicalize()? != self.directory {
            return Err(io::Error::other("its directory was replaced during the run"));
        }
        let mut file = self.open_scratch()?;
        file.write_all(text)?;
        fs::rename(&self.scratch, &self.target)
    }

    /// A new file: neither an old one nor what a symlink points to.
    fn open_scratch(&self) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(&self.scratch)
    }
}

fn failure(path: &Path, source: io::Error) -> Error {
    Error::Setup { step: format!("write `{}`", path.display()), source }
}
