//! Descriptors, environment, terminal, arguments: nothing of the host's goes in,
//! and what was given goes in as it is.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use kernel::sandbox::{Command, Exit, ProcessIsolator, SandboxConfig};

use crate::support::{WorkDir, command, need_linux, python, run, text};

#[test]
fn d1_guest_has_three_descriptors_whatever_the_host_left_open() {
    let work = WorkDir::new();
    let file = File::open("/etc/passwd").unwrap();
    // As an application does that knows nothing of close-on-exec.
    let inheritable = rustix::io::dup(&file).unwrap();
    let flags = rustix::io::fcntl_getfd(&inheritable).unwrap();
    assert!(!flags.contains(rustix::io::FdFlags::CLOEXEC));

    let outcome = python(
        work.config(),
        "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1])",
    );

    // The last one is that of the listing itself.
    assert_eq!(text(&outcome.stdout), "[0, 1, 2]\n", "{}", text(&outcome.stderr));
    assert!(rustix::io::fcntl_getfd(&inheritable).is_ok(), "open all the while");
}

#[test]
fn d3_environment_is_clean_but_for_what_was_given() {
    let work = WorkDir::new();
    let mut config = work.config();
    config.environment.insert("GIVEN".into(), "value with spaces".into());

    let outcome = run(config, &["env"]);

    let mut lines: Vec<&str> = text(&outcome.stdout).lines().collect();
    lines.sort_unstable();
    let home = format!("HOME={}", work.path().display());
    let path = format!("PATH={}", kernel::sandbox::policy::GUEST_PATH);
    assert_eq!(lines, ["GIVEN=value with spaces", &home, "LANG=C.UTF-8", &path, "TMPDIR=/tmp"]);
}

#[test]
fn d3_environment_of_the_host_is_in_no_process_the_guest_can_read() {
    need_linux!();
    let work = WorkDir::new();
    // Cargo sets it for every test.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());

    let outcome = python(
        work.config(),
        "
import glob
for name in glob.glob('/proc/[0-9]*/environ'):
    try: text = open(name, 'rb').read()
    except OSError: continue
    print('read')
    if b'CARGO_MANIFEST_DIR' in text: print('leaked by', name)
",
    );

    let lines: Vec<&str> = text(&outcome.stdout).lines().collect();
    assert!(lines.contains(&"read"), "its own at least: {}", text(&outcome.stderr));
    assert!(!lines.iter().any(|line| line.starts_with("leaked")), "{lines:?}");
}

#[test]
fn d4_work_dir_through_proc_is_refused_or_its_plain_path() {
    let directory = File::open("/").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&directory);
    let config = SandboxConfig {
        work_dir: format!("/proc/self/fd/{fd}").into(),
        ..SandboxConfig::default()
    };

    let error = ProcessIsolator::new(config).execute("pwd", &[]).unwrap_err();

    assert_eq!(error.code(), "config");
}

#[test]
fn d5_guest_has_no_terminal_and_leads_a_session_of_its_own() {
    let work = WorkDir::new();

    let outcome = python(
        work.config(),
        "
import os
print(os.getsid(0) == os.getpid(), [os.isatty(fd) for fd in range(3)])
try: os.open('/dev/tty', os.O_RDWR)
except OSError as error: print(error.errno)
",
    );

    // ENXIO: there is no controlling terminal.
    assert_eq!(text(&outcome.stdout), "True [False, False, False]\n6\n");
}

#[test]
fn h4_arguments_reach_the_program_unchanged() {
    let work = WorkDir::new();
    let hostile: [&[u8]; 9] = [
        b"",
        b"-c",
        b"--version",
        b"$(touch pwned)",
        b"`id`; rm -rf *",
        b"\xff\xfe not utf-8",
        b"a\nb\r\x1b[31m",
        "ünïcödé".as_bytes(),
        &[b'x'; 100_000],
    ];
    let mut show = command(&[
        "python3",
        "-c",
        "import os, sys; sys.stdout.buffer.write(b'\\0'.join(os.fsencode(a) for a in sys.argv[1:]))",
    ]);
    show.args(hostile.map(OsStr::from_bytes));

    let outcome = ProcessIsolator::new(work.config()).run(show).unwrap();

    assert_eq!(outcome.exit, Exit::Exited(0), "{}", text(&outcome.stderr));
    assert!(outcome.stdout == hostile.join(&0), "{} bytes", outcome.stdout.len());
    assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0, "no shell saw it");
}

#[test]
fn h4_argument_with_a_nul_or_too_long_is_an_error_and_not_cut() {
    let work = WorkDir::new();
    let isolator = ProcessIsolator::new(work.config());
    let mut long = Command::new("true");
    long.arg("x".repeat(3 << 20));

    assert_eq!(isolator.run(command(&["echo", "a\0b"])).unwrap_err().code(), "config");
    let error = isolator.run(long).unwrap_err();
    assert!(matches!(error.code(), "not_executable" | "setup"), "{error}");
}

#[test]
fn c1_command_that_is_not_on_the_list_is_refused_and_nothing_starts() {
    let work = WorkDir::new();
    let config =
        SandboxConfig { allowed_commands: vec!["python3".into(), "echo".into()], ..work.config() };
    std::os::unix::fs::symlink("/bin/sh", work.path().join("python3")).unwrap();
    let isolator = ProcessIsolator::new(config);

    for argv in [
        &["sh", "-c", "touch ran"][..],
        &["./python3", "-c", "touch ran"],
        &["/bin/sh", "-c", "touch ran"],
        &["env", "touch", "ran"],
        &["/lib64/ld-linux-x86-64.so.2", "/bin/touch", "ran"],
    ] {
        let outcome = isolator.run(command(argv)).unwrap();

        let program = argv[0];
        let error = format!("Command '{program}' not in allowed list");
        assert_eq!(outcome.exit_code(), -1);
        assert_eq!(outcome.error(), Some(error));
    }
    assert!(!work.path().join("ran").exists());
    assert!(isolator.execute("python3", &["-c", "print(1)"]).unwrap().success());
}

#[test]
fn c2_no_shell_is_involved() {
    let work = WorkDir::new();

    let outcome = run(work.config(), &["echo", "$HOME", "*", "&&", "false"]);

    assert_eq!(text(&outcome.stdout), "$HOME * && false\n");
}
