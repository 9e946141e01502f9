//! R: what a guest may use up.

use std::fs;
use std::time::{Duration, Instant};

use kernel::sandbox::{Exit, NamespaceIsolator, Protection, SandboxConfig, State};

use crate::live::Live;
use crate::scene::{Scene, command};

/// 64 MiB, and where this host cannot hold a limit for the guest as a whole, by
/// name the weaker way.
fn small(scene: &Scene) -> SandboxConfig {
    SandboxConfig {
        memory_limit: Some(64 << 20),
        allow_degraded: vec!["memory".into()],
        ..scene.config()
    }
}

/// Takes memory as fast as it can, in one way.
fn bomb(way: &str) -> String {
    format!(
        "
import mmap, threading, time
def heap(size, wait=0):
    keep = []
    while size > 0:
        try: keep.append(bytearray(4 << 20))
        except MemoryError: break
        size -= 4 << 20
    time.sleep(wait)
    return keep
def processes():
    for _ in range(8):
        if os.fork() == 0:
            heap(20 << 20, 30); os._exit(0)
    time.sleep(30)
def orphans():
    for _ in range(8):
        child = os.fork()
        if child == 0:
            os.setsid()
            if os.fork() == 0: heap(20 << 20, 30)
            os._exit(0)
        os.waitpid(child, 0)
    time.sleep(30)
def threads():
    for _ in range(8): threading.Thread(target=heap, args=(20 << 20, 30)).start()
    time.sleep(30)
def shared():
    keep = []
    while True:
        m = mmap.mmap(-1, 4 << 20); keep.append(m)
        for at in range(0, 4 << 20, 4096): m[at] = 1
{way}
say('survived', 1)
"
    )
}

#[test]
fn r1_guest_as_a_whole_stays_below_its_memory_however_it_takes_it() {
    each_caller!(|scene| {
        let isolator = NamespaceIsolator::new(small(scene));
        for way in ["heap(500 << 20, 30)", "processes()", "orphans()", "threads()"] {
            let start = Instant::now();

            let outcome = isolator.run(scene.python_command(&bomb(way))).unwrap();

            // A single process may be told no by its address space and go on.
            let told_no =
                outcome.exit == Exit::Exited(0) || matches!(outcome.exit, Exit::Exited(1));
            let alone = way.starts_with("heap") || way == "threads()";
            assert!(
                outcome.exit == Exit::OutOfMemory(64 << 20) || (alone && told_no),
                "{way}: {:?} {}",
                outcome.exit,
                String::from_utf8_lossy(&outcome.stderr)
            );
            assert!(outcome.usage.max_memory_bytes < 150 << 20, "{way}: {:?}", outcome.usage);
            assert!(start.elapsed() < Duration::from_secs(20), "{way}: {:?}", start.elapsed());
        }
    });
}

#[test]
fn r1_without_a_limit_the_same_guest_survives() {
    each_caller!(|scene| {
        let config = SandboxConfig { memory_limit: None, ..scene.config() };

        let outcome = scene.python(config, &bomb("heap(150 << 20)"));

        assert_eq!(outcome.stdout, b"survived\t1\n");
    });
}

#[test]
fn r1_receipt_says_how_memory_is_held_here() {
    each_caller!(|scene| {
        let named = SandboxConfig { memory_limit: Some(64 << 20), ..scene.config() };

        let held = scene.run(small(scene), &["true"]).enforcement;
        let strict = NamespaceIsolator::new(named).execute("true", &[]);

        let held = held.get(Protection::Memory).unwrap();
        match held.state {
            State::Enforced => assert!(held.by.contains("cgroup") && strict.unwrap().success()),
            State::Degraded => {
                assert!(!held.why.is_empty());
                assert_eq!(strict.unwrap_err().code(), "unsupported");
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn r1_private_temporary_files_are_bounded() {
    each_caller!(|scene| {
        let script = "
def fill(folder):
    size = 0
    for i in range(1000):
        with open(f'{folder}/{i}', 'wb', buffering=0) as file:
            for _ in range(8):
                size += file.write(bytes(1 << 20))
def files(folder):
    for i in range(100000): open(f'{folder}/n{i}', 'w').close()
for folder in '/tmp', '/dev/shm':
    tell(f'bytes in {folder}', fill, folder)
    for name in filter(str.isdigit, os.listdir(folder)): os.unlink(f'{folder}/{name}')
    tell(f'files in {folder}', files, folder)
";
        let config = SandboxConfig { memory_limit: None, ..scene.config() };

        scene.inside(config, script).all("ENOSPC");
    });
}

#[test]
fn r2_other_runs_go_on_when_one_is_out_of_memory() {
    each_caller!(|scene| {
        let isolator = NamespaceIsolator::new(small(scene));
        let mut other = Live::start(
            &isolator,
            command(&["sh", "-c", "echo ready; sleep 1.5; echo still here"]),
        );
        other.hear("ready");

        let bomb = isolator.run(scene.python_command(&bomb("processes()"))).unwrap();
        let other = other.wait().unwrap();

        assert_eq!(bomb.exit, Exit::OutOfMemory(64 << 20));
        assert_eq!(bomb.exit_code(), -9);
        assert_eq!(bomb.violations[0].rule, "memory_limit");
        assert_eq!(other.exit, Exit::Exited(0));
        assert_eq!(other.stdout, b"ready\nstill here\n");
    });
}

/// Makes processes or threads until it is refused, each alive until the end.
const MULTIPLY: &str = "
import signal, threading, time
def until_refused(make):
    made = 0
    try:
        while made < 200:
            make(); made += 1
    except (OSError, RuntimeError) as e:
        return made, getattr(e, 'errno', None) and errno.errorcode[e.errno]
    return made, 'never'
def fork():
    if os.fork() == 0: time.sleep(60)
def orphan():
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            if os.fork() == 0: time.sleep(60)
        except OSError: os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]): raise OSError(errno.EAGAIN, '')
def thread(): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
def renewed():
    if os.fork() == 0: os.execv('/bin/sleep', ['sleep', '60'])
made, why = until_refused(globals()[sys.argv[1] if len(sys.argv) > 1 else WAY])
alive = sum(len(os.listdir(f'/proc/{p}/task')) for p in os.listdir('/proc') if p.isdigit()) - 1
say('why', why)
say('alive', alive)
sys.stdout.flush()
os._exit(0)
";

#[test]
fn r3_processes_and_threads_never_exceed_their_limit() {
    each_caller!(|scene| {
        let config = SandboxConfig { max_processes: Some(12), ..scene.config() };
        let isolator = NamespaceIsolator::new(config);
        for way in ["fork", "orphan", "thread", "renewed"] {
            let script = format!("WAY = '{way}'\n{MULTIPLY}");

            let outcome = isolator.run(scene.python_command(&script)).unwrap();

            let told = crate::told::Told::parse(&outcome.stdout);
            let why = told.about("why");
            assert!(matches!(why, "EAGAIN" | "None"), "{way}: {why}");
            let alive: u32 = told.about("alive").parse().unwrap();
            // An orphan's parent needs a place while it makes it.
            assert!((11..=12).contains(&alive), "{way}: {alive}");
        }
        let twin = SandboxConfig { max_processes: None, ..scene.config() };
        let twin = scene.inside(twin, &format!("WAY = 'fork'\n{MULTIPLY}"));
        assert_eq!(twin.about("why"), "never");
    });
}

#[test]
fn r3_fork_bomb_ends_with_its_run_and_hurts_nobody() {
    each_caller!(|scene| {
        let config = SandboxConfig {
            max_processes: Some(32),
            timeout: Some(Duration::from_secs(1)),
            ..scene.config()
        };
        let start = Instant::now();

        let outcome = scene.sh(config, "bomb() { bomb | bomb & }; bomb; sleep 30");

        assert!(
            outcome.timed_out() || matches!(outcome.exit, Exit::Exited(_)),
            "{:?}",
            outcome.exit
        );
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    });
}

#[test]
fn r4_no_file_grows_past_its_limit_by_any_call() {
    each_caller!(|scene| {
        let script = "
import mmap, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
LIMIT = 1 << 20
def write(name, size):
    with open(name, 'wb', buffering=0) as file:
        while size > 0: size -= file.write(bytes(min(size, 1 << 18)))
def at(name):
    fd = os.open(name, os.O_CREAT | os.O_RDWR); os.pwrite(fd, b'xx', LIMIT)
def space(name):
    fd = os.open(name, os.O_CREAT | os.O_RDWR); os.posix_fallocate(fd, 0, LIMIT + 1)
def truncate(name):
    fd = os.open(name, os.O_CREAT | os.O_RDWR); os.ftruncate(fd, LIMIT + 1)
def append(name):
    write(name, LIMIT)
    fd = os.open(name, os.O_APPEND | os.O_WRONLY); os.write(fd, b'x')
def copied(name):
    write(name, LIMIT)
    fd = os.open(name, os.O_RDWR); os.lseek(fd, 0, os.SEEK_END)
    os.sendfile(fd, os.open('/usr/bin/env', os.O_RDONLY), 0, 4096)
def raised(name):
    call(302, 0, 1, (LIMIT * 4).to_bytes(8, 'little') * 2, None)
for folder in '@work', '/tmp', '/dev/shm':
    tell(f'write in {folder}', write, folder + '/a', LIMIT + 1)
    tell(f'write at an offset in {folder}', at, folder + '/b')
    tell(f'allocate in {folder}', space, folder + '/c')
    tell(f'truncate in {folder}', truncate, folder + '/d')
    tell(f'append in {folder}', append, folder + '/e')
    tell(f'copy in {folder}', copied, folder + '/f')
memory = os.memfd_create('m')
tell('memory file', os.ftruncate, memory, LIMIT + 1)
tell('raise the limit', raised, '')
child = os.fork()
if child == 0:
    try: write('@work/g', LIMIT + 1)
    except OSError as e: os._exit(e.errno)
    os._exit(0)
say('child', errno.errorcode.get(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 'ok'))
say('largest', max(os.stat('@work/' + name).st_size for name in os.listdir('@work')) <= LIMIT)
";
        let config = SandboxConfig { file_size_limit: Some(1 << 20), ..scene.config() };

        let told = scene.inside(config, script);

        for (act, result) in told.iter() {
            let expected = match act {
                "raise the limit" => "EPERM",
                "largest" => "True",
                _ => "EFBIG",
            };
            assert_eq!(result, expected, "{act}");
        }
        let twin = scene.inside(SandboxConfig { file_size_limit: None, ..scene.config() }, script);
        assert!(
            twin.iter().filter(|(act, _)| *act != "largest").all(|(_, told)| told == "ok"),
            "{twin:?}"
        );
    });
}

#[test]
fn r4_signal_of_a_file_that_is_too_large_is_told_as_such() {
    each_caller!(|scene| {
        let config = SandboxConfig { file_size_limit: Some(1 << 20), ..scene.config() };

        let outcome = scene.run(config, &["dd", "if=/dev/zero", "of=big", "bs=64k", "count=64"]);

        assert_eq!(outcome.exit, Exit::FileSize(1 << 20));
        assert_eq!(fs::metadata(scene.work().join("big")).unwrap().len(), 1 << 20);
    });
}

#[test]
fn r5_busy_guest_ends_at_its_cpu_limit_whatever_it_does_with_signals() {
    each_caller!(|scene| {
        let config = SandboxConfig { cpu_time_limit: Some(1), ..scene.config() };
        for script in [
            "while True: pass",
            "
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: pass",
            // Never a second each, but far more in all.
            "
import time
for _ in range(8):
    if os.fork() == 0:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if os.fork() == 0:
                while time.process_time() < 0.3: pass
                os._exit(0)
            os.wait()
        os._exit(0)
while True: os.wait()",
        ] {
            let start = Instant::now();

            let outcome = scene.python(config.clone(), script);

            assert_eq!(outcome.exit, Exit::CpuTime(1), "{script}: {:?}", outcome.usage);
            assert!(start.elapsed() < Duration::from_secs(20), "{script}: {:?}", start.elapsed());
        }
    });
}

#[test]
fn r6_a_hundred_megabytes_of_output_are_cut_and_do_not_fill_the_application() {
    each_caller!(|scene| {
        let resident = || {
            let own = std::process::id();
            let text = crate::live::status(own, "VmRSS");
            text.split(' ').next().unwrap().parse::<u64>().unwrap() * 1024
        };
        let config = SandboxConfig { max_output: 1 << 20, ..scene.config() };
        let before = resident();

        let within =
            scene.sh(config.clone(), "head -c 9000000 /dev/zero | tr '\\0' x; echo >&2 end");
        let beyond = scene.sh(config, "head -c 100000000 /dev/zero; sleep 20");

        assert_eq!(within.exit, Exit::Exited(0));
        assert!(within.output_truncated);
        assert!(within.stdout.len() == 1 << 20 && within.stdout.iter().all(|byte| *byte == b'x'));
        assert_eq!(within.usage.stdout_bytes, 9_000_000);
        assert_eq!(within.stderr, b"end\n");
        assert_eq!(beyond.exit, Exit::Output(1 << 20));
        assert_eq!(beyond.stdout.len(), 1 << 20);
        assert!(resident() < before + (16 << 20), "{before} → {}", resident());
    });
}

#[test]
fn r6_whole_output_is_kept_below_the_cap() {
    each_caller!(|scene| {
        let config = SandboxConfig { max_output: 120_000_000, ..scene.config() };

        let outcome = scene.sh(config, "head -c 100000000 /dev/zero");

        assert_eq!(outcome.exit, Exit::Exited(0));
        assert_eq!((outcome.stdout.len(), outcome.output_truncated), (100_000_000, false));
    });
}

#[test]
fn r7_open_files_are_bounded() {
    each_caller!(|scene| {
        let script = "
import resource
opened = []
def more():
    while len(opened) < 5000: opened.append(os.open('/dev/null', os.O_RDONLY))
tell('open', more)
say('at', len(opened) <= 1024)
for fd in opened: os.close(fd)
";

        scene.inside(scene.config(), script).is(&[("open", "EMFILE"), ("at", "True")]);
    });
}
