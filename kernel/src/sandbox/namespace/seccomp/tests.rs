//! The programs, run by an interpreter of our own: verdicts on every machine.

#[path = "tests/golden.rs"]
mod golden;
#[path = "tests/interpreter.rs"]
mod interpreter;
#[cfg(target_os = "linux")]
#[path = "tests/libseccomp.rs"]
mod libseccomp;
#[cfg(target_os = "linux")]
#[path = "tests/oracle.rs"]
mod oracle;
#[path = "tests/profiles.rs"]
mod profiles;
#[path = "tests/property.rs"]
mod property;

use super::rule::{ENOSYS, EPERM};
use super::*;
use interpreter::run;

const REFUSED: Action = Action::Errno(EPERM);
const ABSENT: Action = Action::Errno(ENOSYS);

/// What `filter` says about `name(arguments…)` on `arch`.
fn verdict(filter: &Filter, arch: Arch, name: &str, arguments: &[u64]) -> Action {
    let number = arch.number(name).unwrap_or_else(|| panic!("{arch:?} has no {name}"));
    let mut six = [0; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    run(filter.instructions(), &tree::Call { number, arch: arch.audit(), arguments: six })
}

fn namespace(arch: Arch) -> Filter {
    Filter::of_base(Base::Namespace(Sockets::Internet), arch).unwrap()
}

#[test]
fn every_call_of_the_tables_is_named_in_the_default_profile() {
    let named: std::collections::BTreeSet<&str> =
        super::default::ENTRIES.iter().flat_map(|entry| entry.names.iter().copied()).collect();

    for arch in Arch::ALL {
        for (name, _) in arch.calls() {
            assert!(named.contains(name), "decide on `{name}` in default.rs");
        }
    }
    for name in named {
        assert!(names::exists_anywhere(name), "`{name}` is no system call");
    }
}

#[test]
fn a_foreign_interface_ends_the_process() {
    // AUDIT_ARCH_I386, AUDIT_ARCH_ARM, and each other's.
    let interfaces = [0x4000_0003, 0x4000_0028, 0xc000_003e, 0xc000_00b7];
    for arch in Arch::ALL {
        let filter = namespace(arch);
        for foreign in interfaces.into_iter().filter(|interface| *interface != arch.audit()) {
            for number in 0..600 {
                let call = tree::Call { number, arch: foreign, arguments: [0; 6] };
                assert_eq!(run(filter.instructions(), &call), Action::KillProcess);
            }
        }
    }
}

fn run_native(filter: &Filter, arch: Arch, number: u32) -> Action {
    run(filter.instructions(), &tree::Call { number, arch: arch.audit(), arguments: [0; 6] })
}

#[test]
fn numbers_beyond_the_tables_do_not_exist() {
    for arch in Arch::ALL {
        let filter = namespace(arch);
        let newest = arch.calls().iter().map(|(_, number)| *number).max().unwrap();
        for number in [newest + 1, 512, 600, 1 << 29, (1 << 30) - 1, u32::MAX] {
            assert_eq!(run_native(&filter, arch, number), ABSENT, "{arch:?} {number}");
        }
    }
}

#[test]
fn x32_calls_do_not_exist() {
    let filter = namespace(Arch::X86_64);
    for number in 0..600 {
        assert_eq!(run_native(&filter, Arch::X86_64, 0x4000_0000 | number), ABSENT);
    }
}

#[test]
fn upper_bits_of_an_int_argument_change_nothing() {
    for arch in Arch::ALL {
        let filter = namespace(arch);
        for upper in [0, 1 << 32, 0xffff_ffff << 32] {
            let check = |name, arguments: &[u64], expected| {
                let dirty: Vec<u64> = arguments.iter().map(|low| low | upper).collect();
                assert_eq!(verdict(&filter, arch, name, &dirty), expected, "{name} {dirty:x?}");
            };
            check("ioctl", &[0, 0x5412], REFUSED);
            check("ioctl", &[0, 0x541c], REFUSED);
            check("ioctl", &[0, 0x5401], Action::Allow);
            check("socket", &[40, 1, 0], REFUSED);
            check("socket", &[1, 1, 0], Action::Allow);
            check("personality", &[0x0040_0000], REFUSED);
            check("clone", &[0x1000_0000], REFUSED);
            check("prlimit64", &[1], REFUSED);
            check("prlimit64", &[0], Action::Allow);
        }
    }
}

#[test]
fn sockets_are_unix_tcp_udp_ping_and_route_netlink() {
    const CLOEXEC_NONBLOCK: u64 = 0o2_000_000 | 0o4000;
    for arch in Arch::ALL {
        let filter = namespace(arch);
        let socket = |domain, kind: u64, protocol| {
            let verdicts = [kind, kind | CLOEXEC_NONBLOCK]
                .map(|kind| verdict(&filter, arch, "socket", &[domain, kind, protocol]));
            assert_eq!(verdicts[0], verdicts[1], "flags change nothing");
            verdicts[0]
        };
        for (domain, kind, protocol) in [
            (1, 1, 0),
            (1, 2, 0),
            (1, 5, 0),
            (2, 1, 0),
            (2, 1, 6),
            (2, 2, 0),
            (2, 2, 17),
            (2, 2, 1),
            (10, 1, 0),
            (10, 1, 6),
            (10, 2, 0),
            (10, 2, 17),
            (10, 2, 58),
            (16, 3, 0),
            (16, 2, 0),
        ] {
            assert_eq!(socket(domain, kind, protocol), Action::Allow, "{domain} {kind} {protocol}");
        }
        for (domain, kind, protocol) in [
            (2, 1, 262),
            (10, 1, 262), // MPTCP
            (2, 1, 132),
            (2, 5, 132), // SCTP
            (2, 3, 1),
            (2, 3, 255),
            (10, 3, 58), // raw
            (2, 2, 136), // UDP-Lite
            (2, 10, 0),
            (2, 6, 33), // SOCK_PACKET, DCCP
            (16, 3, 9),
            (16, 3, 12),
            (16, 3, 16), // audit, netfilter, generic netlink
            (0, 1, 0),
            (3, 1, 0),
            (17, 3, 0),
            (21, 5, 0),
            (29, 3, 1),
            (30, 1, 0),
            (31, 1, 0),
            (38, 5, 0),
            (40, 1, 0),
            (43, 1, 0),
            (44, 3, 0),
            (45, 1, 0), // …, vsock, smc, xdp
        ] {
            assert_eq!(socket(domain, kind, protocol), REFUSED, "{domain} {kind} {protocol}");
        }
        assert_eq!(verdict(&filter, arch, "socketpair", &[1, 1, 0]), Action::Allow);
        assert_eq!(verdict(&filter, arch, "socketpair", &[30, 1, 0]), REFUSED);
    }
}

#[test]
fn no_call_makes_a_set_id_file_or_a_device() {
    let filter = namespace(Arch::X86_64);
    let says = |name, arguments: &[u64]| verdict(&filter, Arch::X86_64, name, arguments);
    for set_id in [0o4000, 0o2000, 0o6000] {
        let mode = set_id | 0o755;
        for (name, arguments) in [
            ("chmod", vec![0, mode]),
            ("fchmod", vec![3, mode]),
            ("fchmodat", vec![3, 0, mode]),
            ("fchmodat2", vec![3, 0, mode, 0]),
            ("creat", vec![0, mode]),
            ("mkdir", vec![0, mode]),
            ("mkdirat", vec![3, 0, mode]),
            ("mknod", vec![0, 0o100_000 | mode]),
            ("mknodat", vec![3, 0, 0o100_000 | mode]),
            ("open", vec![0, 0o101, mode]),
            ("openat", vec![3, 0, 0o101, mode]),
            ("openat", vec![3, 0, 0o20_200_002, mode]),
        ] {
            assert_eq!(says(name, &arguments), REFUSED, "{name} {arguments:x?}");
        }
        // Without O_CREAT the mode is whatever lay in the register.
        assert_eq!(says("open", &[0, 0, mode]), Action::Allow);
        assert_eq!(says("openat", &[3, 0, 0o2_000_000, mode]), Action::Allow);
    }
    assert_eq!(says("openat2", &[]), ABSENT);
    for (kind, expected) in [
        (0, Action::Allow),
        (0o100_000, Action::Allow),
        (0o010_000, Action::Allow),
        (0o140_000, Action::Allow),
        (0o020_000, REFUSED),
        (0o060_000, REFUSED),
    ] {
        assert_eq!(says("mknod", &[0, kind | 0o600]), expected, "{kind:o}");
        assert_eq!(says("mknodat", &[3, 0, kind | 0o600]), expected, "{kind:o}");
    }
    assert_eq!(says("renameat2", &[3, 0, 3, 0, 0]), Action::Allow);
    assert_eq!(says("renameat2", &[3, 0, 3, 0, 4]), REFUSED);
}

#[test]
fn namespaces_and_listeners_are_refused_and_threads_are_not() {
    for arch in Arch::ALL {
        let filter = namespace(arch);
        let says = |name, arguments: &[u64]| verdict(&filter, arch, name, arguments);
        // What glibc's pthread_create and fork pass.
        assert_eq!(says("clone", &[0x003d_0f00]), Action::Allow);
        assert_eq!(says("clone", &[0x0120_0011]), Action::Allow);
        for flag in [17, 25, 26, 27, 28, 29, 30] {
            assert_eq!(says("clone", &[(1 << flag) | 17]), REFUSED, "CLONE bit {flag}");
        }
        assert_eq!(says("clone3", &[]), ABSENT);
        assert_eq!(says("unshare", &[0]), REFUSED);
        assert_eq!(says("setns", &[3, 0]), REFUSED);
        assert_eq!(says("seccomp", &[1, 0]), Action::Allow);
        assert_eq!(says("seccomp", &[1, 8]), REFUSED);
        assert_eq!(says("seccomp", &[1, 9]), REFUSED);
    }
}

#[test]
fn init_is_out_of_reach_of_limits_and_priorities() {
    for arch in Arch::ALL {
        let filter = namespace(arch);
        let says = |name, arguments: &[u64]| verdict(&filter, arch, name, arguments);
        for name in [
            "prlimit64",
            "sched_setaffinity",
            "sched_setattr",
            "sched_setparam",
            "sched_setscheduler",
        ] {
            assert_eq!(says(name, &[1]), REFUSED, "{name}");
            assert_eq!(says(name, &[0]), Action::Allow, "{name}");
            assert_eq!(says(name, &[2]), Action::Allow, "{name}");
        }
        for (which, who, expected) in [
            (0, 0, Action::Allow),
            (0, 2, Action::Allow),
            (0, 1, REFUSED),
            (1, 1, REFUSED),
            (2, 1000, REFUSED), // everything of the user, and so init
        ] {
            assert_eq!(says("setpriority", &[which, who]), expected, "{which} {who}");
            assert_eq!(says("ioprio_set", &[which + 1, who]), expected, "{which} {who}");
        }
    }
}

#[test]
fn the_process_filter_lets_through_all_but_the_dangerous() {
    for arch in Arch::ALL {
        let standard = Filter::of_base(Base::Process(Sockets::Internet), arch).unwrap();
        let strict = Filter::of_base(Base::Process(Sockets::Unix), arch).unwrap();
        for filter in [&standard, &strict] {
            let says = |name, arguments: &[u64]| verdict(filter, arch, name, arguments);
            for name in ["ptrace", "bpf", "io_uring_setup", "mount", "unshare", "keyctl", "reboot"]
            {
                assert_eq!(says(name, &[]), REFUSED, "{name}");
            }
            for name in ["read", "execve", "get_mempolicy", "remap_file_pages", "cachestat"] {
                assert_eq!(says(name, &[]), Action::Allow, "{name}");
            }
            assert_eq!(says("ioctl", &[0, 0x5412]), REFUSED);
            assert_eq!(says("clone", &[0x1000_0000]), REFUSED);
            assert_eq!(says("socket", &[1, 1, 0]), Action::Allow);
            assert_eq!(says("socket", &[40, 1, 0]), REFUSED);
        }
        assert_eq!(verdict(&standard, arch, "socket", &[2, 1, 0]), Action::Allow);
        assert_eq!(verdict(&strict, arch, "socket", &[2, 1, 0]), REFUSED);
        assert_eq!(verdict(&strict, arch, "socket", &[16, 3, 0]), REFUSED);
    }
}

#[test]
fn the_default_filter_is_small() {
    for arch in Arch::ALL {
        let length = namespace(arch).instructions().len();
        assert!(length < 300, "{arch:?}: {length} instructions");
    }
}

#[test]
fn bytes_are_those_of_struct_sock_filter() {
    let filter = namespace(Arch::X86_64);

    let bytes = filter.to_bytes();

    assert_eq!(bytes.len(), filter.instructions().len() * 8);
    assert_eq!(bytes[..2], 0x20_u16.to_ne_bytes(), "the first thing is a load");
    assert_eq!(bytes[4..8], 4_u32.to_ne_bytes(), "of the architecture");
}
