//! What each level adds. Every denial is tried one level below as well, where
//! the same act succeeds.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::thread;

use kernel::sandbox::{
    Backend, Exit, ProcessIsolator, Protection, SandboxConfig, SandboxSecurityLevel as Level, State,
};

use neuroflow_tests::need;

use crate::support::{WorkDir, command, need_linux, python, text};

fn at(work: &WorkDir, level: Level) -> SandboxConfig {
    SandboxConfig { security_level: level, ..work.config() }
}

/// Runs Python that prints the errno of what it tried, 0 for none.
fn errno_of(config: SandboxConfig, act: &str) -> i32 {
    let code = format!(
        "
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *args):
    if function(*args) < 0: raise OSError(ctypes.get_errno(), '')
try:
    {act}
    print(0)
except OSError as error: print(error.errno)
"
    );
    let outcome = python(config, &code);
    let printed = text(&outcome.stdout).trim();
    printed.parse().unwrap_or_else(|_| panic!("{:?} {}", outcome.exit, text(&outcome.stderr)))
}

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const ECONNREFUSED: i32 = 111;

#[test]
fn standard_sets_no_new_privs_and_a_filter_and_minimal_neither() {
    need_linux!();
    let work = WorkDir::new();
    let status = |level| {
        let read = "print([line.split()[1] for line in open('/proc/self/status') \
                    if line.startswith(('NoNewPrivs', 'Seccomp:'))])";
        text(&python(at(&work, level), read).stdout).trim().to_owned()
    };

    assert_eq!(status(Level::Minimal), "['0', '0']");
    assert_eq!(status(Level::Standard), "['1', '2']");
    assert_eq!(status(Level::Strict), "['1', '2']");
}

#[test]
fn standard_refuses_dangerous_calls_that_minimal_lets_through() {
    need_linux!();
    let work = WorkDir::new();
    let mut acts = vec!["call(libc.ptrace, 0, 0, 0, 0)"]; // PTRACE_TRACEME
    if kernel::sandbox::host::Host::get().namespaces.is_ok() {
        acts.push("call(libc.unshare, 0x10000000)"); // CLONE_NEWUSER
    }
    for act in acts {
        assert_eq!(errno_of(at(&work, Level::Minimal), act), 0, "{act}");
        assert_eq!(errno_of(at(&work, Level::Standard), act), EPERM, "{act}");
    }
}

#[test]
fn filter_can_be_switched_off_by_name() {
    need_linux!();
    let work = WorkDir::new();
    let config = SandboxConfig { enable_seccomp: false, ..at(&work, Level::Standard) };

    assert_eq!(errno_of(config, "call(libc.ptrace, 0, 0, 0, 0)"), 0);
}

#[test]
fn strict_reads_and_writes_only_where_it_may() {
    need!(UserNamespaces);
    let work = WorkDir::new();
    let outside =
        tempfile::Builder::new().prefix("neuroflow-outside").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let in_tmp = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    fs::set_permissions(in_tmp.path(), fs::Permissions::from_mode(0o644)).unwrap();

    for (act, refused) in [
        (format!("open('{}').read()", secret.display()), EACCES),
        (format!("open('{}/made', 'w').close()", outside.path().display()), EACCES),
        (format!("os.listdir('{}')", outside.path().display()), EACCES),
        ("os.listdir('/')".to_owned(), EACCES),
        (format!("open('{}').read()", in_tmp.path().display()), ENOENT),
    ] {
        assert_eq!(errno_of(at(&work, Level::Standard), &act), 0, "{act}");
        assert_eq!(errno_of(at(&work, Level::Strict), &act), refused, "{act}");
    }
    let allowed = SandboxConfig {
        allowed_paths: vec![format!("{}:ro", outside.path().display())],
        ..at(&work, Level::Strict)
    };
    let read = format!("open('{}').read()", secret.display());
    let write = format!("open('{}/more', 'w').close()", outside.path().display());
    assert_eq!(errno_of(allowed.clone(), &read), 0);
    assert_eq!(errno_of(allowed, &write), EACCES);
}

#[test]
fn strict_still_runs_what_programs_need() {
    need!(UserNamespaces);
    let work = WorkDir::new();

    let outcome = python(
        at(&work, Level::Strict),
        "
import asyncio, json, os, pwd, random, socket, sqlite3, ssl, subprocess, tempfile, threading
open('kept', 'w').write('x')
with tempfile.TemporaryFile() as file: file.write(b'x')
sqlite3.connect('base').execute('create table t (x)')
assert subprocess.run(['sh', '-c', 'echo hi | cat'], capture_output=True).stdout == b'hi\\n'
asyncio.run(asyncio.sleep(0))
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
thread = threading.Thread(target=print); thread.start(); thread.join()
os.urandom(8); open('/dev/null', 'w').write('x')
print('done')
",
    );

    assert_eq!(text(&outcome.stdout), "\ndone\n", "{:?} {}", outcome.exit, text(&outcome.stderr));
    assert!(work.path().join("kept").exists());
}

#[test]
fn strict_does_not_reach_a_service_of_the_host_and_standard_does() {
    need!(UserNamespaces);
    let work = WorkDir::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let act = format!("socket.create_connection(('127.0.0.1', {port}), 2).send(b'x')");

    thread::scope(|scope| {
        let heard = scope.spawn(|| {
            let mut byte = [0];
            listener.accept().unwrap().0.read(&mut byte).unwrap()
        });
        assert_eq!(errno_of(at(&work, Level::Strict), &act), ECONNREFUSED);
        assert_eq!(errno_of(at(&work, Level::Standard), &act), 0);
        assert_eq!(heard.join().unwrap(), 1);
    });
}

#[test]
fn paranoid_is_the_namespace_back_ends_plan() {
    need!(UserNamespaces);
    let work = WorkDir::new();
    let isolator = ProcessIsolator::new(at(&work, Level::Paranoid));

    assert_eq!(isolator.plan(&command(&["true"])).unwrap().backend, Backend::Namespace);
    let outcome = isolator.execute("cat", &["/etc/hostname"]).unwrap();
    assert_eq!(text(&outcome.stdout), "sandbox\n");
}

#[test]
fn receipt_tells_the_levels_apart() {
    need!(UserNamespaces);
    let work = WorkDir::new();
    let states = |level| {
        let plan = ProcessIsolator::new(at(&work, level)).plan(&command(&["true"])).unwrap();
        [Protection::NoNewPrivs, Protection::Syscalls, Protection::Filesystem, Protection::Network]
            .map(|protection| plan.enforcement.get(protection).unwrap().state)
    };

    use State::{Enforced, Missing, Off};
    assert_eq!(states(Level::Minimal), [Off, Off, Missing, Missing]);
    assert_eq!(states(Level::Standard), [Enforced, Enforced, Missing, Missing]);
    assert_eq!(states(Level::Strict), [Enforced; 4]);
}

#[test]
fn p4_guest_acts_as_an_ordinary_user_and_its_files_are_the_callers() {
    need!(UserNamespaces);
    let work = WorkDir::new();

    let act = "open('/proc/sys/kernel/core_pattern', 'w')";
    assert_eq!(errno_of(at(&work, Level::Minimal), act), EACCES);
    let made = python(
        at(&work, Level::Minimal),
        "open('made', 'w').close(); import os; print(os.getuid())",
    );

    assert_eq!(text(&made.stdout), "1000\n", "{}", text(&made.stderr));
    let made = fs::metadata(work.path().join("made")).unwrap();
    assert_eq!(made.uid(), fs::metadata(work.path()).unwrap().uid());
}

#[test]
fn p2_guest_sees_only_its_own_processes() {
    need!(UserNamespaces);
    let work = WorkDir::new();

    let outcome = python(
        at(&work, Level::Minimal),
        "import os; print(sum(name.isdigit() for name in os.listdir('/proc')))",
    );

    assert_eq!(text(&outcome.stdout), "2\n", "init and itself");
}

#[test]
fn work_dir_behind_a_closed_door_is_reached_and_what_lies_beside_it_is_not() {
    need!(UserNamespaces);
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(closed.path().join("beside"), "secret").unwrap();
    let work_dir = closed.path().join("deep/work");
    fs::create_dir_all(&work_dir).unwrap();
    fs::write(work_dir.join("module.py"), "print('imported')").unwrap();
    let config = SandboxConfig { work_dir, ..SandboxConfig::default() };

    let outcome = python(config.clone(), "import module; open('made', 'w').close()");
    assert_eq!(text(&outcome.stdout), "imported\n", "{}", text(&outcome.stderr));
    assert!(closed.path().join("deep/work/made").exists());

    if kernel::sandbox::host::Host::get().root {
        assert_eq!(errno_of(config, "open('../../beside').read()"), ENOENT);
    }
}

#[test]
fn program_behind_a_closed_door_is_an_error_that_names_the_door() {
    need!(UserNamespaces);
    if !kernel::sandbox::host::Host::get().root {
        return; // The guest is the caller, for whom its own doors are open.
    }
    let work = WorkDir::new();
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let tool = closed.path().join("tool");
    fs::copy("/bin/true", &tool).unwrap();
    let tool = tool.to_str().unwrap();

    let error = ProcessIsolator::new(work.config()).execute(tool, &[]).unwrap_err();
    assert_eq!(error.code(), "not_executable");
    assert!(error.to_string().contains(closed.path().to_str().unwrap()), "{error}");
    let opened = SandboxConfig {
        allowed_paths: vec![format!("{}:ro", closed.path().display())],
        ..work.config()
    };
    let outcome = ProcessIsolator::new(opened).execute(tool, &[]).unwrap();
    assert_eq!(outcome.exit, Exit::Exited(0));
}
