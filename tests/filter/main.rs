//! The filters on the real kernel: each refusal with the filter, and the same
//! call without it.
//!
//! A filter cannot be taken off, so each is installed in a thread that ends with
//! the test. These tests need nothing of the back ends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sys;

use kernel::sandbox::seccomp::{Arch, Base, Filter, Lint, Sockets, record};
use neuroflow_tests::need;
use sys::{call, in_thread_under};

const EPERM: i32 = libc::EPERM;
const ENOSYS: i32 = libc::ENOSYS;

fn namespace() -> Filter {
    Filter::of_base(Base::Namespace(Sockets::Internet), Arch::native().unwrap()).unwrap()
}

fn number(name: &str) -> i64 {
    let arch = Arch::native().unwrap();
    arch.number(name).unwrap_or_else(|| panic!("no call {name}")).into()
}

/// What `call` returns under `filter` and without it.
fn both(filter: &Filter, name: &str, arguments: [i64; 6]) -> (Result<i64, i32>, Result<i64, i32>) {
    let number = number(name);
    let with = in_thread_under(filter, move || call(number, arguments));
    let without = std::thread::spawn(move || call(number, arguments)).join().unwrap();
    (with, without)
}

#[test]
fn refused_calls_get_eperm_from_the_filter_and_from_nothing_else() {
    need!(Seccomp);
    need!(Root); // Without capabilities many of them get EPERM anyway.
    // Arguments that come to nothing where they are looked at. Left out are calls
    // that would do something whatever their arguments (vhangup), and calls
    // that the kernel answers with EPERM for reasons of its own.
    let nothing = [-1; 6];
    let names = [
        "acct",
        "add_key",
        "adjtimex",
        "chroot",
        "clock_adjtime",
        "clock_settime",
        "delete_module",
        "fanotify_init",
        "fanotify_mark",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "init_module",
        "io_uring_enter",
        "io_uring_register",
        "io_uring_setup",
        "kcmp",
        "kexec_load",
        "keyctl",
        "mount",
        "mount_setattr",
        "move_mount",
        "name_to_handle_at",
        "open_by_handle_at",
        "open_tree",
        "perf_event_open",
        "pidfd_getfd",
        "pivot_root",
        "process_madvise",
        "process_vm_readv",
        "process_vm_writev",
        "ptrace",
        "quotactl",
        "reboot",
        "request_key",
        "setdomainname",
        "sethostname",
        "setns",
        "settimeofday",
        "swapoff",
        "swapon",
        "syslog",
        "umount2",
        "unshare",
        "userfaultfd",
    ];
    let mut by_the_filter = 0;
    for filter in [namespace(), Filter::process_standard().unwrap()] {
        for name in names {
            let (with, without) = both(&filter, name, nothing);

            assert_eq!(with, Err(EPERM), "{name} with the filter");
            assert_ne!(without, Err(EPERM), "{name} without it");
            by_the_filter += 1;
        }
    }
    assert_eq!(by_the_filter, 2 * names.len());
}

#[test]
fn calls_with_limited_arguments_are_let_through_by_the_others() {
    need!(Seccomp);
    let filter = namespace();
    let unix = libc::AF_UNIX.into();
    let stream = libc::SOCK_STREAM.into();
    let vsock = libc::AF_VSOCK.into();
    let says = |name: &str, arguments: &[i64]| {
        let mut six = [0; 6];
        six[..arguments.len()].copy_from_slice(arguments);
        both(&filter, name, six)
    };

    let (with, without) = says("socket", &[unix, stream]);
    assert!(with.is_ok() && without.is_ok());
    let (with, without) = says("socket", &[vsock, stream]);
    assert_eq!(with, Err(EPERM));
    assert_ne!(without, Err(EPERM));
    // The kernel reads 32 bits of the domain: the upper ones do not get round it.
    let (with, _) = says("socket", &[vsock | 1 << 32, stream]);
    assert_eq!(with, Err(EPERM));
    let (with, without) = says("ioctl", &[-1, 0x5412]);
    assert_eq!((with, without), (Err(EPERM), Err(libc::EBADF)), "TIOCSTI");
    let (with, _) = says("ioctl", &[-1, 0x5412 | 1 << 40]);
    assert_eq!(with, Err(EPERM), "TIOCSTI with upper bits");
    let (with, without) = says("ioctl", &[-1, 0x5401]);
    assert_eq!((with, without), (Err(libc::EBADF), Err(libc::EBADF)), "TCGETS");
    let (with, without) = says("fchmod", &[-1, 0o4755]);
    assert_eq!((with, without), (Err(EPERM), Err(libc::EBADF)), "set-uid");
    let (with, without) = says("fchmod", &[-1, 0o755]);
    assert_eq!((with, without), (Err(libc::EBADF), Err(libc::EBADF)));
    let (with, without) = says("personality", &[0xffff_ffff]);
    assert!(with.is_ok() && without.is_ok());
    let (with, without) = says("prlimit64", &[1, 99]);
    assert_eq!((with, without), (Err(EPERM), Err(libc::EINVAL)), "PID 1 is not the guest's");
    let (with, without) = says("clone", &[0x1000_0000 | 0x0001_0000 /* THREAD without VM */]);
    assert_eq!((with, without), (Err(EPERM), Err(libc::EINVAL)), "CLONE_NEWUSER");
    let (with, without) = says("seccomp", &[1, 8, 0]);
    assert_eq!((with, without), (Err(EPERM), Err(libc::EFAULT)), "a listener");
    let (with, without) = says("seccomp", &[1, 0, 0]);
    assert_eq!((with, without), (Err(libc::EFAULT), Err(libc::EFAULT)), "a filter");
}

#[test]
fn calls_that_libc_can_do_without_do_not_exist() {
    need!(Seccomp);
    for (name, without) in [("clone3", libc::EINVAL), ("openat2", libc::EINVAL)] {
        let (with, really) = both(&namespace(), name, [0; 6]);
        assert_eq!((with, really), (Err(ENOSYS), Err(without)), "{name}");
    }
    // Newer than any table, and an x32 one.
    for number in [599, 0x4000_0000 | 39] {
        let with = in_thread_under(&namespace(), move || call(number, [0; 6]));
        assert_eq!(with, Err(ENOSYS), "{number:#x}");
    }
}

#[test]
fn under_every_filter_ordinary_work_goes_on() {
    need!(Seccomp);
    let filters =
        [namespace(), Filter::process_standard().unwrap(), Filter::process_strict().unwrap()];
    for filter in filters {
        let text = in_thread_under(&filter, || {
            let worker = std::thread::spawn(|| std::fs::read_to_string("/proc/self/stat"));
            let directory = std::fs::read_dir("/").unwrap().count();
            assert!(directory > 3);
            worker.join().unwrap().unwrap()
        });
        assert!(text.contains(')'));
    }
}

#[test]
fn the_strict_process_filter_leaves_unix_sockets_only() {
    need!(Seccomp);
    let filter = Filter::process_strict().unwrap();
    for (domain, expected) in
        [(libc::AF_INET, Err(EPERM)), (libc::AF_INET6, Err(EPERM)), (libc::AF_UNIX, Ok(()))]
    {
        let arguments = [domain.into(), libc::SOCK_STREAM.into(), 0, 0, 0, 0];
        let (with, without) = both(&filter, "socket", arguments);
        assert_eq!(with.map(|_| ()), expected, "domain {domain}");
        assert!(without.is_ok());
    }
}

#[test]
fn a_recording_has_what_a_program_called_and_makes_a_profile_for_it() {
    need!(Seccomp);
    let args = ["-c", "import os; os.getpgid(0); os.mkdir('/nonexistent/x')"].map(Into::into);

    let recording = record("/usr/bin/python3".as_ref(), &args).unwrap();

    assert_eq!(recording.exit_code, 1, "mkdir raised");
    for name in ["execve", "mmap", "openat", "getpgid", "exit_group"] {
        assert!(recording.calls.contains(name), "{name}: {:?}", recording.calls);
    }
    for name in ["socket", "clone", "waitid", "ptrace"] {
        assert!(!recording.calls.contains(name), "{name}");
    }
    let lint = Lint::read(&recording.profile()).unwrap();
    assert!(lint.vital.is_empty() && lint.python.is_empty(), "{lint}");
}

#[test]
fn a_recording_follows_children_and_threads() {
    need!(Seccomp);
    let script = "import os, threading, time
t = threading.Thread(target=os.getppid); t.start(); t.join()
if os.fork() == 0: os.getsid(0); os._exit(0)
os.wait(); os.kill(os.getpid(), 9)";

    let recording = record("/usr/bin/python3".as_ref(), &["-c", script].map(Into::into)).unwrap();

    assert_eq!(recording.exit_code, 137);
    for name in ["clone", "getppid", "getsid", "kill", "wait4"] {
        assert!(recording.calls.contains(name), "{name}: {:?}", recording.calls);
    }
    assert!(!recording.calls.contains("clone3"), "it does not exist in the sandbox");
}

#[test]
fn what_cannot_be_started_is_not_recorded() {
    need!(Seccomp);
    let missing = record("/nonexistent/program".as_ref(), &[]).unwrap_err();
    let no_program = record("/etc/passwd".as_ref(), &[]).unwrap_err();

    assert_eq!((missing.code(), no_program.code()), ("not_found", "not_executable"));
}
