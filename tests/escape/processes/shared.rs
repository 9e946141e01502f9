//! P3, P7 and P8: what two runs, or a run and the host, could share.

use crate::told::Told;

/// Makes one of everything that has a name.
const MAKE: &str = "
import socket
keep = []
def make():
    s = socket.socket(socket.AF_UNIX); s.bind('\\0neuroflow-escape'); s.listen(); keep.append(s)
    s = socket.socket(); s.bind(('127.0.0.1', 47113)); s.listen(); keep.append(s)
    s = socket.socket(socket.AF_UNIX); s.bind('/tmp/socket'); s.listen(); keep.append(s)
    for path in '/tmp/file', '/dev/shm/file': open(path, 'w').close()
    call(29, 0x4e460001, 4096, 0o1600)
    call(68, 0x4e460001, 0o1600)
    call(64, 0x4e460001, 1, 0o1600)
";

/// Reaches for them.
const REACH: &str = "
import socket
def reach():
    def connect(family, address):
        with socket.socket(family) as s: s.connect(address)
    tell('abstract socket', connect, socket.AF_UNIX, '\\0neuroflow-escape')
    tell('port', connect, socket.AF_INET, ('127.0.0.1', 47113))
    tell('socket', connect, socket.AF_UNIX, '/tmp/socket')
    tell('file', os.stat, '/tmp/file')
    tell('shared file', os.stat, '/dev/shm/file')
    tell('shared memory', call, 29, 0x4e460001, 0, 0)
    tell('message queue', call, 68, 0x4e460001, 0)
    tell('semaphore', call, 64, 0x4e460001, 0, 0)
    tell('POSIX queue', call, 240, b'neuroflow-escape', 2, 0, None)
    say('processes', len([p for p in os.listdir('/proc') if p.isdigit()]))
";

#[test]
fn p3_two_runs_at_once_share_nothing() {
    each_caller!(|scene| {
        let isolator = kernel::sandbox::NamespaceIsolator::new(scene.config());
        let first = format!(
            "{MAKE}{REACH}\nmake(); reach()\nsay('ready', 1)\nsys.stdin.read()\nimport time; time.sleep(60)"
        );
        let mut live = crate::live::Live::start(&isolator, scene.python_command(&first));
        let twin = Told::parse(live.hear("ready").as_bytes());

        // Of the same launcher, under the same user.
        let second = isolator.run(scene.python_command(&format!("{REACH}\nreach()"))).unwrap();
        let other_isolator = scene.inside(scene.config(), &format!("{REACH}\nreach()"));
        live.end();

        for told in [Told::parse(&second.stdout), other_isolator] {
            told.is(&[
                ("abstract socket", "ECONNREFUSED"),
                ("port", "ECONNREFUSED"),
                ("socket", "ENOENT"),
                ("file", "ENOENT"),
                ("shared file", "ENOENT"),
                ("shared memory", "ENOENT"),
                ("message queue", "ENOENT"),
                ("semaphore", "ENOENT"),
                ("POSIX queue", "ENOENT"),
                ("processes", "2"),
            ]);
        }
        for (what, result) in twin.iter() {
            // Landlock lets nobody make a queue.
            if !matches!(what, "processes" | "ready" | "POSIX queue") {
                assert_eq!(result, "ok", "{what}");
            }
        }
    });
}

#[test]
fn p7_ipc_objects_of_the_host_are_out_of_reach() {
    each_caller!(|scene| {
        let key = 0x4e00_0000 + std::process::id();
        let name = format!("neuroflow-escape-{}", std::process::id());
        let make = format!(
            "
tell('memory', call, 29, {key}, 4096, 0o1600)
tell('queue', call, 68, {key}, 0o1600)
tell('semaphore', call, 64, {key}, 1, 0o1600)
tell('POSIX queue', call, 240, b'{name}', 0o102, 0o600, None)
"
        );
        let reach = format!(
            "
tell('memory', call, 29, {key}, 0, 0)
tell('queue', call, 68, {key}, 0)
tell('semaphore', call, 64, {key}, 0, 0)
tell('POSIX queue', call, 240, b'{name}', 2, 0, None)
say('listed', sum(len(open(f'/proc/sysvipc/{{kind}}').readlines()) - 1 for kind in ('shm', 'msg', 'sem')))
"
        );
        let remove = format!(
            "
call(31, call(29, {key}, 0, 0), 0, 0)
call(71, call(68, {key}, 0), 0, 0)
call(66, call(64, {key}, 0, 0), 0, 0, 0)
call(241, b'{name}')
"
        );
        scene.unconfined(&make).all("ok");

        let inside = scene.inside(scene.config(), &reach);
        let twin = scene.unconfined(&reach);
        scene.unconfined(&remove);

        for what in ["memory", "queue", "semaphore", "POSIX queue"] {
            assert_eq!((inside.about(what), twin.about(what)), ("ENOENT", "ok"), "{what}");
        }
        assert_eq!(inside.about("listed"), "0");
    });
}

#[test]
fn p7_keyrings_of_the_caller_are_out_of_reach() {
    each_caller!(|scene| {
        let name = format!("neuroflow-escape-{}", std::process::id());
        // add_key(2), request_key(2) and keyctl(KEYCTL_SEARCH): the session's
        // keyring is -3, the user's -4.
        let script = format!(
            "
tell('make', call, 248, b'user', b'{name}', b'the secret', 10, -3)
tell('make for the user', call, 248, b'user', b'{name}', b'the secret', 10, -4)
"
        );
        let reach = format!(
            "
tell('ask', call, 249, b'user', b'{name}', None, 0)
tell('search the session', call, 250, 10, -3, b'user', b'{name}', 0)
tell('search the user', call, 250, 10, -4, b'user', b'{name}', 0)
tell('describe', call, 250, 6, -3, None, 0)
"
        );
        let unfiltered = kernel::sandbox::SandboxConfig { enable_seccomp: false, ..scene.config() };
        let twin = scene.unconfined(&format!("{script}{reach}"));
        // The session keyring of this very process: inherited by what it starts.
        let inside = scene.inside(scene.config(), &reach);
        let without_filter = scene.inside(unfiltered, &reach);
        let remove = format!(
            "for ring in -3, -4:\n    try: call(250, 9, call(250, 10, ring, b'user', b'{name}', 0), ring)\n    except OSError: pass"
        );
        scene.unconfined(&remove);

        for act in ["make", "make for the user", "ask", "search the user"] {
            assert_eq!(twin.about(act), "ok", "{act}");
        }
        inside.all("EPERM");
        for act in ["ask", "search the session", "search the user"] {
            assert_eq!(without_filter.about(act), "ENOKEY", "{act}");
        }
    });
}

#[test]
fn p7_ipc_objects_of_the_guest_end_with_the_run() {
    each_caller!(|scene| {
        let isolator = kernel::sandbox::NamespaceIsolator::new(scene.config());
        let run = |script: &str| {
            let outcome = isolator.run(scene.python_command(script)).unwrap();
            Told::parse(&outcome.stdout)
        };
        let make = "tell('make', call, 29, 0x4e460002, 4096, 0o3600)";

        run(make).all("ok");
        // 0o3600 is IPC_CREAT and IPC_EXCL: it is not there any more.
        run(make).all("ok");
        run(&format!("{make}\ntell('again', call, 29, 0x4e460002, 4096, 0o3600)"))
            .is(&[("make", "ok"), ("again", "EEXIST")]);
    });
}

const STEER: &str = "
import socket
name = socket.gethostname().encode()
tell('host name', call, 170, name, len(name))
tell('domain name', call, 171, b'(none)', 6)
tell('clock', call, 227, 99, bytes(16))
tell('time of day', call, 164, None, ctypes.create_string_buffer(8))
tell('real time', os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
tell('round robin', os.sched_setscheduler, 0, os.SCHED_RR, os.sched_param(1))
tell('real-time io', call, 251, 1, 0, 0x2000)
tell('higher priority', os.setpriority, os.PRIO_PROCESS, 0, -5)
unlimited = bytes([255]) * 16
for name, number in ('nice', 13), ('real time', 14), ('open files', 7), ('locked memory', 8):
    tell(f'more {name}', call, 302, 0, number, unlimited if number != 7 else
         (1 << 19).to_bytes(8, 'little') * 2, None)
";

#[test]
fn p8_host_name_clock_and_priorities_cannot_be_changed() {
    each_caller!(|scene| {
        let told = scene.inside(scene.config(), STEER);
        let unfiltered = kernel::sandbox::SandboxConfig { enable_seccomp: false, ..scene.config() };
        let capabilities_alone = scene.inside(unfiltered, STEER);

        for (act, result) in told.iter().chain(capabilities_alone.iter()) {
            // EACCES is what setpriority(2) says; the clock does not exist.
            let denied = matches!(
                (act, result),
                (_, "EPERM") | ("higher priority", "EACCES") | ("clock", "EINVAL")
            );
            assert!(denied, "{act}: {result}");
        }
        if scene.is_root() {
            let twin = scene.unconfined(STEER);
            for act in ["host name", "real time", "higher priority"] {
                assert_eq!(twin.about(act), "ok", "{act}");
            }
        }
        let name = scene.inside(scene.config(), "say('name', os.uname().nodename)");
        name.is(&[("name", "sandbox")]);
    });
}
