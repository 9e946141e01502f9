//! Policy → list of steps. Pure and portable: the order of a start can be read,
//! printed and tested on any machine.
//!
//! [`Steps::new`] is the one place that decides what happens and when. Adding a
//! protection means adding a line there and teaching
//! [`program`](super::linux::program) which system calls it is made of.

mod limits;
mod step;
mod surroundings;
mod template;

use std::path::{Path, PathBuf};

use limits::resource_limits;
pub use limits::{ADDRESS_SPACE_HEADROOM, DATA_HEADROOM};
pub use step::{GUEST_ID, HOST_NAME, LandlockRule, Owner, Rights, Step};
use surroundings::STEERING_PROC;
pub use surroundings::{DEVICES, Entry, HIDDEN_PROC, Surroundings};
#[cfg_attr(
    any(neuroflow_portable, not(target_os = "linux")),
    expect(unused_imports, reason = "for the twin on Linux")
)]
pub(crate) use template::owner_maps;
use template::template;

use crate::sandbox::policy::{Access, Network, Policy};
/// The steps of a start, by the process that takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Once per launcher: the template.
    pub template: Vec<Step>,
    /// By the launcher, for every run, ahead of time.
    pub next: Vec<Step>,
    /// By init, for every run; the first is the clone that makes init.
    pub init: Vec<Step>,
    /// By the guest, up to its exec.
    pub guest: Vec<Step>,
    /// By init, once the guest is forked.
    pub after: Vec<Step>,
}

/// What differs from run to run under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The executable, as seen inside.
    pub program: PathBuf,
    /// Instructions of the seccomp filter, where there is one.
    pub seccomp: Option<usize>,
    /// Whether a cgroup limits memory, so that address space need not.
    pub cgroup: bool,
}

impl Steps {
    /// Works out every step, in order. The reason stands beside a line that
    /// cannot move.
    #[must_use]
    pub fn new(policy: &Policy, around: &Surroundings, launch: &Launch) -> Self {
        Self { template: Self::template(policy, around), ..Self::run(policy, around, launch) }
    }

    /// The steps of the template alone.
    #[must_use]
    pub fn template(policy: &Policy, around: &Surroundings) -> Vec<Step> {
        template(policy, around, around.caller(), around.guest_ids())
    }

    /// The steps of a run alone.
    #[must_use]
    pub fn run(policy: &Policy, around: &Surroundings, launch: &Launch) -> Self {
        Self {
            template: Vec::new(),
            next: match policy.network {
                Network::None | Network::Hosts(_) => own_network(),
                Network::All => Vec::new(),
            },
            init: init(policy, around, around.guest_ids(), launch.cgroup),
            guest: guest_steps(policy, launch),
            after: vec![Step::ConfineInit],
        }
    }

    /// All steps with the process that takes each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Step)> {
        let template = self.template.iter().map(|step| ("launcher", step));
        let next = self.next.iter().map(|step| ("launcher", step));
        let init = self.init.iter().map(|step| ("init", step));
        let guest = self.guest.iter().map(|step| ("guest", step));
        let after = self.after.iter().map(|step| ("init", step));
        template.chain(next).chain(init).chain(guest).chain(after)
    }
}

/// The work dir, then the allowed paths, parents before what lies below them,
/// so that no mount covers another.
pub fn shown(policy: &Policy) -> impl Iterator<Item = (&Path, Access)> {
    let work_dir = std::iter::once((policy.work_dir.as_path(), Access::ReadWrite));
    let paths = policy.allowed_paths.iter().map(|allowed| (allowed.path.as_path(), allowed.access));
    let mut all: Vec<_> = work_dir.chain(paths).collect();
    all.sort_by_key(|(path, _)| path.components().count());
    all.into_iter()
}

fn make_parents(steps: &mut Vec<Step>, made: &mut Vec<PathBuf>, path: &Path) {
    let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
    parents.pop();
    for parent in parents.into_iter().rev() {
        push_once(steps, made, parent);
    }
}

fn push_once(steps: &mut Vec<Step>, made: &mut Vec<PathBuf>, path: &Path) {
    if !made.iter().any(|known| known == path) {
        made.push(path.into());
        steps.push(Step::MakeDirectory(path.into()));
    }
}

fn init(policy: &Policy, around: &Surroundings, guest: Owner, cgroup: bool) -> Vec<Step> {
    let mut steps = vec![
        Step::NewNamespaces { cgroup },
        Step::DieWithLauncher,
        Step::MapIds { outside: guest },
    ];

    private_tmp(&mut steps, policy, around);
    steps.push(Step::MountProc);
    steps.extend(STEERING_PROC.iter().map(|path| Step::ProtectProc(path)));
    steps.extend(around.hidden_proc.iter().map(|path| Step::MaskProc(path)));
    if let Network::Hosts(_) = policy.network {
        steps.push(Step::OpenWayOut);
    }
    steps.push(Step::SetHostName);
    steps.push(Step::NewKeyring);
    // After the last mount: a mount needs CAP_SYS_ADMIN, and Landlock refuses it.
    steps.push(Step::DropCapabilities);
    steps.push(Step::NoNewPrivs);
    steps.push(Step::Undumpable);
    if policy.landlock && around.landlock_abi > 0 {
        let rules = landlock_rules(policy, around);
        steps.push(Step::Landlock { abi: around.landlock_abi, rules });
    }
    steps.push(Step::ForkGuest);
    steps
}

/// Mounts a private tmpfs on /tmp and /dev/shm.
pub(crate) fn private_tmp(steps: &mut Vec<Step>, policy: &Policy, around: &Surroundings) {
    // What the policy shows below /tmp and /dev/shm is in the template, and the
    // private tmpfs would cover it.
    let tmp = Path::new("/tmp");
    let shm = Path::new("/dev/shm");
    for (target, size, inodes) in [(tmp, TMP_BYTES, TMP_INODES), (shm, SHM_BYTES, SHM_INODES)] {
        if shown(policy).any(|(path, _)| path == target) {
            continue;
        }
        let below: Vec<&Path> = topmost_below(policy, target);
        steps.extend(below.iter().map(|path| Step::HoldTree(path.into())));
        steps.push(Step::MountTmpfs { target: target.into(), size, inodes });
        let mut made = vec![target.to_path_buf(), "/dev".into()];
        for path in below {
            make_parents(steps, &mut made, path);
            let directory = shown(policy)
                .zip(&around.shown)
                .find(|((known, _), _)| *known == path)
                .is_none_or(|(_, (_, directory))| *directory);
            if directory {
                push_once(steps, &mut made, path);
            } else {
                steps.push(Step::MakeFile { path: path.into(), content: String::new() });
            }
            steps.push(Step::ShowTree(path.into()));
        }
    }
}

/// The shown paths below `target` that lie below no other of them.
fn topmost_below<'p>(policy: &'p Policy, target: &Path) -> Vec<&'p Path> {
    let mut top: Vec<&Path> = Vec::new();
    for (path, _) in shown(policy) {
        if path.starts_with(target) && !top.iter().any(|above| path.starts_with(above)) {
            top.push(path);
        }
    }
    top
}

const TMP_BYTES: u64 = 64 << 20;
const TMP_INODES: u64 = 16 << 10;
const SHM_BYTES: u64 = 64 << 20;
const SHM_INODES: u64 = 1 << 10;

fn landlock_rules(policy: &Policy, around: &Surroundings) -> Vec<LandlockRule> {
    let mut rules = Vec::new();
    let mut allow = |path: &Path, rights, directory| {
        rules.push(LandlockRule { path: path.into(), rights, directory });
    };
    allow(Path::new("/"), Rights::List, true);
    for (path, entry) in &around.system {
        if *entry == Entry::Directory {
            allow(path, Rights::ReadExecute, true);
        }
    }
    allow(Path::new("/etc"), Rights::Read, true);
    allow(Path::new("/proc"), Rights::Read, true);
    allow(Path::new("/dev"), Rights::Device, true);
    allow(Path::new("/dev/shm"), Rights::All, true);
    allow(Path::new("/tmp"), Rights::All, true);
    for (index, (path, access)) in shown(policy).enumerate() {
        let directory = around.shown.get(index).is_none_or(|(_, directory)| *directory);
        let rights = match access {
            Access::ReadOnly => Rights::ReadExecute,
            Access::ReadWrite => Rights::All,
        };
        allow(path, rights, directory);
    }
    rules
}

/// A network of the guest's own, with nobody in it.
pub(crate) fn own_network() -> Vec<Step> {
    vec![Step::NewNetwork, Step::LoopbackUp]
}

pub(crate) fn guest_steps(policy: &Policy, launch: &Launch) -> Vec<Step> {
    let mut steps = vec![Step::NewSession, Step::StandardStreams];
    steps.extend(resource_limits(policy, launch.cgroup));
    steps.push(Step::EnterWorkDir(policy.work_dir.clone()));
    steps.push(Step::CloseDescriptors);
    if let Some(instructions) = launch.seccomp {
        // Last before the exec: the calls above need not be on the list.
        steps.push(Step::Seccomp { instructions });
    }
    steps.push(Step::Exec(launch.program.clone()));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::SandboxConfig;

    const ROOT: Owner = Owner { uid: 0, gid: 0 };

    fn steps(root: bool) -> Steps {
        let mut config = SandboxConfig::default();
        // Else it depends on whose directory that is here.
        config.named.insert("work_dir");
        let policy = Policy::new(&config).unwrap();
        let id = if root { 0 } else { 4321 };
        let around = Surroundings {
            caller: Some(Owner { uid: id, gid: id }),
            root,
            guest: Some(Owner { uid: 0x7000_0000, gid: 0x7000_0000 }),
            system: vec![
                ("/usr".into(), Entry::Directory),
                ("/bin".into(), Entry::Link("usr/bin".into())),
            ],
            shown: vec![(Owner { uid: id, gid: id }, true)],
            landlock_abi: 6,
            ..Surroundings::default()
        };
        let launch = Launch { program: "/usr/bin/true".into(), seccomp: Some(1), cgroup: false };
        Steps::new(&policy, &around, &launch)
    }

    fn position(steps: &[Step], wanted: fn(&Step) -> bool) -> usize {
        steps.iter().position(wanted).unwrap()
    }

    #[test]
    fn whole_start_of_an_ordinary_user_is_as_written_down() {
        let steps = steps(false);
        let lines: Vec<String> =
            steps.iter().map(|(process, step)| format!("{process:8}  {step}")).collect();

        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn nothing_is_mounted_before_mounts_are_private_or_after_capabilities_are_gone() {
        for root in [true, false] {
            let Steps { template, init, .. } = steps(root);

            let private = position(&template, |step| *step == Step::PrivateMounts);
            let root = position(&template, |step| *step == Step::NewRoot);
            assert!(private < root);
            let dropped = position(&init, |step| *step == Step::DropCapabilities);
            let is_mount = |step: &Step| {
                matches!(step, Step::MountProc | Step::MountTmpfs { .. } | Step::MaskProc(_))
            };
            assert!(!init[dropped..].iter().any(is_mount));
        }
    }

    #[test]
    fn guest_is_filtered_last_before_it_executes() {
        let guest = steps(true).guest;

        assert!(matches!(guest[guest.len() - 1], Step::Exec(_)));
        assert!(matches!(guest[guest.len() - 2], Step::Seccomp { .. }));
    }

    #[test]
    fn launcher_of_root_is_not_root_when_the_first_guest_starts() {
        let template = steps(true).template;

        let last = &template[template.len() - 1];
        assert!(matches!(last, Step::BecomeUnprivileged(owner) if *owner != ROOT), "{last:?}");
    }
}
