//! Reads a module from a file, no further than a module may be long.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use kernel::sandbox::wasm::MAX_MODULE_BYTES;
use kernel::sandbox::{Error, Result};

/// The bytes of the module at `path`.
///
/// # Errors
///
/// [`Error::NotFound`] and [`Error::NotExecutable`], as for a program.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    let unreadable = |source| Error::NotExecutable { program: name(), source };
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { program: name() },
        _ => unreadable(error),
    })?;
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that a module which is too long is seen
    // to be so; a pipe without an end does not fill our memory.
    file.take(MAX_MODULE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
