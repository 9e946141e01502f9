//! The start of a guest where the host has no namespaces to give: in a plain
//! container, as a rule.
//!
//! The supervisor adopts whatever the guest orphans and ends it by hand, and the
//! number of processes is watched. Both are weaker than a namespace, since the
//! guest is the same user as its supervisor, and the receipt says so. The filter,
//! `no_new_privs` and Landlock are as strong as ever.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::super::super::config::SandboxSecurityLevel as Level;
use super::super::super::error::{Error, Result};
use super::super::super::host::Gate;
use super::super::super::namespace::plan::{
    GUEST_ID, Launch, Owner, Step, Steps, Surroundings, guest_steps, shown,
};
use super::super::super::outcome::{Enforcement, Protection as P};
use super::super::super::policy::Policy;
use super::steps::{closed_on_the_way, landlock_rules, no_new_privs};

/// Works out every step, in order.
pub(super) fn steps(policy: &Policy, around: &Surroundings, launch: &Launch) -> Steps {
    let guest = around.guest.unwrap_or(Owner { uid: GUEST_ID, gid: GUEST_ID });
    let caller = around.caller.unwrap_or(guest);
    let mut template = Vec::new();
    let mut init = vec![Step::ForkInit { cgroup: launch.cgroup }, Step::AdoptOrphans];
    if around.root {
        template.push(Step::BecomeUnprivileged(guest));
        // An ordinary user has none to drop.
        init.push(Step::DropCapabilities);
    }
    if no_new_privs(policy) {
        init.push(Step::NoNewPrivs);
    }
    init.push(Step::Undumpable);
    if policy.level >= Level::Strict {
        // No private /tmp without a mount namespace, so none at all.
        let mut rules = landlock_rules(policy, around);
        rules.retain(|rule| {
            let shown = shown(policy).any(|(path, _)| path == rule.path);
            shown || !(rule.path.ends_with("tmp") || rule.path.ends_with("shm"))
        });
        init.push(Step::Landlock { abi: around.landlock_abi, rules });
    }
    init.push(Step::ForkGuest);

    let mut guest_steps = guest_steps(policy, launch);
    // RLIMIT_NPROC counts the user on the whole machine: those there are already
    // come on top, and room for what the user starts meanwhile. It is a fence for
    // the time between two looks of the watchdog.
    let user = if around.root { guest.uid } else { caller.uid };
    let there = tasks_of(user) + MEANWHILE;
    for step in &mut guest_steps {
        if let Step::ResourceLimit { name: "RLIMIT_NPROC", soft, hard, .. } = step {
            *soft = soft.saturating_add(there);
            *hard = hard.saturating_add(there);
        }
    }
    if is_scoped(policy, around) {
        // The guest's alone: its supervisor is outside.
        guest_steps.insert(0, Step::ScopeSignals);
    }
    // Init has blocked some, and what is blocked stays so over an exec.
    guest_steps.insert(0, Step::UnblockSignals);
    Steps { template, init, guest: guest_steps, ..Steps::default() }
}

/// Whether a Landlock domain keeps the guest from its supervisor and from the
/// host's processes. MINIMAL is limits only.
fn is_scoped(policy: &Policy, around: &Surroundings) -> bool {
    policy.level > Level::Minimal && around.landlock_abi >= 6
}

/// Refuses what cannot be had without namespaces.
pub(super) fn check(policy: &Policy, around: &Surroundings, gate: &Gate) -> Result<()> {
    let allowed = policy.allow_degraded.contains(&P::MaxProcesses);
    if policy.max_processes.is_some_and(|limit| limit.named) && !allowed {
        return Err(Error::unsupported(
            "max_processes",
            format!("without namespaces it holds by watching only: {}", gate.reason),
            or(gate, "accept that by name: `allow_degraded: [max_processes]`"),
        ));
    }
    let door = shown(policy).find_map(|(path, _)| Some((path, closed_on_the_way(policy, path)?)));
    match door {
        Some((path, door)) if around.root => Err(Error::unsupported(
            "work_dir",
            format!(
                "the guest is not root and cannot enter {} on the way to {}; with namespaces it \
                 could, but {}",
                door.display(),
                path.display(),
                gate.reason,
            ),
            or(gate, "name a directory that everybody can get to"),
        )),
        _ => Ok(()),
    }
}

/// Opening the gate, if we know how, or the other way out.
fn or(gate: &Gate, other: &str) -> String {
    match gate.fix.as_str() {
        "" => other.to_owned(),
        fix => format!("{fix}; or {other}"),
    }
}

/// Processes and threads that the user may start beside this run.
const MEANWHILE: u64 = 256;

/// How many processes and threads a user has on this machine now.
fn tasks_of(user: u32) -> u64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let tasks = processes.flatten().filter_map(|process| {
        let tasks = process.path().join("task");
        (fs::metadata(&tasks).ok()?.uid() == user).then(|| fs::read_dir(tasks).ok())?
    });
    tasks.map(|tasks| tasks.count() as u64).sum()
}

/// Takes back what only namespaces hold.
pub(super) fn weaken(held: &mut Enforcement, policy: &Policy, around: &Surroundings, gate: &Gate) {
    let why = |what: &str| format!("{what}; {}", gate.reason);
    held.missing(P::Hostname, why("the host's own is shown"));
    held.missing(P::Ipc, why("IPC objects of the same user are in reach"));
    if around.root {
        held.enforced(P::Identity, "an unprivileged user of the host");
    } else {
        held.enforced(P::Identity, "the caller");
        held.missing(P::Capabilities, "those of the caller, an ordinary user");
    }
    let by = "a supervisor that adopts orphans and kills until none is left";
    if is_scoped(policy, around) {
        held.degraded(
            P::Processes,
            "a Landlock domain: none outside can be signalled, traced or read",
            why("they can be seen"),
        );
        held.enforced(P::Cleanup, by);
    } else {
        held.missing(P::Processes, why("those of the same user can be seen and signalled"));
        held.degraded(P::Cleanup, by, why("a guest that kills its supervisor gets away"));
    }
    if policy.max_processes.is_some() {
        held.degraded(
            P::MaxProcesses,
            "a watchdog; RLIMIT_NPROC on top of what the user runs already",
            why("for a moment there can be more"),
        );
    }
    if policy.level >= Level::Strict {
        held.enforced(P::Filesystem, "Landlock");
        held.enforced(P::Network, "seccomp: unix sockets only");
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::config::SandboxConfig;
    use super::*;

    fn gate() -> Gate {
        Gate { reason: "closed".into(), fix: "open it".into() }
    }

    fn plan(level: Level, root: bool) -> Steps {
        let config = SandboxConfig { security_level: level, ..SandboxConfig::default() };
        let policy = Policy::new(&config).unwrap();
        let around = Surroundings { root, landlock_abi: 6, ..Surroundings::default() };
        let launch = Launch { program: "/bin/true".into(), seccomp: Some(1), cgroup: false };
        steps(&policy, &around, &launch)
    }

    #[test]
    fn supervisor_adopts_orphans_before_it_forks_the_guest() {
        let init = plan(Level::Standard, false).init;

        assert_eq!(init[..2], [Step::ForkInit { cgroup: false }, Step::AdoptOrphans]);
        assert_eq!(init.last(), Some(&Step::ForkGuest));
    }

    #[test]
    fn root_gives_itself_up_and_an_ordinary_user_has_nothing_to_give_up() {
        let (root, user) = (plan(Level::Minimal, true), plan(Level::Minimal, false));

        assert!(matches!(root.template[..], [Step::BecomeUnprivileged(_)]));
        assert!(root.init.contains(&Step::DropCapabilities));
        assert!(user.template.is_empty());
        assert!(!user.init.contains(&Step::DropCapabilities));
    }

    #[test]
    fn strict_has_no_temporary_files_of_the_hosts() {
        let init = plan(Level::Strict, false).init;
        let rules = init.iter().find_map(|step| match step {
            Step::Landlock { rules, .. } => Some(rules),
            _ => None,
        });

        assert!(!rules.unwrap().iter().any(|rule| rule.path.starts_with("/dev/shm")));
        assert!(!rules.unwrap().iter().any(|rule| rule.path.as_os_str() == "/tmp"));
    }

    #[test]
    fn named_limit_of_processes_is_refused_unless_weaker_is_allowed_by_name() {
        let config = SandboxConfig { max_processes: Some(5), ..SandboxConfig::default() };
        let allowed =
            SandboxConfig { allow_degraded: vec!["max_processes".into()], ..config.clone() };
        let around = Surroundings::default();
        let check = |config| check(&Policy::new(config).unwrap(), &around, &gate());

        assert_eq!(check(&config).unwrap_err().code(), "unsupported");
        check(&allowed).unwrap();
        check(&SandboxConfig::default()).unwrap();
    }
}
