//! S: system calls. What the filter refuses, tried by a guest, and the same with
//! the filter off. What a guest without capabilities could not do anyway
//! (mounts, modules, clocks) is tried as root in `tests/filter`.

use kernel::sandbox::config::SeccompProfile;
use kernel::sandbox::outcome::Protection;
use kernel::sandbox::seccomp::{Arch, PYTHON_STARTUP, STARTUP};
use kernel::sandbox::{Exit, NamespaceIsolator, SandboxConfig};

use crate::scene::{Scene, command};
use crate::told::Told;

/// Begins each script here: the numbers of the calls, acts that are tried each
/// in a child of its own, and machine code.
fn prelude() -> String {
    let calls: Vec<String> = Arch::native()
        .unwrap()
        .calls()
        .iter()
        .map(|(name, number)| format!("{name}={number}"))
        .collect();
    format!("class N: {}\n{}", calls.join("; "), include_str!("system_calls/acts.py"))
}

/// What `script` tells with the filter and without it.
#[track_caller]
fn both(scene: &Scene, script: &str) -> (Told, Told) {
    let script = format!("{}\n{script}", prelude());
    let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };
    (scene.inside(scene.config(), &script), scene.inside(unfiltered, &script))
}

/// Every act was refused with `errno`, and none without the filter.
#[track_caller]
fn denied(scene: &Scene, errno: &str, script: &str) {
    let (with, without) = both(scene, script);
    with.all(errno);
    without.all("ok");
}

#[test]
fn s1_what_the_list_does_not_name_is_refused() {
    each_caller!(|scene| {
        denied(
            scene,
            "EPERM",
            "
here = os.open('/', os.O_RDONLY)
alone('NUMA policy', call, N.get_mempolicy, 0, 0, 0, 0, 0)
alone('security modules', call, N.lsm_list_modules, room(256), number(256), 0)
alone('file attributes', call, N.file_getattr, here, b'', room(24), 24, 0x1000)
",
        );
    });
}

#[test]
fn s1_calls_newer_than_the_list_do_not_exist() {
    each_caller!(|scene| {
        let script = format!(
            "{}
for n in 470, 511, 600, 9999, 0x3fffffff: alone(str(n), call, n)
alone('clone3', call, N.clone3, 0, 0)
alone('openat2', call, N.openat2, -100, b'/', bytes(24), 24)
",
            prelude()
        );
        scene.inside(scene.config(), &script).all("ENOSYS");

        // The last two do exist, and libc does without them.
        let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };
        let told = scene.inside(unfiltered, &script);
        assert_eq!((told.about("clone3"), told.about("openat2")), ("EINVAL", "ok"));
    });
}

#[test]
fn s2_no_process_is_traced_or_read_or_robbed() {
    each_caller!(|scene| {
        denied(
            scene,
            "EPERM",
            "
me = os.getpid()
alone('ptrace', call, N.ptrace, 0, 0, 0, 0)
alone('process_vm_readv', lambda: call(N.process_vm_readv, os.getpid(), vector(), 1, vector(), 1, 0))
alone('process_vm_writev', lambda: call(N.process_vm_writev, os.getpid(), vector(), 1, vector(), 1, 0))
alone('kcmp', lambda: call(N.kcmp, os.getpid(), os.getpid(), 1, 0, 0))
alone('pidfd_getfd', lambda: call(N.pidfd_getfd, os.pidfd_open(os.getpid()), 0, 0))
",
        );
    });
}

#[test]
fn s2_no_namespace_is_made_by_any_call() {
    each_caller!(|scene| {
        denied(
            scene,
            "EPERM",
            "
for flag in 'NEWUSER', 'NEWUSER|NEWNS', 'NEWUSER|NEWNET', 'NEWUSER|NEWPID':
    bits = sum({'NEWUSER': 1 << 28, 'NEWNS': 1 << 17, 'NEWNET': 1 << 30, 'NEWPID': 1 << 29}[f] for f in flag.split('|'))
    alone('unshare ' + flag, call, N.unshare, bits)
    alone('clone ' + flag, fork_with, bits)
",
        );
    });
}

#[test]
fn s2_kernel_code_that_exploits_lean_on_is_closed() {
    each_caller!(|scene| {
        denied(
            scene,
            "EPERM",
            "
alone('add_key', call, N.add_key, b'user', b'neuroflow-test', b'x', 1, -2)
alone('keyctl', call, N.keyctl, 1, 0, 0, 0, 0)
alone('userfaultfd', call, N.userfaultfd, 0o2000001)
alone('perf_event_open', call, N.perf_event_open, perf(), 0, -1, -1, 0)
alone('personality', call, N.personality, 0x0400000)
alone('mount table', call, N.listmount, listing(), room(1024), 128, 0)
alone('open_tree', call, N.open_tree, -100, b'/', 0)
alone('clock', call, N.adjtimex, room(256))
alone('fanotify', call, N.fanotify_init, 0x200, 0)
",
        );
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn s3_other_interfaces_end_the_guest() {
    each_caller!(|scene| {
        let (with, without) = both(
            scene,
            "
alone('int 0x80', run, bytes.fromhex('b814000000' 'cd80' 'c3'))
alone('32-bit code segment', run_in_32_bits)
",
        );
        with.all("SIGSYS");
        // getpid by the table of i386, and exit(42) from 32-bit code.
        without.is(&[("int 0x80", "ok"), ("32-bit code segment", "exit 42")]);
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn s3_x32_numbers_do_not_exist() {
    each_caller!(|scene| {
        let script = "
for name in 'getpid', 'ptrace', 'unshare', 'socket', 'execve':
    alone(name, call, 0x40000000 | getattr(N, name), 0, 0, 0, 0)
";
        scene.inside(scene.config(), &format!("{}\n{script}", prelude())).all("ENOSYS");
    });
}

#[test]
fn s3_upper_bits_of_arguments_change_nothing() {
    each_caller!(|scene| {
        denied(
            scene,
            "EPERM",
            "
for high in 0, 1 << 32, 0x7fffffff << 32:
    alone(f'multipath TCP {high:#x}', socket, 2 | high, 1, 262)
    alone(f'multipath TCP by its protocol {high:#x}', socket, 2, 1, 262 | high)
    alone(f'netlink {high:#x}', socket, 16 | high, 3, 16)
    alone(f'namespace {high:#x}', fork_with, 1 << 28 | high)
    alone(f'personality {high:#x}', call, N.personality, 0x0400000 | high)
",
        );
    });
}

#[test]
fn s3_no_asynchronous_interface_makes_calls() {
    each_caller!(|scene| {
        denied(scene, "EPERM", "alone('io_uring', call, N.io_uring_setup, 1, room(120))");
    });
}

#[test]
fn s4_sockets_of_ordinary_families_work() {
    each_caller!(|scene| {
        let (with, without) = both(
            scene,
            "
for name, args in dict(unix=(1, 1, 0), packets=(1, 5, 0), tcp=(2, 1, 0), tcp6=(10, 1, 6), udp=(2, 2, 0),
                       udp6=(10, 2, 17), route=(16, 3, 0)).items():
    alone(name, socket, *args)
    alone(name + ', flags', socket, args[0], args[1] | 0o2000000 | 0o4000, args[2])
alone('pair', call, N.socketpair, 1, 1, 0, room(8))
",
        );
        with.all("ok");
        without.all("ok");
    });
}

#[test]
fn s4_sockets_of_other_families_are_refused() {
    each_caller!(|scene| {
        let script = "
families = dict(multipath=(2, 1, 262), multipath6=(10, 1, 262), raw=(2, 3, 1), sctp=(2, 1, 132),
    netlink_audit=(16, 3, 9), netlink_generic=(16, 3, 16), netlink_filter=(16, 3, 12), packet=(17, 3, 768),
    key=(15, 3, 2), rds=(21, 5, 0), can=(29, 3, 1), tipc=(30, 1, 0), bluetooth=(31, 3, 0), alg=(38, 5, 0),
    vsock=(40, 1, 0), kcm=(41, 2, 0), smc=(43, 1, 0), xdp=(44, 3, 0))
for name, args in families.items(): alone(name, socket, *args)
alone('pair', call, N.socketpair, 30, 1, 0, room(8))
";
        let (with, without) = both(scene, script);

        with.all("EPERM");
        // Which of them the kernel has differs; multipath TCP and netlink are
        // there wherever these tests run.
        let open = without.iter().filter(|(_, result)| *result == "ok").count();
        assert!(open >= 3, "{without:?}");
        assert_eq!(without.about("netlink_generic"), "ok");
    });
}

#[test]
fn s5_nothing_is_typed_into_a_terminal() {
    each_caller!(|scene| {
        let (with, without) = both(
            scene,
            "
for name, request in dict(TIOCSTI=0x5412, TIOCLINUX=0x541c, TIOCSETD=0x5423).items():
    for high in 0, 1 << 32, 1 << 63:
        alone(f'{name} {high:#x}', call, N.ioctl, 0, ctypes.c_ulong(request | high), b'x')
",
        );
        with.all("EPERM");
        // Standard input is no terminal: the kernel has looked at the request.
        without.all("ENOTTY");
    });
}

/// A profile that allows what Python needs, and these entries.
fn profile(entries: &str) -> SandboxConfig {
    let needed = [STARTUP, PYTHON_STARTUP, &["clone", "vfork", "wait4", "rt_sigprocmask"]].concat();
    let text = format!(
        r#"{{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {{ "names": {}, "action": "SCMP_ACT_ALLOW" }}, {entries} ] }}"#,
        serde_json::to_string(&needed).unwrap()
    );
    SandboxConfig { seccomp_profile: Some(SeccompProfile::Json(text)), ..SandboxConfig::default() }
}

#[test]
fn s6_a_profile_of_ones_own_narrows_and_does_not_widen() {
    each_caller!(|scene| {
        let own = profile(
            r#"{ "names": ["ptrace", "unshare", "getpid"], "action": "SCMP_ACT_ALLOW" },
               { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 },
               { "names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS" }"#,
        );
        let config = SandboxConfig { work_dir: scene.work().to_owned(), ..own };
        let script = format!(
            "{}
alone('mkdir', os.mkdir, 'x')
alone('kill', os.kill, 0, 0)
alone('uname', os.uname)
alone('ptrace', call, N.ptrace, 0, 0, 0, 0)
alone('unshare', call, N.unshare, 1 << 28)
alone('getpid', os.getpid)
",
            prelude()
        );

        let outcome = scene.python(config, &script);

        let told = Told::parse(&outcome.stdout);
        assert_eq!(outcome.exit, Exit::Exited(0), "{}", String::from_utf8_lossy(&outcome.stderr));
        told.is(&[
            ("mkdir", "ENOSPC"),
            ("kill", "SIGSYS"),
            ("uname", "EPERM"),
            ("ptrace", "EPERM"),
            ("unshare", "EPERM"),
            ("getpid", "ok"),
        ]);
        let receipt = &outcome.enforcement.get(Protection::Syscalls).unwrap().by;
        assert!(receipt.contains("still refused"), "{receipt}");
        assert!(receipt.contains("ptrace") && receipt.contains("unshare"), "{receipt}");
        assert!(!receipt.contains("getpid"), "{receipt}");
    });
}

#[test]
fn s6_mistakes_in_a_profile_are_told_before_anything_starts() {
    each_caller!(|scene| {
        let witness = scene.work().join("witness");
        let touch = command(&["touch", witness.to_str().unwrap()]);
        for (text, said) in [
            (
                r#"{ "defaultAction": "SCMP_ACT_ERRNO",
                     "syscalls": [{ "names": ["opennat"], "action": "SCMP_ACT_ALLOW" }] }"#,
                "line 2, column 47: unknown system call `opennat`; did you mean `openat`?",
            ),
            (
                r#"{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                     // not enough
                     { "names": ["read", "write", "open", "close"], "action": "SCMP_ACT_ALLOW" }] }"#,
                "`execve`",
            ),
            (r#"{ "defaultAction": "SCMP_ACT_TRACE" }"#, "SCMP_ACT_TRACE"),
        ] {
            let config = SandboxConfig {
                seccomp_profile: Some(SeccompProfile::Json(text.to_owned())),
                ..scene.config()
            };

            let error = NamespaceIsolator::new(config).run(touch.clone()).unwrap_err();

            assert!(error.to_string().contains(said), "{error}");
            assert!(!witness.exists());
        }
        // The same command, without a profile, leaves its mark.
        assert_eq!(
            scene.run(scene.config(), &["touch", witness.to_str().unwrap()]).exit,
            Exit::Exited(0)
        );
        assert!(witness.exists());
    });
}

#[test]
fn s7_no_supervisor_takes_the_place_of_ours() {
    each_caller!(|scene| {
        denied(
            scene,
            "EPERM",
            "
alone('listener', install, 1 << 3)
alone('listener and more', install, 1 << 3 | 1 << 1)
alone('listener, upper bits', install, 1 << 3 | 1 << 32)
",
        );
    });
}

#[test]
fn s7_a_filter_of_the_guests_own_narrows_its_own() {
    each_caller!(|scene| {
        let (with, without) = both(scene, "alone('filter', install, 0)");
        with.all("ok");
        without.all("ok");
    });
}
