//! What is there of a soak: processes, mounts, cgroups, files, keyrings, objects.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::host;

/// Everything that could be left, a line each.
pub(crate) struct Count(BTreeSet<String>);

/// How long the kernel may take to take a namespace apart.
const PATIENCE: Duration = Duration::from_secs(10);

impl Count {
    /// Looks at the machine. `hosts` are the pids of all hosts there were.
    pub(crate) fn of(folder: &Path, hosts: &[u32]) -> Self {
        let ids: BTreeSet<u32> = hosts.iter().map(|host| guest_id(*host)).collect();
        let mut lines = BTreeSet::new();
        lines.extend(processes(folder, hosts, &ids));
        lines.extend(mounts(folder));
        lines.extend(cgroups(hosts));
        lines.extend(files(folder, &ids));
        lines.extend(keyrings(&ids));
        lines.extend(["msg", "sem", "shm"].into_iter().flat_map(|kind| ipc(kind, &ids)));
        lines.extend(descriptors());
        Self(lines)
    }

    /// What is there now and was not then.
    pub(crate) fn left_since(&self, folder: &Path, hosts: &[u32]) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Self::of(folder, hosts);
            let left: Vec<String> = now.0.difference(&self.0).cloned().collect();
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The id that guests of a root host have, see `kernel::sandbox::namespace`.
fn guest_id(host: u32) -> u32 {
    0x7000_0000 + (host & 0xffff)
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Those of a guest's id, those with a guest's mark in the command line, and those
/// with the folder's name in the environment, which hosts have.
fn processes(folder: &Path, hosts: &[u32], ids: &BTreeSet<u32>) -> Vec<String> {
    let mark = host::mark(folder);
    let has = |file: &str, text: &str| {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let own = std::process::id();
    pids()
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let uid = fs::metadata(format!("/proc/{pid}")).map(|process| process.uid());
            hosts.contains(pid)
                || uid.is_ok_and(|uid| ids.contains(&uid))
                || has(&format!("/proc/{pid}/cmdline"), &mark)
                || has(&format!("/proc/{pid}/environ"), &folder.to_string_lossy())
        })
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("process {pid} {}", name.trim_end())
        })
        .collect()
}

fn mounts(folder: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let ours =
        |line: &&str| line.contains(&*folder.to_string_lossy()) || line.contains("neuroflow");
    table.lines().filter(ours).map(|line| format!("mount {line}")).collect()
}

/// Those that bear the pid of a host.
fn cgroups(hosts: &[u32]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix("neuroflow-"));
            let pid = rest.and_then(|rest| rest.split(['-', '.']).next()?.parse().ok());
            if pid.is_some_and(|pid: u32| hosts.contains(&pid)) {
                found.push(format!("cgroup {}", entry.path().display()));
            }
            folders.push(entry.path());
        }
    }
    found
}

/// In the folder all but what guests may leave in their work dirs; elsewhere what
/// belongs to a guest.
fn files(folder: &Path, ids: &BTreeSet<u32>) -> Vec<String> {
    let mut found: Vec<String> = entries(&folder.join("tmp"));
    found.extend(
        entries(folder)
            .into_iter()
            .filter(|path| !path.ends_with("tmp") && !path.ends_with("work")),
    );
    for backend in ["namespace", "process"] {
        let left = entries(&folder.join("work").join(backend)).into_iter();
        found.extend(left.filter(|path| !path.contains("/large-")));
    }
    let shared = ["/tmp", "/var/tmp", "/dev/shm", "/run"]
        .into_iter()
        .flat_map(|place| entries(Path::new(place)));
    found.extend(
        shared
            .filter(|path| fs::symlink_metadata(path).is_ok_and(|file| ids.contains(&file.uid()))),
    );
    found.into_iter().map(|path| format!("file {path}")).collect()
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

/// Users with keys: `uid: usage …` (keyrings(7)).
fn keyrings(ids: &BTreeSet<u32>) -> Vec<String> {
    let table = fs::read_to_string("/proc/key-users").unwrap_or_default();
    let user = |line: &str| line.split(':').next()?.trim().parse().ok();
    table
        .lines()
        .filter(|line| user(line).is_some_and(|uid: u32| ids.contains(&uid)))
        .map(|line| format!("keys of {}", line.trim()))
        .collect()
}

fn ipc(kind: &str, ids: &BTreeSet<u32>) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let Some(header) = lines.next() else { return Vec::new() };
    let Some(column) = header.iter().position(|name| *name == "uid") else { return Vec::new() };
    lines
        .filter(|fields| {
            let owner = fields.get(column).and_then(|field| field.parse().ok());
            owner.is_some_and(|owner: u32| ids.contains(&owner))
        })
        .map(|fields| format!("{kind} object {}", fields.join(" ")))
        .collect()
}

/// The supervisor's own.
fn descriptors() -> Vec<String> {
    entries(Path::new("/proc/self/fd"))
        .into_iter()
        .filter_map(|path| Some((fs::read_link(&path).ok()?, path)))
        .filter(|(target, _)| !target.ends_with("fd"))
        .map(|(target, path)| format!("descriptor {path} -> {}", target.display()))
        .collect()
}

/// The launchers of a host: its children.
pub(crate) fn launchers(host: u32) -> Vec<u32> {
    children(host)
}

/// Inits and guests, at any depth below the launchers of a host.
pub(crate) fn below(host: u32) -> Vec<u32> {
    let mut found: Vec<u32> = launchers(host).into_iter().flat_map(children).collect();
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        found.extend(children(pid));
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    found
}
