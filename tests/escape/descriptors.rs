//! D: descriptors, environment, terminal: what the application holds.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use kernel::sandbox::{Error, NamespaceIsolator, SandboxConfig};
use rustix::io::FdFlags;

use crate::scene::{command, role};

/// Leaves a descriptor open for whatever is executed.
fn inheritable(file: &File) {
    rustix::io::fcntl_setfd(file, FdFlags::empty()).unwrap();
}

const DESCRIPTORS: &str = "
mine = os.open('/proc/self/fd', os.O_RDONLY)
say('open', sorted(int(n) for n in os.listdir(mine) if int(n) not in (mine, mine + 1)))
";

#[test]
fn d1_guest_starts_with_three_descriptors_and_no_other() {
    each_caller!(|scene| {
        let secret = File::open(scene.secret()).unwrap();
        let high = rustix::io::fcntl_dupfd_cloexec(&secret, 700).unwrap();
        let high = File::from(high);
        let folder = File::open("/").unwrap();
        [&secret, &high, &folder].into_iter().for_each(inheritable);

        let inside = scene.inside(scene.config(), DESCRIPTORS);
        let twin = scene.unconfined(DESCRIPTORS);

        assert_eq!(inside.about("open"), "[0, 1, 2]");
        for fd in [&secret, &high, &folder] {
            let fd = fd.as_raw_fd().to_string();
            assert!(twin.about("open").contains(&fd), "{twin:?}");
        }
    });
}

#[test]
fn d1_guest_of_a_launcher_that_has_served_others_starts_with_three_too() {
    each_caller!(|scene| {
        let isolator = NamespaceIsolator::new(scene.config());
        let mut waiting = Vec::new();
        for _ in 0..4 {
            waiting.push(isolator.start(command(&["sleep", "60"])).unwrap());
        }

        let outcome = isolator.run(scene.python_command(DESCRIPTORS)).unwrap();

        assert_eq!(outcome.stdout, b"open\t[0, 1, 2]\n");
    });
}

#[test]
fn d2_stdin_is_at_its_end_and_never_the_applications_own() {
    each_caller!(|scene| {
        // Gives this process a stdin with something to steal.
        let before = rustix::io::dup(rustix::stdio::stdin()).unwrap();
        let (theirs, mut ours) = std::io::pipe().unwrap();
        ours.write_all(b"typed by the user\n").unwrap();
        rustix::stdio::dup2_stdin(&theirs).unwrap();
        let script = "
say('read', repr(sys.stdin.read()))
say('is', os.readlink('/proc/self/fd/0'))
";

        let told = scene.inside(scene.config(), script);

        assert_eq!(told.about("read"), "''");
        let own = std::fs::read_link("/proc/self/fd/0").unwrap();
        assert_ne!(told.about("is"), own.to_str().unwrap());
        drop(ours);
        let mut still_there = String::new();
        std::io::stdin().read_to_string(&mut still_there).unwrap();
        assert_eq!(still_there, "typed by the user\n");
        rustix::stdio::dup2_stdin(before).unwrap();
    });
}

#[test]
fn d3_environment_of_the_application_is_not_passed_on_or_readable() {
    each_caller!(|scene| {
        // The variable by which each_caller! tells this process what it is.
        assert!(std::env::var_os("NEUROFLOW_ESCAPE_CALLER").is_some());
        let script = "
say('own', sorted(set(os.environ) - {'LC_CTYPE'}))
found = []
for pid in filter(str.isdigit, os.listdir('/proc')):
    for file in 'environ', 'cmdline', 'auxv':
        try: text = open(f'/proc/{pid}/{file}', 'rb').read()
        except OSError: continue
        if file == 'environ' and b'NEUROFLOW_ESCAPE' in text: found.append(pid)
say('leaks', found)
tell('of init', open, '/proc/1/environ')
tell('memory of init', open, '/proc/1/mem')
";

        let inside = scene.inside(scene.config(), script);

        inside.is(&[
            ("own", "['HOME', 'LANG', 'PATH', 'TMPDIR']"),
            ("leaks", "[]"),
            ("of init", "EACCES"),
            ("memory of init", "EACCES"),
        ]);
        assert_ne!(scene.unconfined(script).about("leaks"), "[]");
    });
}

#[test]
fn d3_nothing_of_the_application_is_in_the_memory_of_our_helpers() {
    each_caller!(|scene| {
        // Seen from outside, where we may look: the launcher and init.
        let config = SandboxConfig {
            environment: [("TOKEN".to_owned(), "of-one-run-only".to_owned())].into(),
            ..scene.config()
        };
        let isolator = NamespaceIsolator::new(config);
        // `ready` comes once the guest is no longer a copy of init.
        let mut running =
            isolator.start(command(&["sh", "-c", "echo ready; exec sleep 60"])).unwrap();
        let killer = running.killer();
        let (ready, is_ready) = std::sync::mpsc::channel();
        running.capture(false);
        let waiter = std::thread::spawn(move || {
            running.wait_streaming(&mut |_, _| ready.send(()).unwrap()).unwrap()
        });
        is_ready.recv().unwrap();
        let helpers = helpers();
        assert!(helpers.len() >= 2, "launcher and init: {helpers:?}");

        for pid in helpers {
            let environment = std::fs::read(format!("/proc/{pid}/environ"));
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            let empty = environment.as_ref().is_ok_and(Vec::is_empty);
            assert!(empty || !scene.is_root(), "{pid} {name:?}: {environment:?}");
            if scene.is_root() {
                let memory = memory_of(pid);
                assert!(memory.len() > 4096, "{pid}: {} bytes", memory.len());
                let holds = |text: &[u8]| memory.windows(text.len()).any(|window| window == text);
                assert!(!holds(b"of-one-run-only"), "{pid} keeps a run's environment");
                assert!(!holds(b"NEUROFLOW_ESCAPE_CALLER"), "{pid} has the host's environment");
            }
        }
        killer.kill();
        waiter.join().unwrap();
    });
}

/// Our processes that are not the guest: by name, below this one.
fn helpers() -> Vec<u32> {
    let mut found = vec![std::process::id()];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children"));
            let children = children.unwrap_or_default();
            found.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        }
    }
    // Executed as `/proc/self/fd/<n>`, they go by that number.
    found.retain(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim_end().chars().all(|letter| letter.is_ascii_digit())
    });
    found
}

/// All writable memory of a process.
fn memory_of(pid: u32) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;

    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let file = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut memory = Vec::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let address = |text| u64::from_str_radix(text, 16).unwrap();
        let mut part = vec![0; usize::try_from(address(end) - address(start)).unwrap()];
        if file.read_exact_at(&mut part, address(start)).is_ok() {
            memory.append(&mut part);
        }
    }
    memory
}

#[test]
fn d4_work_dir_given_through_a_magic_link_is_refused() {
    each_caller!(|scene| {
        let folder = File::open(scene.outside()).unwrap();
        let root = File::open("/").unwrap();
        let (folder, root) = (folder.as_raw_fd(), root.as_raw_fd());
        let pid = std::process::id();
        for path in [
            format!("/proc/self/fd/{folder}"),
            format!("/proc/{pid}/fd/{folder}"),
            format!("/proc/self/fd/{root}{}", scene.outside().display()),
            format!("/dev/fd/{folder}"),
            "/proc/self/cwd".to_owned(),
            "/proc/self/root/tmp".to_owned(),
            format!("/tmp/../proc/self/fd/{folder}"),
        ] {
            for by_allowed_path in [false, true] {
                let config = match by_allowed_path {
                    true => SandboxConfig { allowed_paths: vec![path.clone()], ..scene.config() },
                    false => SandboxConfig { work_dir: path.clone().into(), ..scene.config() },
                };

                let refused = NamespaceIsolator::new(config).run(command(&["true"])).unwrap_err();

                assert!(matches!(refused, Error::Config { .. }), "{path}: {refused:?}");
            }
        }
        // The plain path of the same folder is a work dir like any other.
        let config = SandboxConfig { work_dir: scene.outside().to_path_buf(), ..scene.config() };
        assert!(scene.run(config, &["true"]).success());
    });
}

const TYPE: &str = "
import fcntl
tell('open', os.open, '/dev/tty', os.O_RDWR)
for fd in 0, 1, 2:
    tell(f'type into {fd}', fcntl.ioctl, fd, 0x5412, b'x')
    tell(f'paste into {fd}', fcntl.ioctl, fd, 0x541c, b'\\x03')
say('session', os.getsid(0) == os.getpid() or os.getsid(0))
say('terminal', open('/proc/self/stat').read().rsplit(')')[1].split()[4])
";

#[test]
fn d5_nothing_can_be_typed_into_the_applications_terminal() {
    each_caller!(|scene| {
        if role().is_some() {
            let inside = scene.inside(scene.config(), TYPE);
            let twin = scene.unconfined(TYPE);
            for (what, result) in inside.iter() {
                match what {
                    "open" => assert_eq!(result, "ENOENT"),
                    "session" => assert!(result == "True", "{result}"),
                    "terminal" => assert_eq!(result, "0"),
                    _ => assert_eq!(result, "EPERM", "{what}"),
                }
            }
            assert_eq!(twin.about("open"), "ok");
            assert_ne!(twin.about("terminal"), "0");
            return;
        }

        // This very test again, as the leader of a session on a pty of ours.
        let terminal = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
        rustix::pty::grantpt(&terminal).unwrap();
        rustix::pty::unlockpt(&terminal).unwrap();
        let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let test = "descriptors::d5_nothing_can_be_typed_into_the_applications_terminal";
        let again = scene.again(test, "on-a-terminal");
        let mut on_a_terminal = std::process::Command::new("setsid");
        on_a_terminal.args(["--ctty", "--wait"]).arg(again.get_program()).args(again.get_args());
        for (name, value) in again.get_envs() {
            on_a_terminal.env(name, value.unwrap());
        }
        let output = on_a_terminal.stdin(slave).output().unwrap();

        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
    });
}
