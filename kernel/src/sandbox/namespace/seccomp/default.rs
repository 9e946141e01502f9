//! The default profile: an allow-list, with the reason beside whatever is
//! missing from it.
//!
//! It starts from what container engines allow and takes out what reaches other
//! processes, the host or rarely used kernel code. Every call of the tables is
//! named here, allowed or refused; a test fails on one that is not, so that new
//! calls are decided on and not overlooked. `config/seccomp/default.json` is this
//! file in the OCI format.

use super::rule::{Action, Comparison, Condition, ENOSYS, EPERM};

/// Calls with one action, for one reason: an entry of the profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) names: &'static [&'static str],
    pub(super) action: Action,
    /// All of them must hold.
    pub(super) when: &'static [Condition],
    pub(super) why: &'static str,
    /// Whether the process back end refuses it too. It serves trusted code, so
    /// it lets through what is only needless.
    pub(super) dangerous: bool,
}

/// What is not named gets this.
pub(super) const OTHERWISE: Action = Action::Errno(EPERM);

const fn allowed(names: &'static [&'static str], why: &'static str) -> Entry {
    Entry { names, action: Action::Allow, when: &[], why, dangerous: false }
}

const fn allowed_when(
    names: &'static [&'static str],
    when: &'static [Condition],
    why: &'static str,
) -> Entry {
    Entry { names, action: Action::Allow, when, why, dangerous: true }
}

const fn refused(names: &'static [&'static str], why: &'static str) -> Entry {
    Entry { names, action: Action::Errno(EPERM), when: &[], why, dangerous: true }
}

const fn refused_when(
    names: &'static [&'static str],
    when: &'static [Condition],
    why: &'static str,
) -> Entry {
    Entry { names, action: Action::Errno(EPERM), when, why, dangerous: true }
}

const fn needless(names: &'static [&'static str], why: &'static str) -> Entry {
    Entry { names, action: Action::Errno(EPERM), when: &[], why, dangerous: false }
}

/// Answered as if the kernel were older, so that a C library falls back.
const fn absent(names: &'static [&'static str], why: &'static str) -> Entry {
    Entry { names, action: Action::Errno(ENOSYS), when: &[], why, dangerous: true }
}

/// These bits of the argument have this value.
const fn bits(argument: u8, mask: u64, value: u64) -> Condition {
    Condition { argument, comparison: Comparison::Masked { mask, value } }
}

/// The argument is this `int`. The kernel reads 32 bits of it, so a comparison
/// of all 64 could be walked around with the upper ones.
const fn int(argument: u8, value: u32) -> Condition {
    bits(argument, 0xffff_ffff, value as u64)
}

// `linux/sched.h`. What makes namespaces; CLONE_NEWTIME is no flag of clone(2).
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
// `linux/stat.h`.
const SET_ID: u64 = 0o6000;
const FILE_TYPE: u64 = 0o170_000;
const SET_ID_AND_TYPE: u64 = SET_ID | FILE_TYPE;
// `asm-generic/fcntl.h`: O_CREAT, and the bit of O_TMPFILE that is its own.
const CREATES: u64 = 0o100 | 0o20_000_000;
// `linux/seccomp.h`: SECCOMP_FILTER_FLAG_NEW_LISTENER.
const NEW_LISTENER: u64 = 1 << 3;
// `linux/fs.h`: RENAME_WHITEOUT.
const WHITEOUT: u64 = 1 << 2;

const INIT: u32 = 1;

/// The profile, in the order of `config/seccomp/default.json`.
#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    allowed(
        &[
            "_llseek", "access", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3",
            "faccessat", "faccessat2", "fadvise64", "fallocate", "fcntl", "fdatasync", "flock",
            "fsync", "ftruncate", "lseek", "pread64", "preadv", "preadv2", "pwrite64", "pwritev",
            "pwritev2", "read", "readahead", "readv", "sendfile", "splice", "sync",
            "sync_file_range", "syncfs", "tee", "truncate", "vmsplice", "write", "writev",
        ],
        "reading and writing",
    ),
    allowed(
        &[
            "chdir", "chown", "fchdir", "fchown", "fchownat", "fgetxattr", "flistxattr",
            "fremovexattr", "fsetxattr", "fstat", "fstatfs", "futimesat", "getcwd", "getdents",
            "getdents64", "getxattr", "getxattrat", "lchown", "lgetxattr", "link", "linkat",
            "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lsetxattr", "lstat",
            "newfstatat", "readlink", "readlinkat", "removexattr", "removexattrat", "rename",
            "renameat", "rmdir", "setxattr", "setxattrat", "stat", "statfs", "statx", "symlink",
            "symlinkat", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes",
        ],
        "files and directories; the mounts say which",
    ),
    allowed(
        &[
            "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
            "epoll_wait", "eventfd", "eventfd2", "inotify_add_watch", "inotify_init",
            "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents",
            "io_pgetevents", "io_setup", "io_submit", "pipe", "pipe2", "poll", "ppoll", "pselect6",
            "select", "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime",
            "timerfd_settime",
        ],
        "waiting for events; io_submit reads and writes only, it opens nothing",
    ),
    allowed(
        &[
            "brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "mincore", "mlock",
            "mlock2", "mlockall", "mmap", "mprotect", "mremap", "mseal", "msync", "munlock",
            "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
        ],
        "the caller's own memory",
    ),
    allowed(
        &[
            "arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "futex",
            "futex_requeue", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
            "get_thread_area", "getcpu", "getpgid", "getpgrp", "getpid", "getppid", "getsid",
            "gettid", "kill", "pidfd_open", "pidfd_send_signal", "prctl", "restart_syscall",
            "rseq", "set_robust_list", "set_thread_area", "set_tid_address", "setpgid", "setsid",
            "tgkill", "tkill", "uretprobe", "vfork", "wait4", "waitid",
        ],
        "processes and threads; the PID namespace says which",
    ),
    allowed(
        &[
            "pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
            "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack",
        ],
        "signals",
    ),
    allowed(
        &[
            "capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid",
            "getresuid", "getuid", "landlock_add_rule", "landlock_create_ruleset",
            "landlock_restrict_self", "setfsgid", "setfsuid", "setgid", "setgroups", "setregid",
            "setresgid", "setresuid", "setreuid", "setuid",
        ],
        "identity: without a capability all of these can only give up more",
    ),
    allowed(
        &[
            "getpriority", "getrlimit", "getrusage", "ioprio_get", "sched_get_priority_max",
            "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
            "sched_getscheduler", "sched_rr_get_interval", "sched_yield", "setrlimit", "sysinfo",
            "times", "uname",
        ],
        "limits and usage",
    ),
    allowed(
        &[
            "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer",
            "getrandom", "gettimeofday", "nanosleep", "setitimer", "time", "timer_create",
            "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
        ],
        "clocks, timers and random numbers",
    ),
    allowed(
        &[
            "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend",
            "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop",
            "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
        ],
        "SysV and POSIX IPC; the IPC namespace is the guest's own",
    ),
    allowed(
        &[
            "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt",
            "listen", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto",
            "setsockopt", "shutdown",
        ],
        "sockets once made; refusing these would break the wake-up pipes of event loops",
    ),
    // Limited by their arguments.
    allowed_when(
        &["clone"],
        &[bits(0, CLONE_NAMESPACES, 0)],
        "a new namespace would give capabilities over rarely used kernel code",
    ),
    absent(&["clone3"], "its flags lie in memory, where no filter sees them; libc uses clone"),
    absent(&["openat2"], "its mode lies in memory, where no filter sees it; libc uses openat"),
    allowed_when(&["open"], &[bits(1, CREATES, 0)], "opens what is there"),
    allowed_when(&["open"], &[bits(2, SET_ID, 0)], "makes no set-id file"),
    allowed_when(&["openat"], &[bits(2, CREATES, 0)], "opens what is there"),
    allowed_when(&["openat"], &[bits(3, SET_ID, 0)], "makes no set-id file"),
    allowed_when(
        &["chmod", "creat", "fchmod", "mkdir"],
        &[bits(1, SET_ID, 0)],
        "makes no set-id file",
    ),
    allowed_when(
        &["fchmodat", "fchmodat2", "mkdirat"],
        &[bits(2, SET_ID, 0)],
        "makes no set-id file",
    ),
    allowed_when(&["mknod"], &[bits(1, SET_ID_AND_TYPE, 0)], "a plain file, no set-id one"),
    allowed_when(&["mknod"], &[bits(1, SET_ID_AND_TYPE, 0o100_000)], "a plain file"),
    allowed_when(&["mknod"], &[bits(1, SET_ID_AND_TYPE, 0o010_000)], "a FIFO, no device"),
    allowed_when(&["mknod"], &[bits(1, SET_ID_AND_TYPE, 0o140_000)], "a socket, no device"),
    allowed_when(&["mknodat"], &[bits(2, SET_ID_AND_TYPE, 0)], "a plain file, no set-id one"),
    allowed_when(&["mknodat"], &[bits(2, SET_ID_AND_TYPE, 0o100_000)], "a plain file"),
    allowed_when(&["mknodat"], &[bits(2, SET_ID_AND_TYPE, 0o010_000)], "a FIFO, no device"),
    allowed_when(&["mknodat"], &[bits(2, SET_ID_AND_TYPE, 0o140_000)], "a socket, no device"),
    allowed_when(
        &["renameat2"],
        &[bits(4, WHITEOUT, 0)],
        "a white-out is a device node, left behind without mknod",
    ),
    // AF_UNIX in any form; its raw type is datagrams.
    allowed_when(&["socket"], UNIX_SOCKETS, "unix sockets"),
    allowed_when(&["socketpair"], &[int(0, UNIX)], "unix socket pairs"),
    inet_stream(&[int(0, INET), bits(1, TYPE, STREAM), int(2, IP)]),
    inet_stream(&[int(0, INET), bits(1, TYPE, STREAM), int(2, TCP)]),
    inet_datagram(&[int(0, INET), bits(1, TYPE, DATAGRAM), int(2, IP)]),
    inet_datagram(&[int(0, INET), bits(1, TYPE, DATAGRAM), int(2, UDP)]),
    inet_datagram(&[int(0, INET), bits(1, TYPE, DATAGRAM), int(2, ICMP)]),
    inet_stream(&[int(0, INET6), bits(1, TYPE, STREAM), int(2, IP)]),
    inet_stream(&[int(0, INET6), bits(1, TYPE, STREAM), int(2, TCP)]),
    inet_datagram(&[int(0, INET6), bits(1, TYPE, DATAGRAM), int(2, IP)]),
    inet_datagram(&[int(0, INET6), bits(1, TYPE, DATAGRAM), int(2, UDP)]),
    inet_datagram(&[int(0, INET6), bits(1, TYPE, DATAGRAM), int(2, ICMPV6)]),
    allowed_when(
        &["socket"],
        &[int(0, NETLINK), int(2, 0)],
        "route netlink, by which libc lists addresses; the net namespace is the guest's own",
    ),
    allowed(&["ioctl"], "all but those below"),
    refused_when(&["ioctl"], &[int(1, 0x5412)], "TIOCSTI types into a terminal"),
    refused_when(&["ioctl"], &[int(1, 0x541c)], "TIOCLINUX pastes into a console"),
    refused_when(&["ioctl"], &[int(1, 0x5423)], "TIOCSETD loads line disciplines"),
    refused_when(&["ioctl"], &[int(1, 0x8901)], "FIOSETOWN has signals sent to others"),
    refused_when(&["ioctl"], &[int(1, 0x8902)], "SIOCSPGRP has signals sent to others"),
    allowed_when(&["personality"], &[int(0, 0)], "PER_LINUX"),
    allowed_when(&["personality"], &[int(0, 0x8)], "PER_LINUX32"),
    allowed_when(&["personality"], &[int(0, 0x2_0000)], "UNAME26"),
    allowed_when(&["personality"], &[int(0, 0x2_0008)], "PER_LINUX32 with UNAME26"),
    allowed_when(&["personality"], &[int(0, 0xffff_ffff)], "asks what it is"),
    allowed_when(
        &["seccomp"],
        &[bits(1, NEW_LISTENER, 0)],
        "a filter of the guest's own can only narrow; a listener could answer for ours",
    ),
    // Our own init is PID 1 of the guest's namespace.
    allowed(
        &[
            "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam",
            "sched_setscheduler",
        ],
        "limits and scheduling of the guest's own processes",
    ),
    refused_when(
        &[
            "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam",
            "sched_setscheduler",
        ],
        &[int(0, INIT)],
        "PID 1 is ours",
    ),
    allowed_when(&["setpriority"], &[int(0, 0)], "PRIO_PROCESS"),
    allowed_when(&["setpriority"], &[int(0, 1)], "PRIO_PGRP"),
    allowed_when(&["ioprio_set"], &[int(0, 1)], "IOPRIO_WHO_PROCESS"),
    allowed_when(&["ioprio_set"], &[int(0, 2)], "IOPRIO_WHO_PGRP"),
    refused_when(&["ioprio_set", "setpriority"], &[int(1, INIT)], "PID 1 is ours"),
    // Refused whatever the arguments.
    refused(
        &[
            "kcmp", "pidfd_getfd", "process_madvise", "process_mrelease", "process_vm_readv",
            "process_vm_writev", "ptrace",
        ],
        "traces, reads or changes another process",
    ),
    refused(
        &["add_key", "keyctl", "request_key"],
        "key rings belong to a host user and to no namespace of ours",
    ),
    refused(
        &["io_uring_enter", "io_uring_register", "io_uring_setup"],
        "a second table of system calls, which no filter sees",
    ),
    refused(
        &["bpf", "perf_event_open", "userfaultfd"],
        "kernel code that exploits lean on",
    ),
    refused(
        &[
            "chroot", "fsconfig", "fsmount", "fsopen", "fspick", "listmount", "mount",
            "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "pivot_root",
            "statmount", "umount2",
        ],
        "changes or lists mounts",
    ),
    refused(&["setns", "unshare"], "makes or enters namespaces"),
    refused(
        &["name_to_handle_at", "open_by_handle_at"],
        "a file handle names a file past every mount",
    ),
    refused(
        &[
            "acct", "create_module", "delete_module", "finit_module", "get_kernel_syms",
            "init_module", "ioperm", "iopl", "kexec_file_load", "kexec_load", "nfsservctl",
            "query_module", "quotactl", "quotactl_fd", "reboot", "setdomainname", "sethostname",
            "swapoff", "swapon", "syslog", "vhangup",
        ],
        "rules the host as a whole",
    ),
    refused(
        &["adjtimex", "clock_adjtime", "clock_settime", "settimeofday"],
        "sets the clocks of the host",
    ),
    refused(
        &["fanotify_init", "fanotify_mark"],
        "watches or holds up the file accesses of others",
    ),
    refused(&["migrate_pages", "move_pages"], "moves the memory of another process"),
    refused(&["memfd_secret"], "memory that no limit and no one else can look into"),
    refused(&["modify_ldt"], "makes 16- and 32-bit code segments"),
    needless(
        &[
            "_sysctl", "afs_syscall", "cachestat", "epoll_ctl_old", "epoll_wait_old",
            "file_getattr", "file_setattr", "getpmsg", "lookup_dcookie", "lsm_get_self_attr",
            "lsm_list_modules", "lsm_set_self_attr", "putpmsg", "remap_file_pages", "security",
            "sysfs", "tuxcall", "uselib", "ustat", "vserver",
        ],
        "obsolete, or of no use to a guest",
    ),
    needless(
        &[
            "get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node",
        ],
        "places memory on NUMA nodes",
    ),
];

/// What is left of `socket` without a network.
pub(super) const UNIX_SOCKETS: &[Condition] = &[int(0, UNIX)];

// `linux/socket.h`.
const UNIX: u32 = 1;
const INET: u32 = 2;
const INET6: u32 = 10;
const NETLINK: u32 = 16;
// `linux/net.h`: SOCK_TYPE_MASK and the types; the bits above are flags.
const TYPE: u64 = 0xf;
const STREAM: u64 = 1;
const DATAGRAM: u64 = 2;
// `linux/in.h`.
const IP: u32 = 0;
const ICMP: u32 = 1;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMPV6: u32 = 58;

const fn inet_stream(when: &'static [Condition]) -> Entry {
    allowed_when(&["socket"], when, "TCP; MPTCP and SCTP pass the second lines of defence")
}

const fn inet_datagram(when: &'static [Condition]) -> Entry {
    allowed_when(&["socket"], when, "UDP and ping; no raw packets")
}
