//! P1, P4, P5 and P9: who the guest is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use kernel::sandbox::{Exit, NamespaceIsolator, SandboxConfig};

use crate::live::{Live, mark, processes_with, status};
use crate::scene::command;

#[test]
fn p1_guest_has_namespaces_of_its_own() {
    each_caller!(|scene| {
        let script = "
for name in 'pid', 'mnt', 'net', 'uts', 'ipc', 'user', 'cgroup':
    say(name, os.readlink(f'/proc/self/ns/{name}'))
";

        let told = scene.inside(scene.config(), script);

        for (name, guests) in told.iter() {
            let ours = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
            assert!(guests.starts_with(name), "{guests}");
            assert_ne!(guests, ours.to_str().unwrap(), "{name}");
        }
        let twin = scene.unconfined(script);
        let ours = fs::read_link("/proc/self/ns/user").unwrap();
        assert_eq!(twin.about("user"), ours.to_str().unwrap());
    });
}

#[test]
fn p4_guest_is_an_unprivileged_user_inside_and_for_the_host() {
    each_caller!(|scene| {
        let mark = mark();
        let script = format!(
            "
say('ids', [*os.getresuid(), *os.getresgid(), *os.getgroups()])
say('map', open('/proc/self/uid_map').read().split()[1])
say('become root', 'no')
tell('setuid', os.setuid, 0)
tell('setgid', os.setgid, 0)
tell('setgroups', os.setgroups, [0])
tell('ready', print, 'ready')
os.execv('/bin/sleep', ['sleep', '{mark}'])
"
        );
        let isolator = NamespaceIsolator::new(scene.config());
        let mut live = Live::start(&isolator, scene.python_command(&script));

        let told = crate::told::Told::parse(live.hear("ready\tok").as_bytes());
        crate::live::soon("exec", || {
            processes_with(&mark).iter().any(|pid| status(*pid, "Name") == "sleep")
        });
        let guest = processes_with(&mark)[0];

        let nobody = told.about("ids");
        assert!(nobody.starts_with("[1000, 1000, 1000, 1000, 1000, 1000"), "{nobody}");
        for act in ["setuid", "setgid", "setgroups"] {
            assert!(matches!(told.about(act), "EINVAL" | "EPERM"), "{act}");
        }
        assert_ne!(told.about("map"), "0");
        for field in ["Uid", "Gid"] {
            let ids = status(guest, field);
            assert!(ids.split_whitespace().all(|id| id != "0"), "{field}: {ids}");
        }
        assert!(status(guest, "Groups").split_whitespace().all(|id| id != "0"));
        live.end();
    });
}

const STATUS: &str = "
for line in open('/proc/self/status'):
    name, value = line.strip().split(':', 1)
    if name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'):
        say(name, value.strip())
";

const NO_CAPABILITY: &str = "0000000000000000";

#[test]
fn p5_no_capability_no_new_privs_and_a_filter_for_all_that_runs_inside() {
    each_caller!(|scene| {
        let mark = mark();
        let isolator = NamespaceIsolator::new(scene.config());
        let mut live = Live::start(
            &isolator,
            // A grandchild, in a session of its own.
            command(&["sh", "-c", &format!("setsid sh -c 'sleep {mark} & echo ready; wait'")]),
        );
        live.hear("ready");
        crate::live::soon("fork", || processes_with(&mark).len() >= 3);
        let guests = processes_with(&mark);
        let parent: u32 =
            guests.iter().map(|pid| status(*pid, "PPid").parse().unwrap()).min().unwrap();
        let init = parent;

        for pid in guests.into_iter().chain([init]) {
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(status(pid, set), NO_CAPABILITY, "{set} of {}", status(pid, "Name"));
            }
            assert_eq!(status(pid, "NoNewPrivs"), "1", "{}", status(pid, "Name"));
            assert_eq!(status(pid, "Seccomp"), "2", "{}", status(pid, "Name"));
        }
        live.end();

        let twin = SandboxConfig { enable_seccomp: false, ..scene.config() };
        assert_eq!(scene.inside(twin, STATUS).about("Seccomp"), "0");
        let caller = scene.unconfined(STATUS);
        assert_ne!(caller.about("CapBnd"), NO_CAPABILITY);
    });
}

#[test]
fn p5_nothing_gets_a_capability_back() {
    each_caller!(|scene| {
        let script = "
header = bytes.fromhex('22050820') + bytes(4)
tell('capset', call, 126, header, bytes([255]) * 24)
tell('ambient', call, 157, 47, 2, 21, 0, 0)
tell('securebits', call, 157, 28, 0)
tell('no_new_privs off', call, 157, 38, 0, 0, 0, 0)
tell('user namespace', call, 272, 0x10000000)
tell('by clone', call, 56, 0x10000011, 0, 0, 0, 0)
tell('by clone3', call, 435, (0x10000000).to_bytes(8, 'little') + bytes(80), 88)
tell('join', lambda: call(308, os.open('/proc/self/ns/user', os.O_RDONLY), 0))
";

        let told = scene.inside(scene.config(), script);

        for (act, result) in told.iter() {
            let expected = match act {
                "by clone3" => "ENOSYS",
                "no_new_privs off" => "EINVAL",
                _ => "EPERM",
            };
            assert_eq!(result, expected, "{act}");
        }
        let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };
        let told = scene.inside(unfiltered, script);
        assert_eq!(told.about("user namespace"), "ok");
        assert_eq!((told.about("capset"), told.about("ambient")), ("EPERM", "EPERM"));
    });
}

#[test]
fn p5_set_id_program_gives_nothing() {
    each_caller!(|scene| {
        // Only root can lay one there; that it works, an ordinary user shows.
        if !scene.is_root() {
            return;
        }
        let program = scene.work().join("id");
        fs::copy("/usr/bin/id", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
        for folder in scene.work().ancestors().take(3) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }

        let inside = scene.sh(scene.config(), "./id -u; ./id -g");
        let twin = std::process::Command::new(&program).arg("-u").uid(1).gid(1).output().unwrap();

        assert_eq!(inside.stdout, b"1000\n1000\n");
        assert_eq!(twin.stdout, b"0\n");
    });
}

#[test]
fn p9_guest_is_not_pid_1_and_dies_of_its_own_signals() {
    each_caller!(|scene| {
        let told =
            scene.inside(scene.config(), "say('pid', os.getpid()); say('parent', os.getppid())");
        assert_ne!(told.about("pid"), "1");
        assert_eq!(told.about("parent"), "1");

        let isolator = NamespaceIsolator::new(scene.config());
        for signal in [1, 2, 3, 4, 6, 8, 9, 11, 13, 14, 15, 31] {
            let kill = format!("kill -{signal} $$; sleep 1");

            let outcome = isolator.run(command(&["sh", "-c", &kill])).unwrap();

            assert_eq!(outcome.exit, Exit::Signalled(signal));
        }
        for code in [0, 1, 2, 42, 126, 127, 128, 137, 255] {
            let outcome = isolator.run(command(&["sh", "-c", &format!("exit {code}")])).unwrap();

            assert_eq!(outcome.exit, Exit::Exited(code));
        }
    });
}

#[test]
fn p9_orphans_are_adopted_and_reaped() {
    each_caller!(|scene| {
        let told = scene.inside(
            scene.config(),
            "
import time
for _ in range(20):
    child = os.fork()
    if child == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
until = time.monotonic() + 5
while len(left := [p for p in os.listdir('/proc') if p.isdigit()]) > 2 and time.monotonic() < until:
    time.sleep(0.01)
say('processes', sorted(left, key=int)[0] + f' and {len(left) - 1} more')
",
        );

        told.is(&[("processes", "1 and 1 more")]);
    });
}
