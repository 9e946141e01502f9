//! The files and directories of a cgroup.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::sandbox::outcome::Stall;

/// A file that holds one number; `None` where this kernel has no such file, or it
/// says `max`.
pub(super) fn number(cgroup: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(cgroup.join(file)).ok()?.trim().parse().ok()
}

/// The number behind `key` in a file of `key number` lines.
pub(super) fn entry(cgroup: &Path, file: &str, key: &str) -> Option<u64> {
    entry_of(&fs::read_to_string(cgroup.join(file)).ok()?, key)
}

/// Likewise, in the text of such a file.
pub(super) fn entry_of(text: &str, key: &str) -> Option<u64> {
    let number = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    number?.parse().ok()
}

/// How long something was waited for, from a file of pressure stall information
/// (`Documentation/accounting/psi.rst`).
pub(super) fn stall(cgroup: &Path, file: &str) -> Option<Stall> {
    let text = fs::read_to_string(cgroup.join(file)).ok()?;
    stall_of(&text)
}

fn stall_of(text: &str) -> Option<Stall> {
    let total = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
        let field = line.split(' ').find_map(|field| field.strip_prefix("total="))?;
        Some(Duration::from_micros(field.parse().ok()?))
    };
    // Linux before 5.13 has no `full` line for the CPU.
    let full = total("full").unwrap_or_default();
    Some(Stall { some_ms: total("some")?.into(), full_ms: full.into() })
}

/// Makes a cgroup, unless it is there.
pub(super) fn make(cgroup: &Path) -> io::Result<()> {
    match fs::create_dir(cgroup) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Ends all that runs in a cgroup (Linux 5.14; where the file is missing the end of
/// init does the same).
pub(super) fn kill(cgroup: &Path) {
    let file = fs::OpenOptions::new().write(true).open(cgroup.join("cgroup.kill"));
    drop(file.and_then(|mut file| file.write_all(b"1")));
}

/// How long the last process of a cgroup may take to be gone once it is killed.
const ENDING: Duration = Duration::from_secs(2);

/// Removes a cgroup whose last process is ending or has ended.
pub(super) fn remove(cgroup: &Path) {
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_micros(100);
    while let Err(error) = fs::remove_dir(cgroup)
        && error.raw_os_error() == Some(libc::EBUSY)
        && waited < ENDING
    {
        std::thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_is_found_by_its_whole_name() {
        let text = "low 0\noom 1\noom_kill 3\n";

        assert_eq!(entry_of(text, "oom_kill"), Some(3));
        assert_eq!(entry_of(text, "oom"), Some(1));
        assert_eq!(entry_of(text, "oom_group_kill"), None);
    }

    #[test]
    fn stall_is_the_total_of_each_line() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=1000\n";

        let stall = stall_of(text).unwrap();

        assert_eq!(stall.some_ms.as_f64(), 12.345);
        assert_eq!(stall.full_ms.as_f64(), 1.0);
        assert_eq!(stall_of(""), None, "switched off at boot");
    }
}
