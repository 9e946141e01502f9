//! `neuroflow wasm cache`, and where compiled modules are kept.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use kernel::sandbox::{Error, Result, wasm};

use crate::args::{CacheArgs, CacheCommand};

/// Below `XDG_CACHE_HOME`, else below `.cache` in the home directory. `None`
/// where neither is an absolute path.
pub(crate) fn directory() -> Option<PathBuf> {
    let of = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))?;
    Some(caches.join("neuroflow").join("wasm"))
}

/// Lists or clears what is kept.
///
/// # Errors
///
/// [`Error::Setup`] for a directory that cannot be used.
pub(crate) fn cache(args: &CacheArgs) -> Result<u8> {
    let Some(directory) = directory() else {
        return Err(Error::Unsupported {
            feature: "the cache".to_owned(),
            reason: "neither XDG_CACHE_HOME nor HOME is an absolute path".to_owned(),
            fix: "set one of them".to_owned(),
        });
    };
    let told = match args.command {
        CacheCommand::List => {
            let now = SystemTime::now();
            let lines = wasm::cached(&directory)?.into_iter().map(|artifact| {
                let ago = now.duration_since(artifact.used).unwrap_or_default().as_secs();
                format!("{}  {:>12} bytes  used {ago} s ago\n", artifact.module, artifact.bytes)
            });
            lines.collect()
        }
        CacheCommand::Clear => format!("removed {}\n", wasm::clear_cache(&directory)?),
    };
    io::stdout()
        .write_all(told.as_bytes())
        .map_err(|source| Error::Setup { step: "write the output".to_owned(), source })?;
    Ok(0)
}
