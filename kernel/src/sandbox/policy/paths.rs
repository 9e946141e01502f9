//! The work dir and the allowed paths: every look at the file system that a
//! policy takes is in this file.
//!
//! What is checked here can change before the run begins. A back end opens each
//! path again without following symlinks; these checks are there to explain,
//! and to make sure that what the user wrote and what is opened are one path.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Access, AllowedPath};
use crate::sandbox::units::quoted;

/// What lies below is the kernel's, not the user's: magic links lead out of the
/// sandbox, and knobs change the host.
const KERNEL_TREES: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Read-only in every sandbox, so nothing in the list may be asked for writable.
const SYSTEM_DIRS: [&str; 8] =
    ["/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/sbin", "/usr"];

/// Checks the work dir and makes it absolute.
///
/// It need not exist; whatever exists of it must be directories.
pub(super) fn work_dir(work_dir: &Path, problems: &mut Vec<String>) -> PathBuf {
    writable_work_dir(work_dir).unwrap_or_else(|problem| {
        problems.push(format!("`work_dir` {} {problem}", quoted_path(work_dir)));
        work_dir.to_owned()
    })
}

/// The work dir of a user who named none: the default one, or, where that is
/// another user's already, one beside it with our number in its name. A back end
/// still refuses it if it is not ours.
pub(super) fn default_work_dir(default: &Path) -> PathBuf {
    own_user().map_or_else(|| default.to_owned(), |own| work_dir_of(default, own))
}

#[cfg(unix)]
fn work_dir_of(default: &Path, own: u32) -> PathBuf {
    use std::os::unix::fs::MetadataExt;

    match fs::symlink_metadata(default) {
        Ok(found) if found.uid() != own => {
            let mut beside = default.as_os_str().to_owned();
            beside.push(format!("-{own}"));
            beside.into()
        }
        _ => default.to_owned(),
    }
}

#[cfg(not(unix))]
fn work_dir_of(default: &Path, _: u32) -> PathBuf {
    default.to_owned()
}

/// Our user, where the system tells without being called.
fn own_user() -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        fs::metadata("/proc/self").ok().map(|own| own.uid())
    }
    #[cfg(not(target_os = "linux"))]
    None
}

fn writable_work_dir(work_dir: &Path) -> Result<PathBuf, String> {
    plain(work_dir)?;
    let absolute = if work_dir.is_absolute() {
        system_links(work_dir)
    } else {
        let current = std::env::current_dir()
            .map_err(|error| format!("is relative, and the current directory is lost: {error}"))?;
        // A directory outside our root reads as `(unreachable)/…` (getcwd(2)).
        if !current.is_absolute() {
            return Err("is relative, and the current directory is unreachable".into());
        }
        current.join(work_dir)
    };
    outside_the_system(&lexical(&absolute), Access::ReadWrite)?;
    let walk = walk(&absolute)?;
    match walk.found {
        Some(metadata) if !metadata.is_dir() => Err("is not a directory".into()),
        _ => Ok(walk.path),
    }
}

/// Checks the entries of `allowed_paths`, one by one and against each other.
pub(super) fn allowed_paths(
    entries: &[String],
    work_dir: &Path,
    problems: &mut Vec<String>,
) -> Vec<AllowedPath> {
    let mut seen: BTreeMap<PathBuf, Access> = BTreeMap::new();
    let mut allowed = Vec::new();
    for entry in entries {
        let found = match allowed_path(entry) {
            Ok(found) => found,
            Err(problem) => {
                problems.push(format!("`allowed_paths` entry {} {problem}", quoted(entry)));
                continue;
            }
        };
        let path = quoted_path(&found.path);
        if found.path == work_dir {
            if found.access == Access::ReadOnly {
                problems.push(format!(
                    "`allowed_paths` has {path} read-only, but it is the `work_dir`, which is writable",
                ));
            }
            // Writable, it says nothing that `work_dir` does not.
            continue;
        }
        match seen.insert(found.path.clone(), found.access) {
            None => allowed.push(found),
            Some(access) if access == found.access => {
                problems.push(format!("`allowed_paths` lists {path} twice"));
            }
            Some(_) => problems.push(format!(
                "`allowed_paths` lists {path} both read-only and read-write; keep one of them",
            )),
        }
    }
    allowed
}

fn allowed_path(entry: &str) -> Result<AllowedPath, String> {
    let (path, access) = match entry.rsplit_once(':') {
        Some((path, "ro")) => (path, Access::ReadOnly),
        Some((path, "rw")) => (path, Access::ReadWrite),
        _ => (entry, Access::ReadWrite),
    };
    let path = Path::new(path);
    plain(path)?;
    if !path.is_absolute() {
        return Err(match std::env::current_dir() {
            Ok(current) => {
                format!("is relative; write {}", quoted_path(&lexical(&current.join(path))))
            }
            Err(_) => "is relative; write it from `/`".into(),
        });
    }
    let path = system_links(path);
    outside_the_system(&lexical(&path), access)?;
    let walk = walk(&path)?;
    match walk.found {
        None => Err("does not exist; make it first, or leave it out".into()),
        Some(metadata) if metadata.is_dir() || metadata.is_file() => {
            Ok(AllowedPath { path: walk.path, access })
        }
        Some(_) => Err("is neither a file nor a directory; devices, sockets and pipes of the \
                        host stay out of reach"
            .into()),
    }
}

/// Whether `path` can be handed to the system unchanged.
fn plain(path: &Path) -> Result<(), String> {
    match path.to_str() {
        Some("") => Err("is empty".into()),
        Some(text) if text.contains('\0') => Err("contains a NUL byte".into()),
        Some(_) => Ok(()),
        // HOME names it, and the receipt and the config files spell it.
        None => Err("is not UTF-8".into()),
    }
}

/// Refuses by the spelling alone, before anything is looked at: what a path
/// below `/proc` leads to depends on who looks.
fn outside_the_system(path: &Path, access: Access) -> Result<(), String> {
    if path == Path::new("/") {
        return Err("is the whole host; name the directories that are needed".into());
    }
    if let Some(tree) = KERNEL_TREES.iter().find(|tree| path.starts_with(tree)) {
        return Err(format!(
            "is part of `{tree}`, which belongs to the kernel; a sandbox has its own or none",
        ));
    }
    if access == Access::ReadWrite && SYSTEM_DIRS.iter().any(|dir| path == Path::new(dir)) {
        return Err(format!(
            "is a directory of the system, which is never writable inside; write `{}:ro` under \
             `allowed_paths`, or name a directory below it",
            path.display(),
        ));
    }
    Ok(())
}

/// Where a walk along a path came out.
struct Walk {
    /// Absolute, without `.` and `..`, no symlink on the way.
    path: PathBuf,
    /// What lies there; `None` where nothing does yet.
    found: Option<fs::Metadata>,
}

/// Follows `path` component by component and refuses the first symlink.
///
/// A symlink is refused even if it leads somewhere harmless: an earlier run may
/// have put it there, and may point it elsewhere between this look and the
/// mount.
fn walk(path: &Path) -> Result<Walk, String> {
    let mut at = PathBuf::new();
    let mut found: Option<fs::Metadata> = None;
    for component in path.components() {
        match component {
            Component::Prefix(prefix) => {
                at.push(prefix.as_os_str());
                continue;
            }
            Component::CurDir => continue,
            Component::RootDir => at.push(component),
            Component::ParentDir => {
                at.pop();
            }
            Component::Normal(name) => {
                if found.as_ref().is_some_and(|metadata| !metadata.is_dir()) {
                    return Err(format!("passes through {}, which is a file", quoted_path(&at)));
                }
                at.push(name);
            }
        }
        found = look(&at)?;
        if found.as_ref().is_some_and(fs::Metadata::is_symlink) {
            let subject = if at == path { "is" } else { "passes through" };
            let link = quoted_path(&at);
            return Err(match fs::canonicalize(path) {
                Ok(target) => format!(
                    "{subject} the symlink {link}; write where it leads, {}",
                    quoted_path(&target),
                ),
                Err(_) => format!("{subject} the symlink {link}, which leads nowhere"),
            });
        }
    }
    Ok(Walk { path: at, found })
}

fn look(path: &Path) -> Result<Option<fs::Metadata>, String> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot be looked at: {}: {error}", path.display())),
    }
}

/// `path` with `.` and `..` taken out by their spelling alone: where a [`walk`]
/// comes out if it meets no symlink.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            component => plain.push(component),
        }
    }
    plain
}

/// On macOS `/tmp`, `/var` and `/etc` are symlinks into `/private` that only the
/// system can change. Elsewhere nothing is rewritten.
fn system_links(path: &Path) -> PathBuf {
    let linked = cfg!(target_os = "macos")
        && ["/tmp", "/var", "/etc"].iter().any(|link| path.starts_with(link));
    match path.strip_prefix("/") {
        Ok(rest) if linked => Path::new("/private").join(rest),
        _ => path.to_owned(),
    }
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn default_work_dir_of_another_user_is_passed_by() {
        let dir = tempfile::tempdir().unwrap();
        let own = fs::metadata(&dir).unwrap().uid();
        let missing = dir.path().join("missing");

        assert_eq!(work_dir_of(dir.path(), own), dir.path());
        assert_eq!(work_dir_of(&missing, own), missing);
        let beside = format!("{}-{}", dir.path().display(), own + 1);
        assert_eq!(work_dir_of(dir.path(), own + 1), Path::new(&beside));
    }
}
