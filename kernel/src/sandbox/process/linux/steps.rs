//! Policy → list of steps, without a root of the guest's own.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::super::config::SandboxSecurityLevel as Level;
use super::super::super::error::{Error, Result};
use super::super::super::namespace::plan::{
    DEVICES, Entry, GUEST_ID, LandlockRule, Launch, Owner, Rights, Step, Steps, Surroundings,
    guest_steps, own_network, owner_maps, private_tmp, shown,
};
use super::super::super::policy::{Access, Network, Policy, Syscalls};
use super::super::super::resolve::ResolvedProgram;

/// Works out every step, in order. The reason stands beside a line that cannot
/// move.
pub(super) fn of(
    policy: &Policy,
    around: &Surroundings,
    covers: &[PathBuf],
    launch: &Launch,
) -> Steps {
    let inside = Owner { uid: GUEST_ID, gid: GUEST_ID };
    // Rootless, the launcher sees itself as GUEST_ID of its own namespace.
    let guest = around.guest.filter(|_| around.root).unwrap_or(inside);
    let mut after = Vec::new();
    if !no_new_privs(policy) {
        // Not for the guest, which is forked by now: a filter needs it.
        after.push(Step::NoNewPrivs);
    }
    after.push(Step::ConfineInit);
    Steps {
        template: template(policy, around, covers, guest),
        next: match policy.network {
            Network::Hosts(_) => own_network(),
            _ if policy.level >= Level::Strict => own_network(),
            Network::None | Network::All => Vec::new(),
        },
        init: init(policy, around, guest, launch.cgroup),
        guest: guest_steps(policy, launch),
        after,
    }
}

/// MINIMAL is limits only; but no filter can be had without it.
pub(super) fn no_new_privs(policy: &Policy) -> bool {
    policy.level > Level::Minimal || matches!(policy.syscalls, Syscalls::Profile(_))
}

fn template(policy: &Policy, around: &Surroundings, covers: &[PathBuf], guest: Owner) -> Vec<Step> {
    let caller = around.caller.unwrap_or(guest);
    if !around.root {
        // The guest is the caller: the files are its own already.
        return vec![
            Step::NewUserNamespace { uid: caller.uid, gid: caller.gid },
            Step::NewMountNamespace,
            Step::PrivateMounts,
        ];
    }

    let mut steps = vec![
        Step::NewMountNamespace,
        // First of all mounts, or those below would show on the host.
        Step::PrivateMounts,
    ];
    let maps = owner_maps(around, guest);
    let numbered = maps.iter().enumerate();
    steps.extend(numbered.map(|(map, owner)| Step::OwnerMap { map, owner: *owner, guest }));

    let hold = |path: &Path, (owner, _): &(Owner, bool)| Step::HoldMapped {
        path: path.into(),
        map: maps.iter().position(|known| known == owner),
    };
    let is_hidden = |path: &Path| covers.iter().any(|cover| path.starts_with(cover));
    let (hidden, open): (Vec<_>, Vec<_>) = shown(policy)
        .map(|(path, _)| path)
        .zip(&around.shown)
        .partition(|(path, _)| is_hidden(path));
    // Before the covers, which put it out of reach.
    steps.extend(hidden.iter().map(|(path, found)| hold(path, found)));
    steps.extend(covers.iter().cloned().map(Step::Cover));
    for (index, (path, (_, directory))) in hidden.iter().enumerate() {
        // Below something shown the way is there already.
        if !hidden[..index].iter().any(|(above, _)| path.starts_with(above)) {
            steps.push(Step::MakeWay { path: (*path).into(), directory: *directory });
        }
        steps.push(Step::ShowTree((*path).into()));
    }
    for (path, found) in open {
        steps.push(hold(path, found));
        steps.push(Step::ShowTree(path.into()));
    }
    // Last: what stands above needs host root.
    steps.push(Step::BecomeUnprivileged(guest));
    steps
}

fn init(policy: &Policy, around: &Surroundings, guest: Owner, cgroup: bool) -> Vec<Step> {
    let strict = policy.level >= Level::Strict;
    let mut steps = vec![
        Step::NewNamespaces { cgroup },
        Step::DieWithLauncher,
        Step::MapIds { outside: guest },
    ];
    if strict {
        private_tmp(&mut steps, policy, around);
    }
    // The host's /proc would show the host's processes, and /proc/self nothing.
    steps.push(Step::MountProc);
    if let Network::Hosts(_) = policy.network {
        steps.push(Step::OpenWayOut);
    }
    steps.push(Step::NewKeyring);
    // After the last mount: a mount needs CAP_SYS_ADMIN, and Landlock refuses it.
    steps.push(Step::DropCapabilities);
    if no_new_privs(policy) {
        steps.push(Step::NoNewPrivs);
    }
    steps.push(Step::Undumpable);
    if strict {
        let rules = landlock_rules(policy, around);
        steps.push(Step::Landlock { abi: around.landlock_abi, rules });
    }
    steps.push(Step::ForkGuest);
    steps
}

/// The work dir, the allowed paths, private temporary files, and of the system
/// what programs need. Not the root: a rule holds for all that is below.
pub(super) fn landlock_rules(policy: &Policy, around: &Surroundings) -> Vec<LandlockRule> {
    let mut rules = Vec::new();
    let mut allow = |path: &Path, rights, directory| {
        rules.push(LandlockRule { path: path.into(), rights, directory });
    };
    for (path, entry) in &around.system {
        if *entry == Entry::Directory {
            allow(path, Rights::ReadExecute, true);
        }
    }
    for (path, entry) in &around.etc {
        allow(path, Rights::Read, *entry == Entry::Directory);
    }
    for path in NAMES.iter().map(Path::new).filter(|path| path.is_file()) {
        allow(path, Rights::Read, false);
    }
    allow(Path::new("/proc"), Rights::Read, true);
    for (device, ..) in DEVICES {
        allow(Path::new(device), Rights::Device, false);
    }
    allow(Path::new("/dev/shm"), Rights::All, true);
    allow(Path::new("/tmp"), Rights::All, true);
    for ((path, access), (_, directory)) in shown(policy).zip(&around.shown) {
        let rights = match access {
            Access::ReadOnly => Rights::ReadExecute,
            Access::ReadWrite => Rights::All,
        };
        allow(path, rights, *directory);
    }
    rules
}

/// By which programs turn numbers into names. Without a root of its own the
/// guest gets the host's, which everybody may read.
const NAMES: &[&str] = &["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts"];

/// The directories on the way to something shown that the guest's user could not
/// enter, the topmost each: `/root`, as a rule.
pub(super) fn covers(policy: &Policy, around: &Surroundings) -> Vec<PathBuf> {
    if !around.root {
        return Vec::new();
    }
    let mut covers: Vec<PathBuf> = Vec::new();
    for closed in shown(policy).filter_map(|(path, _)| closed_on_the_way(policy, path)) {
        if !covers.contains(&closed) {
            covers.push(closed);
        }
    }
    covers
}

/// The first directory above `path` that not everybody may enter. Not below
/// something shown: the guest is the owner there.
pub(super) fn closed_on_the_way(policy: &Policy, path: &Path) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    above
        .into_iter()
        .take_while(|directory| !shown(policy).any(|(shown, _)| shown == *directory))
        // One that is still to be made will be its owner's alone.
        .find(|directory| fs::metadata(directory).map_or(true, |it| it.mode() & 0o001 == 0))
        .map(Path::to_path_buf)
}

/// Says so before the start when the guest's user cannot get to the program:
/// the system would only say that permission is denied.
pub(super) fn check_way(
    policy: &Policy,
    around: &Surroundings,
    program: &ResolvedProgram,
) -> Result<()> {
    let is_shown = |path: &Path| shown(policy).any(|(shown, _)| path.starts_with(shown));
    for path in [&program.path, &program.file] {
        if !around.root || is_shown(path) {
            continue;
        }
        if let Some(closed) = closed_on_the_way(policy, path) {
            let why = format!(
                "the guest is not root and cannot enter {}; name it in `allowed_paths`, \
                 as in `{}:ro`",
                closed.display(),
                path.parent().unwrap_or(path).display(),
            );
            let program = program.path.to_string_lossy().into_owned();
            let source = io::Error::new(io::ErrorKind::PermissionDenied, why);
            return Err(Error::NotExecutable { program, source });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::super::config::SandboxConfig;
    use super::*;

    const ROOT: Owner = Owner { uid: 0, gid: 0 };

    fn policy(level: Level) -> Policy {
        let config = SandboxConfig { security_level: level, ..SandboxConfig::default() };
        Policy::new(&config).unwrap()
    }

    fn around(root: bool) -> Surroundings {
        let id = if root { 0 } else { 4321 };
        Surroundings {
            caller: Some(Owner { uid: id, gid: id }),
            root,
            guest: Some(Owner { uid: 0x7000_0000, gid: 0x7000_0000 }),
            shown: vec![(Owner { uid: id, gid: id }, true)],
            landlock_abi: 6,
            ..Surroundings::default()
        }
    }

    fn steps(level: Level, root: bool, covers: &[PathBuf]) -> Steps {
        let launch = Launch { program: "/usr/bin/true".into(), seccomp: Some(1), cgroup: false };
        of(&policy(level), &around(root), covers, &launch)
    }

    #[test]
    fn each_level_adds_its_walls_to_those_of_the_one_below() {
        for (level, no_new_privs, walls) in [
            (Level::Minimal, false, false),
            (Level::Standard, true, false),
            (Level::Strict, true, true),
        ] {
            let init = steps(level, true, &[]).init;
            let has = |wanted: fn(&Step) -> bool| init.iter().any(wanted);

            assert_eq!(has(|step| *step == Step::NoNewPrivs), no_new_privs, "{level:?}");
            assert_eq!(has(|step| matches!(step, Step::Landlock { .. })), walls, "{level:?}");
            let next = steps(level, true, &[]).next;
            assert_eq!(next.contains(&Step::NewNetwork), walls, "{level:?}");
        }
    }

    #[test]
    fn init_is_confined_at_every_level() {
        for level in [Level::Minimal, Level::Standard, Level::Strict] {
            assert_eq!(steps(level, true, &[]).after.last(), Some(&Step::ConfineInit));
        }
    }

    #[test]
    fn root_becomes_unprivileged_last_and_an_ordinary_user_maps_itself() {
        let root = steps(Level::Standard, true, &[]).template;
        let user = steps(Level::Standard, false, &[]).template;

        let last = root.last().unwrap();
        assert!(matches!(last, Step::BecomeUnprivileged(owner) if *owner != ROOT), "{last:?}");
        assert!(matches!(user[0], Step::NewUserNamespace { uid: 4321, .. }), "{user:?}");
    }

    #[test]
    fn what_a_cover_hides_is_held_before_and_shown_after() {
        let template = steps(Level::Standard, true, &["/tmp".into()]).template;

        let at = |wanted: fn(&Step) -> bool| template.iter().position(wanted).unwrap();
        let held = at(|step| matches!(step, Step::HoldMapped { .. }));
        let covered = at(|step| matches!(step, Step::Cover(_)));
        let way = at(|step| matches!(step, Step::MakeWay { .. }));
        let shown = at(|step| matches!(step, Step::ShowTree(_)));
        assert!(held < covered && covered < way && way < shown, "{template:?}");
    }

    #[test]
    fn landlock_shows_no_directory_whole_that_holds_the_hosts_files() {
        let rules = landlock_rules(&policy(Level::Strict), &around(true));

        for hidden in ["/", "/etc", "/root", "/home", "/var", "/dev", "/run"] {
            assert!(!rules.iter().any(|rule| rule.path == Path::new(hidden)), "{hidden}");
        }
    }
}
