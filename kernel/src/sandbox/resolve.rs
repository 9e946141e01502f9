//! Which file a command names, and whether it may start.
//!
//! What is compared with `allowed_commands` is the file that will really be
//! executed, not how it was spelled: a copy of a shell called `python3`, a
//! symlink to one, a directory of the work dir on the PATH do not get around the
//! list. A program that starts others (`env`, the dynamic loader, a script by
//! its interpreter line) is a command of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::command::Command;
use super::error::{Error, Result};
use super::files::{Inputs, Pattern};
use super::policy::{GUEST_PATH, Policy};
use super::units::quoted;

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedProgram {
    /// Where it was found: absolute; what is executed. Symlinks stay in it, as
    /// some programs go by where they were called (Python in a virtualenv), but
    /// not where a list is to be kept.
    pub(crate) path: PathBuf,
    /// The file itself: absolute and free of symlinks.
    pub(crate) file: PathBuf,
    /// Device and inode of the file.
    identity: (u64, u64),
}

/// What is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Startable {
    /// This program.
    Program(ResolvedProgram),
    /// Nothing: the list does not allow it. The sentence is what users see.
    Refused(String),
}

/// Finds the program of `command` and compares it with the policy's list.
///
/// # Errors
///
/// [`Error::Config`] for a NUL in the program or an argument: the system would
/// cut them there; for files and patterns that could lead out of the work dir; and
/// for a wall-clock limit under which nothing could run. [`Error::NotFound`] and
/// [`Error::NotExecutable`] for a program that cannot start.
pub(crate) fn startable(command: &Command, policy: &Policy) -> Result<Startable> {
    check_arguments(command)?;
    let program = command.get_program();
    let path = policy.environment.get("PATH").map_or(GUEST_PATH, String::as_str);
    let refused = || {
        let program = program.to_string_lossy();
        Startable::Refused(format!("Command '{program}' not in allowed list"))
    };

    match resolve(program, path, &policy.work_dir) {
        Ok(found) if found.is_allowed(&policy.allowed_commands) => {
            Ok(Startable::Program(found.pinned(&policy.allowed_commands)))
        }
        Ok(_) => Ok(refused()),
        // A list that does not allow it does not tell either whether it exists.
        Err(_) if !names(program, &policy.allowed_commands) => Ok(refused()),
        Err(error) => Err(error),
    }
}

/// Whether a program that cannot be resolved is at least named by the list.
fn names(program: &OsStr, allowed: &[String]) -> bool {
    allowed.is_empty() || allowed.iter().any(|entry| OsStr::new(entry) == program)
}

fn check_arguments(command: &Command) -> Result<()> {
    let has_nul = |text: &OsString| text.as_bytes().contains(&0);
    let mut problems = Vec::new();
    if command.get_program().as_bytes().contains(&0) {
        problems.push("the program's name contains a NUL byte".to_owned());
    }
    for (index, _) in command.get_args().iter().enumerate().filter(|(_, arg)| has_nul(arg)) {
        problems.push(format!("argument {} contains a NUL byte", index + 1));
    }
    Inputs::check(command.get_files(), &mut problems);
    for pattern in command.get_collect() {
        if let Err(fault) = Pattern::new(pattern) {
            let pattern = quoted(&pattern.to_string_lossy());
            problems.push(format!("`collect` entry {pattern} {fault}"));
        }
    }
    if command.get_timeout().is_some_and(|timeout| timeout.is_zero()) {
        problems.push("`timeout` is 0; nothing could run".to_owned());
    }
    if !problems.is_empty() {
        return Err(Error::Config { problems });
    }
    if command.has_files() {
        return Err(Error::unsupported(
            "files",
            "this back end does not lay out or collect files yet",
            "write them to the `work_dir` before the run, and read them there after it",
        ));
    }
    Ok(())
}

/// Finds `program` the way `execvp` does, on `path_var`. A name with a slash is
/// taken from `work_dir`, the guest's current directory.
///
/// Entries of the PATH that are not absolute are passed over: they would mean
/// whatever lies in the work dir.
///
/// # Errors
///
/// [`Error::NotFound`], or [`Error::NotExecutable`] where something of that
/// name exists but cannot be executed.
pub(crate) fn resolve(program: &OsStr, path_var: &str, work_dir: &Path) -> Result<ResolvedProgram> {
    let name = || program.to_string_lossy().into_owned();
    let not_executable = |source| Error::NotExecutable { program: name(), source };
    if program.is_empty() {
        return Err(Error::NotFound { program: name() });
    }
    if program.as_bytes().contains(&b'/') {
        return match examine(work_dir.join(program)) {
            Ok(found) => Ok(found),
            Err(error) if is_missing(&error) => Err(Error::NotFound { program: name() }),
            Err(error) => Err(not_executable(error)),
        };
    }

    let mut denied = None;
    for directory in path_var.split(':').map(Path::new).filter(|entry| entry.is_absolute()) {
        match examine(directory.join(program)) {
            Ok(found) => return Ok(found),
            Err(error) if is_missing(&error) => {}
            Err(error) => denied = denied.or(Some(error)),
        }
    }
    Err(match denied {
        Some(error) => not_executable(error),
        None => Error::NotFound { program: name() },
    })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Looks at the file at `path`: it must be a regular one with an execute bit.
/// Whether the *guest* may execute it is for the system to say at the start.
fn examine(path: PathBuf) -> io::Result<ResolvedProgram> {
    let file = fs::canonicalize(&path)?;
    let found = fs::metadata(&file)?;
    if found.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    Ok(ResolvedProgram { path, file, identity: (found.dev(), found.ino()) })
}

impl ResolvedProgram {
    /// Under a list, only the file itself: a symlink on the way to it may lie
    /// where a guest can write, and lead elsewhere by the time of the start.
    fn pinned(mut self, allowed: &[String]) -> Self {
        if !allowed.is_empty() {
            self.path.clone_from(&self.file);
        }
        self
    }

    /// Whether `allowed` lists this file; an empty list is any.
    ///
    /// Both the file and its name count. The file, since a name can be given to
    /// anything; the name, since one file can be many programs that go by it
    /// (busybox, uutils).
    fn is_allowed(&self, allowed: &[String]) -> bool {
        // The list speaks of the system's programs: no work dir, no PATH of the
        // guest's own.
        allowed.is_empty()
            || allowed
                .iter()
                .filter_map(|entry| resolve(OsStr::new(entry), GUEST_PATH, Path::new("/")).ok())
                .any(|listed| {
                    let name = self.path.file_name();
                    listed.identity == self.identity
                        && (name == listed.path.file_name() || name == listed.file.file_name())
                })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::super::config::SandboxConfig;
    use super::*;

    /// A directory of its own for one test, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("neuroflow-resolve-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(fs::canonicalize(path).unwrap())
        }

        fn script(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn policy(&self, allowed: &[&str]) -> Policy {
            Policy::new(&SandboxConfig {
                work_dir: self.0.clone(),
                allowed_commands: allowed.iter().map(|&entry| entry.to_owned()).collect(),
                ..SandboxConfig::default()
            })
            .unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn is_refused(program: &str, policy: &Policy) -> bool {
        match startable(&Command::new(program), policy).unwrap() {
            Startable::Refused(sentence) => {
                assert_eq!(sentence, format!("Command '{program}' not in allowed list"));
                true
            }
            Startable::Program(_) => false,
        }
    }

    #[test]
    fn wall_clock_limit_of_zero_is_refused() {
        let policy = Scratch::new("zero").policy(&[]);
        let mut command = Command::new("true");
        command.timeout(Duration::ZERO);

        let refused = startable(&command, &policy).unwrap_err();
        command.timeout(Duration::from_nanos(1));

        assert_eq!(refused.to_string(), "`timeout` is 0; nothing could run");
        assert!(startable(&command, &policy).is_ok());
    }

    #[test]
    fn name_is_found_on_the_path_and_slash_means_the_work_dir() {
        let scratch = Scratch::new("lookup");
        let tool = scratch.script("tool", 0o755);

        let by_name = resolve(OsStr::new("sh"), GUEST_PATH, &scratch.0).unwrap();
        let by_path = resolve(OsStr::new("./tool"), GUEST_PATH, &scratch.0).unwrap();

        assert!(by_name.path.is_absolute() && by_name.path.ends_with("sh"));
        assert_eq!(by_path.file, tool);
    }

    #[test]
    fn relative_entries_of_the_path_are_passed_over() {
        let scratch = Scratch::new("relative");
        scratch.script("tool", 0o755);

        let error = resolve(OsStr::new("tool"), ".::bin", &scratch.0).unwrap_err();

        assert_eq!(error.code(), "not_found");
    }

    #[test]
    fn missing_program_is_told_from_one_that_cannot_be_executed() {
        let scratch = Scratch::new("missing");
        scratch.script("plain", 0o644);

        let code = |program| resolve(OsStr::new(program), "", &scratch.0).unwrap_err().code();

        assert_eq!(code(""), "not_found");
        assert_eq!(code("./nothing"), "not_found");
        assert_eq!(code("./plain/below"), "not_found");
        assert_eq!(code("./plain"), "not_executable");
        assert_eq!(code("./"), "not_executable");
    }

    #[test]
    fn listed_command_starts_by_its_name_its_path_and_its_real_name() {
        let scratch = Scratch::new("listed");
        let policy = scratch.policy(&["sh"]);
        let real = resolve(OsStr::new("sh"), GUEST_PATH, &scratch.0).unwrap().file;

        assert!(!is_refused("sh", &policy));
        assert!(!is_refused("/bin/sh", &policy));
        assert!(!is_refused(&real.to_string_lossy(), &policy));
        assert!(is_refused("env", &policy));
    }

    #[test]
    fn file_of_a_listed_name_in_the_work_dir_is_refused() {
        let scratch = Scratch::new("same-name");
        scratch.script("sh", 0o755);

        assert!(is_refused("./sh", &scratch.policy(&["sh"])));
        assert!(!is_refused("./sh", &scratch.policy(&[])));
    }

    #[test]
    fn symlink_is_what_it_points_to_and_may_not_rename_it() {
        let scratch = Scratch::new("symlink");
        symlink("/usr/bin/env", scratch.0.join("sh")).unwrap();
        symlink("/bin/sh", scratch.0.join("applet")).unwrap();
        let policy = scratch.policy(&["sh"]);

        assert!(is_refused("./sh", &policy), "it is env");
        assert!(is_refused("./applet", &policy), "a program may go by its name");
    }

    #[test]
    fn path_of_the_guest_does_not_make_another_file_the_listed_one() {
        let scratch = Scratch::new("guest-path");
        scratch.script("sh", 0o755);
        let mut policy = scratch.policy(&["sh"]);
        policy.environment.insert("PATH".into(), scratch.0.to_string_lossy().into_owned());

        assert!(is_refused("sh", &policy));
    }

    #[test]
    fn list_does_not_tell_whether_an_unlisted_file_exists() {
        let scratch = Scratch::new("oracle");
        let policy = scratch.policy(&["sh", "no-such-program"]);

        assert!(is_refused("/root/no-such-file", &policy));
        let error = startable(&Command::new("no-such-program"), &policy).unwrap_err();
        assert_eq!(error.code(), "not_found");
    }

    #[test]
    fn nul_in_program_or_arguments_is_a_config_error_that_names_each() {
        let scratch = Scratch::new("nul");
        let mut command = Command::new("s\0h");
        command.args(["fine", "cut\0here"]);

        let error = startable(&command, &scratch.policy(&[])).unwrap_err();

        assert_eq!(
            error.to_string(),
            "the program's name contains a NUL byte; argument 2 contains a NUL byte",
        );
    }
}
