//! L1, L2, L3, L7 and L8: the end of a run, whatever the guest does about it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use kernel::sandbox::{Exit, NamespaceIsolator, SandboxConfig};
use neuroflow_tests::need;

use crate::live::{mark, processes_with, soon};
use crate::scene::{command, text};

/// Ways not to be ended.
const STUBBORN: &[(&str, &str)] = &[
    (
        "blocks and ignores signals",
        "
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
time.sleep(60)",
    ),
    ("stops itself", "os.kill(os.getpid(), 19)"),
    ("stops everybody", "os.fork(); os.kill(0, 19); time.sleep(60)"),
    (
        "a daemon holds everything",
        "
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(60)
    os._exit(0)
time.sleep(60)",
    ),
    (
        "threads",
        "
import threading
for _ in range(10): threading.Thread(target=time.sleep, args=(60,)).start()",
    ),
    ("closes everything", "os.closerange(0, 1024); time.sleep(60)"),
    (
        "executes itself again and again",
        "
code = 'import os, sys; os.execv(sys.executable, sys.orig_argv)'
os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', code])",
    ),
    ("vfork", "import subprocess; subprocess.run(['sleep', '60'])"),
    ("reads what never comes", "r, w = os.pipe(); os.read(r, 1)"),
    ("waits for a FIFO", "os.mkfifo('/tmp/fifo'); open('/tmp/fifo')"),
    (
        "fills its output and waits",
        "sys.stdout.write('x' * 200000); sys.stdout.flush(); time.sleep(60)",
    ),
];

#[test]
fn l1_deadline_ends_every_guest_and_keeps_its_output() {
    each_caller!(|scene| {
        let timeout = Duration::from_millis(700);
        let config = SandboxConfig { timeout: Some(timeout), ..scene.config() };
        let isolator = NamespaceIsolator::new(config);
        std::thread::scope(|scope| {
            for (name, script) in STUBBORN {
                let isolator = &isolator;
                scope.spawn(move || {
                    let script = format!("import time\nprint('so far', flush=True)\n{script}");
                    let start = Instant::now();

                    let outcome = isolator
                        .run(command(&[
                            "python3",
                            "-I",
                            "-S",
                            "-c",
                            &format!("import os, sys\n{script}"),
                        ]))
                        .unwrap();

                    assert_eq!(outcome.exit, Exit::TimedOut(timeout), "{name}: {outcome:?}");
                    assert_eq!(outcome.exit_code(), -9);
                    assert_eq!(outcome.error().unwrap(), "Command timed out after 0.7s");
                    assert!(text(&outcome.stdout).starts_with("so far\n"), "{name}");
                    assert!(
                        start.elapsed() < Duration::from_millis(2700),
                        "{name}: {:?}",
                        start.elapsed()
                    );
                });
            }
        });
    });
}

#[test]
fn l2_call_returns_when_the_main_program_ends() {
    each_caller!(|scene| {
        let mark = mark();
        let start = Instant::now();

        let outcome = scene.sh(
            scene.config(),
            &format!("sleep {mark} & setsid sleep {mark} & (setsid sleep {mark} 3>&1 &) ; echo done; exit 3"),
        );

        assert_eq!((outcome.exit, text(&outcome.stdout)), (Exit::Exited(3), "done\n"));
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!(processes_with(&mark), [0_u32; 0], "the call has returned");
    });
}

#[test]
fn l3_nothing_of_the_guest_runs_once_the_call_has_returned() {
    each_caller!(|scene| {
        let mark = mark();
        let isolator = NamespaceIsolator::new(scene.config());
        for script in [
            format!("(setsid nohup sleep {mark} >/dev/null 2>&1 &)"),
            format!("sleep {mark} & kill -STOP $!"),
            format!("(trap '' TERM HUP INT; sleep {mark}) &"),
            format!("sh -c 'while :; do sleep {mark} & done' & sleep 0.3"),
        ] {
            let outcome = isolator.run(command(&["sh", "-c", &script])).unwrap();

            assert_eq!(processes_with(&mark), [0_u32; 0], "{script}");
            assert_eq!(outcome.exit, Exit::Exited(0), "{script}");
        }
    });
}

/// Forks, and the parent ends: nobody who lists processes ever catches it.
const FASTER_THAN_A_LIST: &str = "
#include <unistd.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    for (int i = 0; i < 4; i++) if (fork() == 0) break;
    for (;;) { if (fork() > 0) _exit(0); setsid(); }
}
";

#[test]
fn l3_processes_that_fork_faster_than_they_can_be_listed_end_too() {
    need!(Program("cc"));
    each_caller!(|scene| {
        let program = scene.compile("hop", FASTER_THAN_A_LIST);
        let config = SandboxConfig {
            timeout: Some(Duration::from_millis(600)),
            memory_limit: None,
            ..scene.config()
        };
        let start = Instant::now();

        let outcome = scene.sh(config, "./hop & sleep 30");

        assert!(outcome.timed_out(), "{outcome:?}");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!(processes_with(program.to_str().unwrap()), [0_u32; 0]);
        assert_eq!(processes_with("./hop"), [0_u32; 0]);
    });
}

#[test]
fn l3_dropped_run_is_ended() {
    each_caller!(|scene| {
        let mark = mark();
        let isolator = NamespaceIsolator::new(scene.config());
        let running =
            isolator.start(command(&["sh", "-c", &format!("sleep {mark} & wait")])).unwrap();
        soon("start", || !processes_with(&mark).is_empty());

        drop(running);

        assert_eq!(processes_with(&mark), [0_u32; 0]);
    });
}

#[test]
fn l7_program_that_cannot_be_started_is_an_error_with_the_reason() {
    each_caller!(|scene| {
        let file = |name: &str, content: &[u8], mode| {
            let path = scene.work().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        file("plain", b"text", 0o644);
        file("garbage", b"\x7fELF and then nothing", 0o755);
        file("no-interpreter", b"#!/no/such/interpreter\n", 0o755);
        file("empty", b"", 0o755);
        let isolator = NamespaceIsolator::new(scene.config());

        for (program, code) in [
            ("no-such-program", "not_found"),
            ("./missing", "not_found"),
            ("/etc/shadow/x", "not_found"),
            ("./plain", "not_executable"),
            (".", "not_executable"),
            ("/", "not_executable"),
            ("/dev/null", "not_executable"),
            ("./garbage", "not_executable"),
            ("./empty", "not_executable"),
            ("./no-interpreter", "not_found"),
        ] {
            let result = isolator.run(command(&[program]));

            let error = result.map(|outcome| outcome.exit).unwrap_err();
            assert_eq!(error.code(), code, "{program}: {error}");
            assert!(error.to_string().contains(program), "{error}");
        }
        // On the host only: what is not shown is not there.
        let outside = scene.outside().join("tool");
        fs::copy("/bin/true", &outside).unwrap();
        let error = isolator.run(command(&[outside.to_str().unwrap()])).unwrap_err();
        assert_eq!(error.code(), "not_found", "{error}");
    });
}

#[test]
fn l7_crash_is_a_crash_and_leaves_no_core() {
    each_caller!(|scene| {
        let crash = "
import resource
tell('limit', lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
say('core', resource.getrlimit(resource.RLIMIT_CORE))
sys.stdout.flush()
ctypes.string_at(0)
";

        let outcome = scene.python(scene.config(), crash);

        assert_eq!(outcome.exit, Exit::Signalled(11));
        assert!(text(&outcome.stdout).contains("core\t(0, 0)"));
        assert_eq!(fs::read_dir(scene.work()).unwrap().count(), 0);
        assert_eq!(scene.sh(scene.config(), "kill -ABRT $$").exit, Exit::Signalled(6));
    });
}

#[test]
fn l8_eight_runs_at_once_are_like_eight_one_after_the_other() {
    each_caller!(|scene| {
        let isolator = NamespaceIsolator::new(scene.config());
        let run = |n: i32| {
            let script =
                format!("echo {n}; echo e{n} >&2; echo {n} > /tmp/x; cat /tmp/x; exit {n}");
            let outcome = isolator.run(command(&["sh", "-c", &script])).unwrap();
            (outcome.exit, text(&outcome.stdout).to_owned(), text(&outcome.stderr).to_owned())
        };
        let expected = |n| (Exit::Exited(n), format!("{n}\n{n}\n"), format!("e{n}\n"));

        for n in 0..8 {
            assert_eq!(run(n), expected(n));
        }
        std::thread::scope(|scope| {
            for n in 0..8 {
                let run = &run;
                scope.spawn(move || {
                    for _ in 0..5 {
                        assert_eq!(run(n), expected(n));
                    }
                });
            }
        });
    });
}
