//! By which way this process comes to cgroups for its runs, or what stands in the
//! way.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::delegation::{Closed, Delegation};
use super::hierarchy::{self, Nowhere};
use super::scope;
use crate::sandbox::error::Result;
use crate::sandbox::host::Gate;

/// How runs get cgroups.
#[derive(Clone, Debug)]
pub(in super::super) enum Means {
    /// In a tree that was delegated to us.
    Tree(Arc<Delegation>),
    /// Each launcher in a scope that the user's service manager makes for it. The
    /// first was made to find out.
    Scopes {
        /// Whether the manager has the CPU controller to give.
        cpu: bool,
    },
}

impl Means {
    /// Those of this process, found at the first call by trying.
    pub(in super::super) fn get() -> Result<&'static Self, &'static Gate> {
        static FOUND: OnceLock<Result<Means, Gate>> = OnceLock::new();
        FOUND.get_or_init(Self::find).as_ref()
    }

    fn find() -> Result<Self, Gate> {
        let own = hierarchy::own().map_err(nowhere)?;
        let tried = match Delegation::find(&own) {
            Ok(found) => return Ok(Self::Tree(Arc::new(found))),
            Err(tried) => tried,
        };
        if tried.iter().all(|(_, closed)| *closed == Closed::ReadOnly) {
            return Err(no_delegation(&tried, None));
        }
        match scope::try_one(&own) {
            Ok(cpu) => Ok(Self::Scopes { cpu }),
            Err(why) => Err(no_delegation(&tried, why)),
        }
    }

    /// Whether a share of the CPU can be held, or what stands in the way.
    pub(in super::super) fn cpu(&self) -> Result<(), Gate> {
        let has = match self {
            Self::Tree(delegation) => delegation.has_cpu(),
            Self::Scopes { cpu } => *cpu,
        };
        if has {
            return Ok(());
        }
        Err(Gate {
            reason: "the cgroup that is delegated to us has no cpu controller".into(),
            fix: format!(
                "delegate it as well: `Delegate=cpu memory pids` in the unit; {OR_WEAKER}"
            ),
        })
    }
}

/// The way that is always open.
const OR_WEAKER: &str = "or accept a weaker limit by name: `allow_degraded: [memory]` \
                         (`--allow-degraded memory`)";

const BOOT: &str = "boot with `systemd.unified_cgroup_hierarchy=1`";

fn nowhere(why: Nowhere) -> Gate {
    match why {
        Nowhere::NotMounted => Gate {
            reason: "this host has no cgroup v2 hierarchy".into(),
            fix: format!("{BOOT}, {OR_WEAKER}"),
        },
        Nowhere::ForeignMount => Gate {
            reason: "the cgroup v2 tree that is mounted here is that of another cgroup namespace"
                .into(),
            fix: format!("mount one of this container's own on /sys/fs/cgroup, {OR_WEAKER}"),
        },
    }
}

/// The gate of a host whose cgroups are not for us: all that was tried, and the fix
/// for what would be nearest.
fn no_delegation(tried: &[(PathBuf, Closed)], manager: Option<String>) -> Gate {
    let mut told: Vec<String> =
        tried.iter().map(|(path, closed)| format!("{}: {closed}", path.display())).collect();
    told.extend(manager);
    Gate {
        reason: format!("no cgroup here can be divided ({})", told.join("; ")),
        fix: format!("{}; {OR_WEAKER}", fix(tried)),
    }
}

fn fix(tried: &[(PathBuf, Closed)]) -> String {
    let any = |wanted: &Closed| tried.iter().any(|(_, closed)| closed == wanted);
    let lacks = |controller| any(&Closed::Lacks(controller));
    if any(&Closed::ReadOnly) {
        return "in a unit: `ProtectControlGroups=no` beside `Delegate=yes`; in a container: mount \
                /sys/fs/cgroup read-write"
            .into();
    }
    if let Some(controller) = ["memory", "pids"].into_iter().find(|controller| lacks(controller)) {
        if hierarchy::is_with_v1(controller) {
            return format!("{BOOT}, which takes the {controller} controller from cgroup v1");
        }
        if hierarchy::is_disabled(controller) {
            return format!("boot without `cgroup_disable={controller}`");
        }
    }
    if any(&Closed::Inhabited) && !any(&Closed::NotOurs) {
        return "run it as the only process of its unit or container, with `Delegate=yes`".into();
    }
    "run it under `systemd-run --user --scope -p Delegate=yes`, or in a unit with `Delegate=yes`"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(closed: &[Closed]) -> Gate {
        let tried: Vec<_> =
            closed.iter().map(|closed| ("/sys/fs/cgroup/x".into(), closed.clone())).collect();
        no_delegation(&tried, None)
    }

    #[test]
    fn fix_is_that_of_the_gate_that_is_closed() {
        for (closed, fix) in [
            (vec![Closed::ReadOnly], "ProtectControlGroups=no"),
            (vec![Closed::Inhabited, Closed::Inhabited], "the only process"),
            (vec![Closed::Inhabited, Closed::NotOurs], "systemd-run --user --scope"),
            (vec![Closed::NotOurs], "systemd-run --user --scope"),
            (vec![Closed::Failed("odd".into())], "Delegate=yes"),
        ] {
            let gate = gate(&closed);

            assert!(gate.fix.contains(fix), "{closed:?}: {}", gate.fix);
            assert!(gate.fix.contains("allow_degraded: [memory]"), "{}", gate.fix);
            assert!(gate.reason.starts_with("no cgroup here can be divided (/sys/fs/cgroup/x: "));
        }
    }

    #[test]
    fn what_the_manager_of_the_user_said_is_told_too() {
        let gate =
            no_delegation(&[("/c".into(), Closed::NotOurs)], Some("the manager sleeps".into()));

        assert!(gate.reason.ends_with("not permitted; the manager sleeps)"), "{}", gate.reason);
    }
}
