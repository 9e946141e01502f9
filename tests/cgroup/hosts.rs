//! Hosts that have no cgroup to give: the gate is named, with its fix; what was
//! named is refused, and what may be weaker by name is held the weaker way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kernel::sandbox::host::Host;
use kernel::sandbox::{Exit, NamespaceIsolator, Protection, SandboxConfig, State};
use neuroflow_tests::{Need, have, need};

use crate::again::{command, passes, plays};
use crate::{LIMIT, config, run, text};

/// What is true on every host whose gate says `reason` and whose fix says `fix`.
fn refuses_or_degrades(reason: &str, fix: &str) {
    let gate = Host::get().cgroup2.clone().unwrap_err();
    assert!(gate.reason.contains(reason), "{}", gate.reason);
    assert!(gate.fix.contains(fix), "{}", gate.fix);
    let dir = tempfile::tempdir().unwrap();

    // Strict where the user spoke.
    let error = NamespaceIsolator::new(config(dir.path().into())).execute("true", &[]).unwrap_err();
    assert_eq!(error.code(), "unsupported");
    assert!(error.to_string().contains(reason), "{error}");
    assert!(error.fix().unwrap().contains(fix), "{:?}", error.fix());

    // The weaker way, by name: the limit still ends a guest, and the receipt tells.
    let weaker =
        SandboxConfig { allow_degraded: vec!["memory".into()], ..config(dir.path().into()) };
    let hog = "keep = []\nwhile True: keep.append(bytearray(1 << 20))";
    let outcome = NamespaceIsolator::new(weaker).execute("python3", &["-c", hog]).unwrap();
    assert_eq!(outcome.exit, Exit::OutOfMemory(LIMIT), "{:?}", outcome.usage);
    let held = outcome.enforcement.get(Protection::Memory).unwrap();
    assert_eq!(held.state, State::Degraded);
    assert!(held.why.contains(reason), "{held:?}");

    // A mere default: likewise.
    let default = SandboxConfig { work_dir: dir.path().into(), ..SandboxConfig::default() };
    let outcome = NamespaceIsolator::new(default).execute("true", &[]).unwrap();
    assert_eq!(outcome.enforcement.get(Protection::Memory).unwrap().state, State::Degraded);
}

/// Plays a host that root makes different by `script`, in a mount namespace of its
/// own and a cgroup `$nest` of its own, which is removed afterwards.
#[track_caller]
fn on_a_host(test: &str, script: &str, play: impl FnOnce()) {
    if plays("host") {
        return play();
    }
    need!(Cgroup2);
    need!(Root);
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let nest = PathBuf::from(format!("/sys/fs/cgroup/nest-{}-{number}", std::process::id()));
    fs::create_dir(&nest).unwrap();
    let script = format!("mount --make-rprivate /\n{script}");
    let mut command = command(test, "host", &format!("exec unshare --mount sh -euc '{script}'"));
    command.env("nest", &nest);

    passes(command);

    for path in ["inner/neuroflow-host", "inner", "neuroflow-host", ""] {
        remove(&nest.join(path));
    }
}

/// Removes a cgroup that may be there, once what was in it has ended.
fn remove(cgroup: &Path) {
    let start = Instant::now();
    while cgroup.exists() && fs::remove_dir(cgroup).is_err() {
        assert!(start.elapsed() < Duration::from_secs(5), "{} is left", cgroup.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_read_only_tree_is_named_and_never_runs_unlimited() {
    on_a_host(
        "hosts::a_read_only_tree_is_named_and_never_runs_unlimited",
        // What `ProtectControlGroups=yes` does.
        "mount --bind /sys/fs/cgroup /sys/fs/cgroup
         mount -o remount,bind,ro /sys/fs/cgroup
         exec @host",
        || refuses_or_degrades("it is mounted read-only", "ProtectControlGroups=no"),
    );
}

#[test]
fn a_host_without_a_hierarchy_is_named() {
    on_a_host(
        "hosts::a_host_without_a_hierarchy_is_named",
        "umount -l /sys/fs/cgroup
         exec @host",
        || {
            let fix = "systemd.unified_cgroup_hierarchy=1";
            refuses_or_degrades("this host has no cgroup v2 hierarchy", fix);
        },
    );
}

#[test]
fn the_tree_of_another_cgroup_namespace_is_not_taken_for_our_own() {
    on_a_host(
        "hosts::the_tree_of_another_cgroup_namespace_is_not_taken_for_our_own",
        // A container into which the tree of the machine was mounted.
        "echo $$ > $nest/cgroup.procs
         exec unshare --cgroup @host",
        || refuses_or_degrades("that of another cgroup namespace", "of this container"),
    );
}

/// A container with a tree of its own.
const CONTAINER: &str = "echo $$ > $nest/cgroup.procs
    exec unshare --cgroup sh -euc \"umount -l /sys/fs/cgroup
        mount -t cgroup2 none /sys/fs/cgroup
        @inside\"";

#[test]
fn a_container_in_which_others_live_is_named() {
    on_a_host(
        "hosts::a_container_in_which_others_live_is_named",
        &CONTAINER.replace("@inside", "sleep 300 >/dev/null 2>&1 &\n@host; kill \\$!"),
        || refuses_or_degrades("other processes live in it", "as the only process"),
    );
}

#[test]
fn a_container_of_our_own_is_divided_and_we_move_to_a_leaf() {
    on_a_host(
        "hosts::a_container_of_our_own_is_divided_and_we_move_to_a_leaf",
        &CONTAINER.replace("@inside", "exec @host"),
        || {
            let outcome = run("print(open(\"/proc/self/cgroup\").read())");

            let held = outcome.enforcement.get(Protection::Memory).unwrap();
            assert_eq!(held.state, State::Enforced, "{held:?}");
            assert_eq!(outcome.stdout.trim_ascii(), b"0::/", "{}", text(&outcome));
            let own = fs::read_to_string("/proc/self/cgroup").unwrap();
            assert!(own.lines().any(|line| line == "0::/neuroflow-host"), "{own}");
        },
    );
}

#[test]
fn a_cgroup_without_the_memory_controller_is_named() {
    on_a_host(
        "hosts::a_cgroup_without_the_memory_controller_is_named",
        "mkdir $nest/inner
         echo +pids > $nest/cgroup.subtree_control
         echo $$ > $nest/inner/cgroup.procs
         exec unshare --cgroup sh -euc \"umount -l /sys/fs/cgroup
             mount -t cgroup2 none /sys/fs/cgroup
             exec @host\"",
        || refuses_or_degrades("it has no memory controller", "Delegate=yes"),
    );
}

#[test]
fn a_cgroup_without_the_cpu_controller_holds_memory_and_refuses_a_quota() {
    on_a_host(
        "hosts::a_cgroup_without_the_cpu_controller_holds_memory_and_refuses_a_quota",
        "mkdir $nest/inner
         echo +pids +memory > $nest/cgroup.subtree_control
         echo $$ > $nest/inner/cgroup.procs
         exec unshare --cgroup sh -euc \"umount -l /sys/fs/cgroup
             mount -t cgroup2 none /sys/fs/cgroup
             exec @host\"",
        || {
            let outcome = run("x = bytearray(1 << 30)");
            assert_eq!(outcome.exit, Exit::OutOfMemory(LIMIT), "{}", text(&outcome));

            let dir = tempfile::tempdir().unwrap();
            let quota = SandboxConfig { cpu_quota: Some(0.5), ..config(dir.path().into()) };
            let error = NamespaceIsolator::new(quota).execute("true", &[]).unwrap_err();
            assert!(error.to_string().contains("no cpu controller"), "{error}");
            assert!(error.fix().unwrap().contains("Delegate=cpu"), "{:?}", error.fix());
        },
    );
}

#[test]
fn a_user_to_whom_nothing_is_delegated_is_told_how_to_get_it() {
    on_a_host(
        "hosts::a_user_to_whom_nothing_is_delegated_is_told_how_to_get_it",
        "exec setpriv --reuid 4242 --regid 4242 --clear-groups @host",
        || refuses_or_degrades("is not permitted", "systemd-run --user --scope"),
    );
}

#[test]
fn a_cpu_quota_that_nothing_holds_is_refused() {
    if have(Need::Cgroup2) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut config = SandboxConfig {
        work_dir: dir.path().into(),
        cpu_quota: Some(0.5),
        ..SandboxConfig::default()
    };
    let error = NamespaceIsolator::new(config.clone()).execute("true", &[]).unwrap_err();
    assert_eq!(error.code(), "unsupported");
    assert!(error.to_string().starts_with("cpu_quota is not supported here"), "{error}");
    assert!(error.fix().unwrap().contains("[cpu_quota]"), "{:?}", error.fix());

    config.allow_degraded.push("cpu_quota".into());
    let outcome = NamespaceIsolator::new(config).execute("true", &[]).unwrap();
    assert_eq!(outcome.enforcement.get(Protection::CpuQuota).unwrap().state, State::Missing);
}
