//! H1: a step that fails stops the run before the guest's first instruction.

use kernel::sandbox::{Exit, NamespaceIsolator, Outcome, Result, SandboxConfig};

use super::sys::in_thread_without;
use crate::scene::{Scene, command, role};

/// The calls of a start, and what an error has to name when one fails: the step,
/// or what the failed step kept from beginning.
const CALLS: &[(libc::c_long, &str, &str)] = &[
    (libc::SYS_pidfd_open, "pidfd_open", "start the sandbox's launcher"),
    (libc::SYS_socketpair, "socketpair", "sandbox's launcher"),
    (libc::SYS_unshare, "unshare", "enter a"),
    (libc::SYS_mount, "mount", "mount"),
    (libc::SYS_open_tree, "open_tree", ""),
    (libc::SYS_openat2, "openat2", "show"),
    (libc::SYS_mount_setattr, "mount_setattr", ""),
    (libc::SYS_move_mount, "move_mount", ""),
    (libc::SYS_pivot_root, "pivot_root", "root"),
    (libc::SYS_umount2, "umount2", "root"),
    (libc::SYS_mkdirat, "mkdirat", "make the directory"),
    (libc::SYS_symlinkat, "symlinkat", "link"),
    (libc::SYS_clone3, "clone3", ""),
    (libc::SYS_prctl, "prctl", ""),
    (libc::SYS_sethostname, "sethostname", "host name"),
    (libc::SYS_keyctl, "keyctl", "keyring"),
    (libc::SYS_capset, "capset", "capabilities"),
    (libc::SYS_landlock_create_ruleset, "landlock_create_ruleset", "andlock"),
    (libc::SYS_landlock_add_rule, "landlock_add_rule", "andlock"),
    (libc::SYS_landlock_restrict_self, "landlock_restrict_self", "andlock"),
    (libc::SYS_setsid, "setsid", "sandbox's launcher"),
    (libc::SYS_dup3, "dup3", "standard streams"),
    (libc::SYS_prlimit64, "prlimit64", "RLIMIT"),
    (libc::SYS_close_range, "close_range", ""),
    (libc::SYS_seccomp, "seccomp", "seccomp"),
    (libc::SYS_execve, "execve", ""),
    (libc::SYS_epoll_create1, "epoll_create1", "launcher"),
    (libc::SYS_epoll_ctl, "epoll_ctl", ""),
    (libc::SYS_recvmsg, "recvmsg", "launcher"),
    (libc::SYS_sendmsg, "sendmsg", "launcher"),
    (libc::SYS_socket, "socket", "loopback"),
    (libc::SYS_ioctl, "ioctl", "loopback"),
];

/// What only a start by root does.
const CALLS_OF_ROOT: &[(libc::c_long, &str, &str)] = &[
    (libc::SYS_setgroups, "setgroups", "become host user"),
    (libc::SYS_setresgid, "setresgid", "become host user"),
    (libc::SYS_setresuid, "setresuid", "become host user"),
];

/// Faults that a whole sandbox can be had under: a kernel without keyrings has
/// none to leave, and what clone3 does clone can do as well.
const HARMLESS: &[(&str, i32)] = &[("keyctl", libc::ENOSYS), ("clone3", libc::ENOSYS)];

fn attempt(scene: &Scene) -> Result<Outcome> {
    NamespaceIsolator::new(scene.config()).run(command(&["sh", "-c", "echo ran > ran; echo ran"]))
}

#[test]
fn h1_step_that_fails_stops_the_run_before_the_guest() {
    each_caller!(|scene| {
        let ran = scene.work().join("ran");
        assert!(attempt(scene).unwrap().success() && ran.exists(), "it runs where nothing fails");
        std::fs::remove_file(&ran).unwrap();
        let of_root = if scene.is_root() { CALLS_OF_ROOT } else { &[] };
        let mut wrong = Vec::new();

        for (number, name, step) in CALLS.iter().chain(of_root) {
            for errno in [libc::EPERM, libc::ENOSYS] {
                if HARMLESS.contains(&(name, errno)) {
                    let told = in_thread_without(*number, None, errno, || {
                        scene.inside(scene.config(), CONFINED)
                    });
                    told.is(WHOLE);
                    continue;
                }

                let result = in_thread_without(*number, None, errno, || attempt(scene));
                let told = match &result {
                    Ok(outcome) => format!("ended as {:?}", outcome.exit),
                    Err(error) => error.to_string(),
                };
                if ran.exists() {
                    wrong.push(format!("{name} {errno}: THE GUEST RAN: {told}"));
                    std::fs::remove_file(&ran).unwrap();
                } else if result.is_ok() || !told.contains(step) {
                    wrong.push(format!("{name} {errno}: {told}"));
                }
            }
        }

        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    });
}

/// What init asks of prctl(2) one after the other, by option, and the step that
/// an error has to name.
const OPTIONS: &[(i32, &str)] = &[
    (libc::PR_SET_PDEATHSIG, "end with the launcher"),
    (libc::PR_CAPBSET_DROP, "drop all capabilities"),
    (libc::PR_SET_NO_NEW_PRIVS, "no_new_privs"),
    (libc::PR_SET_DUMPABLE, "undumpable"),
];

#[test]
fn h1_each_option_of_prctl_that_fails_stops_the_run() {
    each_caller!(|scene| {
        let ran = scene.work().join("ran");

        for (option, step) in OPTIONS {
            let result =
                in_thread_without(libc::SYS_prctl, Some(*option), libc::EPERM, || attempt(scene));

            assert!(!ran.exists(), "without {step} the guest ran: {result:?}");
            let told = result.unwrap_err().to_string();
            // A caller that is root is made dumpable again on the way.
            let on_the_way = scene.is_root() && told.contains("become host user");
            assert!(told.contains(step) || on_the_way, "{option}: {told}");
        }
    });
}

#[test]
fn h1_what_is_off_by_name_does_not_hang_on_its_calls() {
    each_caller!(|scene| {
        // The twin: with the layer off the same fault stops nothing.
        let config = SandboxConfig { landlock: false, ..scene.config() };

        let outcome =
            in_thread_without(libc::SYS_landlock_restrict_self, None, libc::EPERM, || {
                NamespaceIsolator::new(config).execute("true", &[])
            });

        assert_eq!(outcome.unwrap().exit, Exit::Exited(0));
    });
}

const CONFINED: &str = "
for line in open('/proc/self/status'):
    name, value = line.strip().split(':', 1)
    if name in ('CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp'): say(name, value.strip())
tell('outside', os.stat, '@outside')
say('seen', len([p for p in os.listdir('/proc') if p.isdigit()]))
";

/// What it tells in a sandbox of which nothing is missing.
const WHOLE: &[(&str, &str)] = &[
    ("CapEff", "0000000000000000"),
    ("CapBnd", "0000000000000000"),
    ("NoNewPrivs", "1"),
    ("Seccomp", "2"),
    ("outside", "ENOENT"),
    ("seen", "2"),
];

#[test]
fn h1_inside_another_container_a_run_is_whole_or_refused() {
    each_caller!(|scene| {
        if role().is_some() {
            let isolator = NamespaceIsolator::new(scene.config());
            match isolator.run(scene.python_command(CONFINED)) {
                Ok(outcome) => {
                    assert_eq!(outcome.exit, Exit::Exited(0));
                    crate::told::Told::parse(&outcome.stdout).is(WHOLE);
                }
                Err(error) => assert!(matches!(error.code(), "unsupported" | "setup"), "{error}"),
            }
            return;
        }
        let test = "honesty::faults::h1_inside_another_container_a_run_is_whole_or_refused";
        for (container, role) in [
            (
                ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"].as_slice(),
                "as-root",
            ),
            (["--user", "--map-root-user", "--net", "--ipc", "--uts"].as_slice(), "without-pid"),
            (["--user", "--map-current-user", "--mount"].as_slice(), "as-nobody"),
        ] {
            let again = scene.again(test, role);
            // In its own pid namespace another number is ours.
            let program = std::fs::File::open("/proc/self/exe").unwrap();
            rustix::io::fcntl_setfd(&program, rustix::io::FdFlags::empty()).unwrap();
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&program));
            let mut contained = std::process::Command::new("unshare");
            contained.args(container).arg(path).args(again.get_args());
            // What this machine must have, a container may lack.
            contained.env_remove("NEUROFLOW_REQUIRE");
            for (name, value) in again.get_envs() {
                contained.env(name, value.unwrap());
            }

            let output = contained.output().unwrap();

            let said = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            let passed = output.status.success() && said.contains("1 passed");
            assert!(passed, "{role}: {said}\n{errors}");
        }
    });
}

#[test]
fn h1_empty_lists_open_nothing() {
    each_caller!(|scene| {
        let config = SandboxConfig {
            allowed_paths: Vec::new(),
            allowed_hosts: Vec::new(),
            allow_degraded: Vec::new(),
            ..scene.config()
        };

        let told = scene.inside(config, CONFINED);

        assert_eq!((told.about("Seccomp"), told.about("outside")), ("2", "ENOENT"));
    });
}

#[test]
fn h1_profile_of_ones_own_that_is_empty_or_broken_starts_nothing() {
    each_caller!(|scene| {
        use kernel::sandbox::config::SeccompProfile;

        for text in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#,
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}"#,
            r#"{"defaultAction": "SCMP_ACT_NONSENSE", "syscalls": []}"#,
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["reed"], "action": "SCMP_ACT_ALLOW"}]}"#,
        ] {
            let config = SandboxConfig {
                seccomp_profile: Some(SeccompProfile::Json(text.into())),
                ..scene.config()
            };

            let result = NamespaceIsolator::new(config).execute("touch", &["ran"]);

            assert!(result.is_err(), "{text}: {result:?}");
            assert!(!scene.work().join("ran").exists(), "{text}");
        }
    });
}
