//! Where the cgroup v2 hierarchy is mounted, and which cgroup of it we are in.

use std::fs;
use std::path::{Path, PathBuf};

/// Our place in the hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// Where the hierarchy, or the part of it that is shown to us, is mounted.
    pub(super) mount: PathBuf,
    /// The directory of the cgroup we are in.
    pub(super) path: PathBuf,
    /// Whether the mount is read-only.
    pub(super) read_only: bool,
}

/// Why there is no such place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nowhere {
    /// No cgroup v2 is mounted.
    NotMounted,
    /// What is mounted begins above or beside our cgroup namespace, so that names
    /// in it are not those by which the kernel calls our cgroup.
    ForeignMount,
}

/// Our place, as the kernel tells it.
pub(super) fn own() -> Result<Own, Nowhere> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    own_of(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

/// Field 4 of a mount is its root in the file system, 5 the mount point, 6 its
/// options; the type stands behind the dash (proc_pid_mountinfo(5)).
fn own_of(mounts: &str, cgroups: &str) -> Result<Own, Nowhere> {
    let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
    let cgroup = Path::new(cgroup.ok_or(Nowhere::NotMounted)?);
    let mut foreign = false;
    for line in mounts.lines() {
        let Some((fields, kind)) = line.split_once(" - ") else { continue };
        if !kind.starts_with("cgroup2 ") {
            continue;
        }
        let fields: Vec<&str> = fields.split(' ').collect();
        let [_, _, _, root, mount, options, ..] = fields[..] else { continue };
        // `/..` in either is a way out of our cgroup namespace.
        let above = |path: &Path| path.components().any(|part| part.as_os_str() == "..");
        let below = cgroup.strip_prefix(root).ok();
        match below.filter(|below| !above(Path::new(root)) && !above(below)) {
            Some(below) => {
                let mount = PathBuf::from(mount);
                // Joined to nothing a path would get a slash at its end.
                let path =
                    if below.as_os_str().is_empty() { mount.clone() } else { mount.join(below) };
                let super_options = kind.split(' ').nth(2).unwrap_or_default();
                let read_only = [options, super_options]
                    .iter()
                    .any(|options| options.split(',').any(|option| option == "ro"));
                return Ok(Own { mount, path, read_only });
            }
            None => foreign = true,
        }
    }
    Err(if foreign { Nowhere::ForeignMount } else { Nowhere::NotMounted })
}

/// Whether a controller is in use by cgroup v1, whose hierarchy then has it and v2
/// does not.
pub(super) fn is_with_v1(controller: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| {
        let kind = line.split_once(" - ").map(|(_, kind)| kind).unwrap_or_default();
        let options = kind.split(' ').nth(2).unwrap_or_default();
        kind.starts_with("cgroup ") && options.split(',').any(|option| option == controller)
    })
}

/// Whether a controller is switched off for good: `/proc/cgroups` has a column for
/// that, and `cgroup_disable=` at boot sets it to 0.
pub(super) fn is_disabled(controller: &str) -> bool {
    let table = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.first() == Some(&controller) && fields.get(3) == Some(&"0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(root: &str, point: &str, options: &str) -> String {
        format!(
            "30 23 0:26 {root} {point} {options},nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
        )
    }

    fn path_of(mounts: &str, cgroup: &str) -> Result<String, Nowhere> {
        own_of(mounts, &format!("1:cpu:/x\n0::{cgroup}\n"))
            .map(|own| own.path.to_string_lossy().into_owned())
    }

    #[test]
    fn own_cgroup_is_found_below_the_mount() {
        let whole = mount("/", "/sys/fs/cgroup", "rw");

        assert_eq!(path_of(&whole, "/").as_deref(), Ok("/sys/fs/cgroup"));
        assert_eq!(path_of(&whole, "/a.slice/b").as_deref(), Ok("/sys/fs/cgroup/a.slice/b"));
    }

    #[test]
    fn a_mount_of_a_part_shows_what_is_below_that_part() {
        let part = mount("/docker/1", "/sys/fs/cgroup", "rw");

        assert_eq!(path_of(&part, "/docker/1").as_deref(), Ok("/sys/fs/cgroup"));
        assert_eq!(path_of(&part, "/docker/1/x").as_deref(), Ok("/sys/fs/cgroup/x"));
        assert_eq!(path_of(&part, "/docker/12"), Err(Nowhere::ForeignMount));
    }

    #[test]
    fn a_mount_from_outside_of_our_namespace_is_not_taken_for_our_own() {
        let outside = mount("/../..", "/sys/fs/cgroup", "rw");

        assert_eq!(path_of(&outside, "/"), Err(Nowhere::ForeignMount));
        assert_eq!(path_of(&mount("/", "/c", "rw"), "/../x"), Err(Nowhere::ForeignMount));
        assert_eq!(path_of("", "/"), Err(Nowhere::NotMounted));
        let beside = outside + &mount("/", "/mine", "rw");
        assert_eq!(path_of(&beside, "/").as_deref(), Ok("/mine"));
    }

    #[test]
    fn a_read_only_mount_is_seen_as_one() {
        let own = |options| own_of(&mount("/", "/sys/fs/cgroup", options), "0::/").unwrap();

        assert!(own("ro").read_only);
        assert!(!own("rw").read_only);
    }
}
