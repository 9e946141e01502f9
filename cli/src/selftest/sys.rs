//! The raw system calls that a guest of the self-test tries.
//!
//! Each is made so that it changes nothing should it get through, also for root:
//! null pointers, impossible flags, questions instead of orders.
#![expect(unsafe_code, reason = "the system calls to be refused have no safe wrapper")]

use std::io;

use libc::{c_int, c_long};

/// A call by the name that promises give it, with arguments that do no harm.
struct Call {
    name: &'static str,
    number: c_long,
    arguments: [c_long; 5],
}

/// No pointer, descriptor, size or set of flags is this.
const NONSENSE: c_long = -1;

const CALLS: &[Call] = &[
    Call { name: "mount", number: libc::SYS_mount, arguments: [0, NONSENSE, 0, 0, 0] },
    Call { name: "umount", number: libc::SYS_umount2, arguments: [NONSENSE, NONSENSE, 0, 0, 0] },
    Call { name: "fsopen", number: libc::SYS_fsopen, arguments: [NONSENSE, NONSENSE, 0, 0, 0] },
    Call { name: "pivot_root", number: libc::SYS_pivot_root, arguments: [NONSENSE; 5] },
    Call { name: "chroot", number: libc::SYS_chroot, arguments: [NONSENSE; 5] },
    Call { name: "setns", number: libc::SYS_setns, arguments: [NONSENSE; 5] },
    // One flag that exists: the call is refused for what it does, not for nonsense.
    Call {
        name: "unshare",
        number: libc::SYS_unshare,
        arguments: [libc::CLONE_NEWUSER as c_long, 0, 0, 0, 0],
    },
    Call { name: "ptrace", number: libc::SYS_ptrace, arguments: [NONSENSE; 5] },
    Call { name: "bpf", number: libc::SYS_bpf, arguments: [NONSENSE; 5] },
    Call { name: "perf_event_open", number: libc::SYS_perf_event_open, arguments: [NONSENSE; 5] },
    Call { name: "userfaultfd", number: libc::SYS_userfaultfd, arguments: [NONSENSE; 5] },
    Call {
        name: "io_uring_setup",
        number: libc::SYS_io_uring_setup,
        arguments: [0, NONSENSE, 0, 0, 0],
    },
    Call { name: "keyctl", number: libc::SYS_keyctl, arguments: [NONSENSE; 5] },
    Call { name: "add_key", number: libc::SYS_add_key, arguments: [NONSENSE; 5] },
    Call {
        name: "open_by_handle_at",
        number: libc::SYS_open_by_handle_at,
        arguments: [NONSENSE; 5],
    },
    Call { name: "init_module", number: libc::SYS_init_module, arguments: [0; 5] },
    // Neither a time nor a time zone: allowed to, it sets nothing.
    Call { name: "settimeofday", number: libc::SYS_settimeofday, arguments: [0; 5] },
    Call { name: "swapon", number: libc::SYS_swapon, arguments: [NONSENSE; 5] },
    // The size of the kernel's log.
    Call { name: "syslog", number: libc::SYS_syslog, arguments: [10, 0, 0, 0, 0] },
    Call { name: "sethostname", number: libc::SYS_sethostname, arguments: [NONSENSE, 1, 0, 0, 0] },
];

/// The names that [`call`] knows.
pub(super) fn call_names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|call| call.name)
}

/// Makes the call of that name.
pub(super) fn call(name: &str) -> io::Result<()> {
    let Some(call) = CALLS.iter().find(|call| call.name == name) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such call"));
    };
    let [a, b, c, d, e] = call.arguments;
    // SAFETY: no argument is the address of anything: what the kernel takes for
    // a pointer is null or -1, which it cannot read or write, and answers with
    // EFAULT. Nothing of this process is changed but its user namespace, by
    // `unshare`, and this process ends next.
    checked(unsafe { libc::syscall(call.number, a, b, c, d, e) })
}

/// Opens a socket and closes it.
pub(super) fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<()> {
    // SAFETY: takes three numbers and no pointer.
    let socket = unsafe { libc::socket(family, kind, protocol) };
    checked(socket.into())?;
    // SAFETY: `socket` was opened in the line above, and nothing else knows it.
    checked(unsafe { libc::close(socket) }.into())
}

/// Asks whether a signal could be sent to `process`; none is.
pub(super) fn could_signal(process: i32) -> io::Result<()> {
    // SAFETY: takes two numbers; signal 0 is none.
    checked(unsafe { libc::kill(process, 0) }.into())
}

/// Makes the device node of `/dev/null` (1, 3) at `path`.
pub(super) fn make_device(path: &std::ffi::CStr) -> io::Result<()> {
    let null = libc::makedev(1, 3);
    // SAFETY: `path` is a string that ends in NUL and outlives the call.
    checked(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, null) }.into())
}

/// Whether `descriptor` is open.
pub(super) fn is_open(descriptor: c_int) -> bool {
    // SAFETY: F_GETFD takes no third argument and changes nothing.
    unsafe { libc::fcntl(descriptor, libc::F_GETFD) != -1 }
}

/// Leaves the session of whoever started us.
pub(super) fn new_session() -> io::Result<()> {
    // SAFETY: takes nothing, and touches no memory.
    checked(unsafe { libc::setsid() }.into())
}

/// Ignores every signal that can be ignored.
pub(super) fn ignore_signals() {
    for signal in 1..=libc::SIGSYS {
        // SAFETY: SIG_IGN is not a function that could be called; a signal that
        // cannot be ignored is refused, and stays as it was.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Lets a descriptor pass through exec.
pub(super) fn let_through_exec(descriptor: c_int) -> io::Result<()> {
    // SAFETY: F_SETFD takes a number; clearing it is about exec alone.
    checked(unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) }.into())
}

fn checked(result: c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
