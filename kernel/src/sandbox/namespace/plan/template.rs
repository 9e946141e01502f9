//! The template: the root that every sandbox of an isolator starts from.

use std::path::Path;

use super::step::{Owner, Step};
use super::surroundings::{DEVICES, Entry, Surroundings};
use super::{make_parents, push_once, shown};
use crate::sandbox::policy::{Access, Network, Policy};

pub(super) fn template(
    policy: &Policy,
    around: &Surroundings,
    caller: Owner,
    guest: Owner,
) -> Vec<Step> {
    let mut steps = Vec::new();
    if !around.root {
        steps.push(Step::NewUserNamespace { uid: caller.uid, gid: caller.gid });
    }
    steps.push(Step::NewMountNamespace);
    // First of all mounts, or those below would show on the host.
    steps.push(Step::PrivateMounts);
    // Needs the host's /proc, so before the new root covers it.
    let maps = owner_maps(around, guest);
    steps.extend(maps.iter().enumerate().map(|(map, owner)| Step::OwnerMap {
        map,
        owner: *owner,
        guest,
    }));
    steps.push(Step::HoldProc);
    steps.push(Step::NewRoot);

    for (path, entry) in &around.system {
        show_system(&mut steps, path, entry);
    }
    steps.push(Step::MakeDirectory("/etc".into()));
    for (name, content) in ETC_FILES {
        steps.push(Step::MakeFile { path: (*name).into(), content: (*content).into() });
    }
    for (path, entry) in &around.etc {
        show_system(&mut steps, path, entry);
    }
    if let (Network::All, Some(content)) = (&policy.network, &around.resolv_conf) {
        steps.push(Step::MakeFile { path: "/etc/resolv.conf".into(), content: content.clone() });
    }
    steps.push(Step::MakeDirectory("/dev".into()));
    for (device, ..) in DEVICES {
        steps.push(Step::MakeFile { path: (*device).into(), content: String::new() });
        steps.push(Step::Attach {
            source: (*device).into(),
            target: (*device).into(),
            access: Access::ReadWrite,
            device: true,
            map: None,
        });
    }
    for (link, target) in DEVICE_LINKS {
        steps.push(Step::MakeSymlink { path: (*link).into(), target: (*target).into() });
    }
    for mount_point in ["/dev/shm", "/tmp", "/var", "/var/tmp", "/run", "/home"] {
        steps.push(Step::MakeDirectory(mount_point.into()));
    }
    let mut made = Vec::new();
    for (index, (path, access)) in shown(policy).enumerate() {
        let (owner, directory) = around.shown.get(index).copied().unwrap_or((caller, true));
        make_parents(&mut steps, &mut made, path);
        if directory {
            push_once(&mut steps, &mut made, path);
        } else {
            steps.push(Step::MakeFile { path: path.into(), content: String::new() });
        }
        steps.push(Step::Attach {
            source: path.into(),
            target: path.into(),
            access,
            device: false,
            map: maps.iter().position(|mapped| *mapped == owner),
        });
    }
    steps.push(Step::MakeDirectory("/proc".into()));
    steps.push(Step::AttachProc);
    steps.push(Step::EnterRoot);
    // After the last directory was made in it.
    steps.push(Step::ReadOnlyRoot);
    if around.root {
        // Last: what stands above needs host root.
        steps.push(Step::BecomeUnprivileged(guest));
    }
    steps
}

/// The owners whose files the guest gets as its own. Rootless there is none: the
/// guest is the caller.
pub(crate) fn owner_maps(around: &Surroundings, guest: Owner) -> Vec<Owner> {
    let mut maps: Vec<Owner> = Vec::new();
    if around.root && !around.unmappable {
        for (owner, _) in &around.shown {
            if !maps.contains(owner) && *owner != guest {
                maps.push(*owner);
            }
        }
    }
    maps
}

fn show_system(steps: &mut Vec<Step>, path: &Path, entry: &Entry) {
    match entry {
        Entry::Link(target) => {
            steps.push(Step::MakeSymlink { path: path.into(), target: target.clone() });
            return;
        }
        Entry::Directory => steps.push(Step::MakeDirectory(path.into())),
        Entry::File => {
            steps.push(Step::MakeFile { path: path.into(), content: String::new() });
        }
    }
    steps.push(Step::Attach {
        source: path.into(),
        target: path.into(),
        access: Access::ReadOnly,
        device: false,
        map: None,
    });
}

/// Symbolic links that programs expect in /dev.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Files of /etc that are ours: the host's own would tell about the host.
const ETC_FILES: &[(&str, &str)] = &[
    (
        "/etc/passwd",
        "guest:x:1000:1000:guest:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("/etc/group", "guest:x:1000:\nnogroup:x:65534:\n"),
    ("/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"),
    ("/etc/hostname", "sandbox\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];
