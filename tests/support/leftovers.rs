//! What a run must not leave behind: one check for all of it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The state of the machine that a run must not change, as far as one process
/// can see it: its own descriptors, its children, its mounts, the cgroups, and
/// the SysV IPC objects.
///
/// Taken before a run and compared afterwards. It is of the whole test process,
/// so a test that uses it does not share one with tests that run guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftovers {
    descriptors: BTreeSet<String>,
    children: BTreeSet<String>,
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    ipc: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Leftovers {
    /// Looks at the machine; `folders` are places where a run could leave files.
    #[must_use]
    pub fn look(folders: &[&Path]) -> Self {
        Self {
            descriptors: descriptors(),
            children: children(),
            mounts: lines("/proc/self/mountinfo"),
            cgroups: cgroups(),
            ipc: ["msg", "sem", "shm"].into_iter().flat_map(ipc).collect(),
            files: folders.iter().flat_map(|folder| names(folder)).collect(),
        }
    }

    /// Compares the machine with what it was, for up to two seconds: what a run
    /// leaves must be gone when it returns, but the kernel frees a namespace's
    /// mounts a moment later.
    ///
    /// # Panics
    ///
    /// Names what is there that was not.
    pub fn assert_none_since(&self, folders: &[&Path]) {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let more = Self::look(folders).more_than(self);
            if more.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind:\n{more}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn more_than(&self, before: &Self) -> More {
        let pairs = [
            ("descriptor", &self.descriptors, &before.descriptors),
            ("child", &self.children, &before.children),
            ("mount", &self.mounts, &before.mounts),
            ("cgroup", &self.cgroups, &before.cgroups),
            ("IPC object", &self.ipc, &before.ipc),
            ("file", &self.files, &before.files),
        ];
        let new = pairs.into_iter().flat_map(|(kind, now, before)| {
            now.difference(before).map(move |what| format!("{kind}: {what}"))
        });
        More(new.collect())
    }
}

/// What is there and was not.
struct More(Vec<String>);

impl More {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Our open descriptors, as `number -> target`.
fn descriptors() -> BTreeSet<String> {
    entries(Path::new("/proc/self/fd"))
        .into_iter()
        // The one that reads this folder is gone by the time it is looked at.
        .filter_map(|path| {
            let target = fs::read_link(&path).ok()?;
            Some(format!("{} -> {}", path.file_name()?.display(), target.display()))
        })
        .filter(|line| !line.contains("/proc/self/fd") && !line.ends_with("/fd"))
        .collect()
}

/// Our child processes, zombies among them.
fn children() -> BTreeSet<String> {
    entries(Path::new("/proc/self/task"))
        .into_iter()
        .filter_map(|task| fs::read_to_string(task.join("children")).ok())
        .flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{pid} {}", name.trim_end())
        })
        .collect()
}

/// SysV objects of one kind, as `kind id of owner`. Those of other callers come
/// and go; what a guest makes belongs to the caller or to a guest's user id.
fn ipc(kind: &str) -> Vec<String> {
    /// Beyond it lie the ids that guests of root are given.
    const GUESTS: u32 = 0x7000_0000;

    let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let Some(header) = lines.next() else { return Vec::new() };
    let Some(column) = header.iter().position(|name| *name == "uid") else { return Vec::new() };
    let own = fs::metadata("/proc/self").map(|me| me.uid()).unwrap_or_default();
    lines
        .filter_map(|fields| {
            let owner: u32 = fields.get(column)?.parse().ok()?;
            let id = fields.get(1)?;
            (owner >= GUESTS || own != 0 && owner == own).then(|| format!("{kind} {id} of {owner}"))
        })
        .collect()
}

/// Every folder of the cgroup v2 tree, wherever it is mounted.
fn cgroups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = lines("/proc/self/mountinfo")
        .iter()
        .filter(|line| line.contains(" - cgroup2 "))
        .filter_map(|line| Some(line.split(' ').nth(4)?.into()))
        .collect();
    while let Some(folder) = folders.pop() {
        if !is_of_another(&folder) {
            found.insert(folder.display().to_string());
        }
        folders.extend(
            entries(&folder)
                .into_iter()
                .filter(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())),
        );
    }
    found
}

/// Whether it is a cgroup of a host that is not this process, or below one: other
/// tests run at the same time. Its name has the host's pid.
fn is_of_another(cgroup: &Path) -> bool {
    let own = std::process::id();
    cgroup.iter().filter_map(|part| part.to_str()?.strip_prefix("neuroflow-")).any(|rest| {
        let pid = rest.split(['-', '.']).next().and_then(|pid| pid.parse::<u32>().ok());
        pid.is_some_and(|pid| pid != own)
    })
}

/// Names in a folder, with their inode: one that was replaced is new.
fn names(folder: &Path) -> Vec<String> {
    entries(folder)
        .into_iter()
        .filter_map(|path| {
            let inode = fs::symlink_metadata(&path).ok()?.ino();
            Some(format!("{} (inode {inode})", path.display()))
        })
        .collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn lines(file: impl AsRef<Path>) -> BTreeSet<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_seen_and_a_closed_one_is_not() {
        // Tests beside this one open files too; nobody else has this one.
        let path = std::env::temp_dir().join(format!("leftovers-{}", std::process::id()));
        let before = Leftovers::look(&[]);
        let seen = |now: &Leftovers| {
            now.more_than(&before).0.iter().any(|line| {
                line.starts_with("descriptor: ") && line.contains(&*path.to_string_lossy())
            })
        };

        let file = fs::File::create(&path).unwrap();
        let while_open = Leftovers::look(&[]);
        drop(file);
        let when_closed = Leftovers::look(&[]);
        fs::remove_file(&path).unwrap();

        assert!(seen(&while_open));
        assert!(!seen(&when_closed));
    }
}
