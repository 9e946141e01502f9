//! A host without namespaces, as a plain container is one: the same tests again.
//!
//! Root can make such a host: a user namespace in which no further one is
//! allowed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::{env, fs};

use kernel::sandbox::{Protection, SandboxConfig, SandboxSecurityLevel, State};
use neuroflow_tests::need;

use crate::support::{WorkDir, need_linux, python, text};

/// Becomes a user of a host without namespaces, then the rest of the arguments.
const BECOME: &str = "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
ready, go = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    CLONE_NEWUSER, PR_SET_DUMPABLE = 0x10000000, 4
    assert libc.unshare(CLONE_NEWUSER) == 0
    os.write(ready[1], b'x'); os.read(go[0], 1)
    open('/proc/sys/user/max_user_namespaces', 'w').write('0')
    user = int(sys.argv[1])
    if user:
        os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    os.execv(sys.argv[2], sys.argv[2:])
os.read(ready[0], 1)
for name in 'uid_map', 'gid_map': open(f'/proc/{pid}/{name}', 'w').write('0 0 4294967295')
os.write(go[1], b'x')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

/// Set for the tests that run there.
const ALONE: &str = "NEUROFLOW_TEST_ALONE";

fn run_again_as(user: &str) {
    // Where an ordinary user can get to it.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    let binary = place.path().join("tests");
    fs::copy(env::current_exe().unwrap(), &binary).unwrap();

    #[expect(clippy::disallowed_methods, reason = "tests on a host of their own")]
    let output = Command::new("python3")
        .args(["-c", BECOME, user])
        .arg(binary)
        .args(["alone::", "life::", "limits::", "levels::", "streams::", "--test-threads=4"])
        .env(ALONE, "1")
        // What this machine must have, that host is made to lack.
        .env_remove("NEUROFLOW_REQUIRE")
        // The list of what this machine lacks is not its to write.
        .env_remove("NEUROFLOW_SKIPS")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("test result: ok."), "{said}");
}

#[test]
fn tests_pass_for_an_ordinary_user_without_namespaces() {
    need_linux!();
    if env::var_os(ALONE).is_none() {
        need!(Root);
        need!(UserNamespaces);
        run_again_as("12345");
    }
}

#[test]
fn tests_pass_for_root_without_namespaces() {
    need_linux!();
    if env::var_os(ALONE).is_none() {
        need!(Root);
        need!(UserNamespaces);
        run_again_as("0");
    }
}

fn tried(level: SandboxSecurityLevel, act: &str) -> String {
    let work = WorkDir::new();
    let config = SandboxConfig { security_level: level, ..work.config() };
    let code = format!(
        "import os, signal, socket\ntry:\n    {act}\n    print('done')\n\
         except OSError as error: print(error.errno)"
    );
    let outcome = python(config, &code);
    assert_eq!(text(&outcome.stderr), "", "{:?}", outcome.exit);
    text(&outcome.stdout).trim().to_owned()
}

#[test]
fn strict_without_namespaces_walls_off_files_and_network() {
    if env::var_os(ALONE).is_none() {
        return; // `levels` tries it with them.
    }
    let (eperm, eacces) = ("1", "13");
    for (act, refused) in [
        ("os.listdir('/')", eacces),
        ("os.listdir('/tmp')", eacces),
        ("open('/etc/hostname').read()", eacces),
        ("socket.socket(socket.AF_INET)", eperm),
    ] {
        assert_eq!(tried(SandboxSecurityLevel::Standard, act), "done", "{act}");
        assert_eq!(tried(SandboxSecurityLevel::Strict, act), refused, "{act}");
    }
}

#[test]
fn standard_without_namespaces_keeps_away_from_its_supervisor() {
    if env::var_os(ALONE).is_none() {
        return; // It is PID 1 then, and confined.
    }
    let act = "os.kill(os.getppid(), 0)";

    assert_eq!(tried(SandboxSecurityLevel::Minimal, act), "done");
    assert_eq!(tried(SandboxSecurityLevel::Standard, act), "1");
}

#[test]
fn receipt_without_namespaces_names_what_is_weaker() {
    if env::var_os(ALONE).is_none() {
        return;
    }
    let work = WorkDir::new();

    let outcome = python(work.config(), "pass");

    let state = |protection| outcome.enforcement.get(protection).unwrap().state;
    assert_eq!(state(Protection::Processes), State::Degraded);
    assert_eq!(state(Protection::MaxProcesses), State::Degraded);
    assert_eq!(state(Protection::Ipc), State::Missing);
    assert_eq!(state(Protection::NoNewPrivs), State::Enforced);
    assert_eq!(state(Protection::Syscalls), State::Enforced);
}
