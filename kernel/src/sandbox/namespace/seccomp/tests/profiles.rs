//! Profiles of a user's own: what is read, what is refused, what comes of them.

use super::super::rule::ENOSYS;
use super::super::*;
use super::{ABSENT, REFUSED, verdict};

pub(super) const DOCKER_SHAPED: &str = include_str!("data/docker-shaped.json");

/// The example users were shown.
const EXAMPLE: &str = r#"{ "defaultAction": "SCMP_ACT_ERRNO",
  "syscalls": [
    // what the program needs
    { "names": ["read", "write", "open", "close"], "action": "SCMP_ACT_ALLOW" },
    { "names": ["ptrace", "mount", "reboot"], "action": "SCMP_ACT_ERRNO" } ] }"#;

const NAMESPACE: Base = Base::Namespace(Sockets::Internet);

pub(super) fn target(arch: Arch) -> Target {
    Target { arch, kernel: Kernel::parse("6.18.44-test") }
}

fn read(text: &str) -> Result<Profile> {
    Profile::read_for(text, target(Arch::X86_64))
}

/// The filter for `entries`, everything else being allowed by the profile.
fn narrowed(entries: &str) -> Filter {
    let text = format!(r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{entries}] }}"#);
    Filter::combined(NAMESPACE, &read(&text).unwrap()).unwrap()
}

fn says(filter: &Filter, name: &str, arguments: &[u64]) -> Action {
    verdict(filter, Arch::X86_64, name, arguments)
}

fn problem(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn the_shown_example_is_refused_by_the_names_of_what_it_lacks() {
    let error = Filter::for_policy(&Syscalls::Profile(EXAMPLE.into())).unwrap_err();

    assert_eq!(error.code(), "config");
    let text = error.to_string();
    for name in ["`execve`", "`mmap`", "`mprotect`", "`exit_group`", "`openat`"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(text.contains("start-up baseline"), "{text}");
}

#[test]
fn the_shown_example_with_the_baseline_is_a_filter() {
    let baseline = serde_json::to_string(&[STARTUP, PYTHON_STARTUP].concat()).unwrap();
    let text = EXAMPLE.replace(
        r#""syscalls": ["#,
        &format!(r#""syscalls": [ {{ "names": {baseline}, "action": "SCMP_ACT_ALLOW" }},"#),
    );

    let filter = Filter::for_policy(&Syscalls::Profile(text.clone())).unwrap();

    let arch = Arch::native().unwrap();
    assert_eq!(verdict(&filter, arch, "execve", &[]), Action::Allow);
    assert_eq!(verdict(&filter, arch, "socket", &[1, 1, 0]), REFUSED);
    assert!(Lint::read(&text).unwrap().vital.is_empty());
}

#[test]
fn a_profile_narrows_the_default() {
    let filter = narrowed(
        r#"{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 },
           { "names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS" },
           { "names": ["tkill"], "action": "SCMP_ACT_KILL" },
           { "names": ["tgkill"], "action": "SCMP_ACT_TRAP" },
           { "names": ["getppid"], "action": "SCMP_ACT_LOG" }"#,
    );

    assert_eq!(says(&filter, "mkdir", &[]), Action::Errno(13));
    assert_eq!(says(&filter, "kill", &[]), Action::KillProcess);
    assert_eq!(says(&filter, "tkill", &[]), Action::KillThread);
    assert_eq!(says(&filter, "tgkill", &[]), Action::Trap);
    assert_eq!(says(&filter, "getppid", &[]), Action::Log);
    assert_eq!(says(&filter, "getpid", &[]), Action::Allow);
}

#[test]
fn a_profile_does_not_widen_the_default_and_what_it_tried_is_named() {
    let filter = narrowed(
        r#"{ "names": ["ptrace", "read", "clone", "clone3"], "action": "SCMP_ACT_ALLOW" }"#,
    );

    assert_eq!(says(&filter, "ptrace", &[]), REFUSED);
    assert_eq!(says(&filter, "unshare", &[]), REFUSED);
    assert_eq!(says(&filter, "clone", &[0x1000_0000]), REFUSED);
    assert_eq!(says(&filter, "clone", &[0x0120_0011]), Action::Allow);
    assert_eq!(says(&filter, "clone3", &[]), ABSENT);
    let widened: Vec<String> = filter.widened().iter().map(ToString::to_string).collect();
    assert_eq!(
        widened,
        ["calls it does not name (defaultAction)", "clone(0x20000)", "clone3", "ptrace"]
    );
    assert!(filter.describe().ends_with(
        "; still refused though the profile allows it: calls it does not name (defaultAction), \
         clone3, ptrace; still refused with some arguments: clone(0x20000)"
    ));
}

#[test]
fn a_profile_opens_no_network_on_a_base_without_one() {
    let profile = read(r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [] }"#).unwrap();

    for base in [Base::Process as fn(Sockets) -> Base, Base::Namespace] {
        let sealed = Filter::combined(base(Sockets::Unix), &profile).unwrap();
        let open = Filter::combined(base(Sockets::Internet), &profile).unwrap();
        for domain in [2, 10, 16] {
            assert_eq!(says(&sealed, "socket", &[domain, 2, 0]), REFUSED, "{domain}");
            assert_eq!(says(&open, "socket", &[domain, 2, 0]), Action::Allow, "{domain}");
        }
        assert_eq!(says(&sealed, "socket", &[1, 1, 0]), Action::Allow);
    }
}

#[test]
fn a_profile_within_the_default_widens_nothing() {
    let text = r#"{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["read", "write", "ptrace"], "action": "SCMP_ACT_ERRNO" },
        { "names": ["execve", "exit_group"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
          "args": [{ "index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ" }] },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW",
          "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] }] }"#;

    let filter = Filter::combined(NAMESPACE, &read(text).unwrap()).unwrap();

    assert_eq!(filter.widened(), []);
    assert_eq!(says(&filter, "socket", &[1, 1, 0]), Action::Allow);
    assert_eq!(says(&filter, "socket", &[2, 1, 0]), REFUSED);
}

#[test]
fn a_refusal_holds_wherever_it_stands() {
    for entries in [
        r#"{ "names": ["socket"], "action": "SCMP_ACT_ALLOW" },
           { "names": ["socket"], "action": "SCMP_ACT_ERRNO",
             "args": [{ "index": 0, "value": 2, "op": "SCMP_CMP_EQ" }] }"#,
        r#"{ "names": ["socket"], "action": "SCMP_ACT_ERRNO",
             "args": [{ "index": 0, "value": 2, "op": "SCMP_CMP_EQ" }] },
           { "names": ["socket"], "action": "SCMP_ACT_ALLOW" }"#,
    ] {
        let filter = narrowed(entries);
        assert_eq!(says(&filter, "socket", &[2, 1, 0]), REFUSED);
        assert_eq!(says(&filter, "socket", &[1, 1, 0]), Action::Allow);
    }
    let both = r#"{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["getpid"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["getpid"], "action": "SCMP_ACT_ERRNO" }] }"#;
    let lint = Lint::of(&read(both).unwrap()).unwrap();
    assert!(lint.notes[0].contains("`getpid` is allowed by one entry and refused"), "{lint}");
}

#[test]
fn calls_unknown_to_the_tables_follow_the_default_action() {
    let newest = 600;
    for (action, expected) in [
        ("SCMP_ACT_ALLOW", Action::Errno(ENOSYS)),
        ("SCMP_ACT_ERRNO", Action::Errno(ENOSYS)),
        ("SCMP_ACT_KILL_PROCESS", Action::KillProcess),
    ] {
        let profile =
            read(&format!(r#"{{ "defaultAction": "{action}", "syscalls": [] }}"#)).unwrap();
        let filter = Filter::combined(NAMESPACE, &profile).unwrap();
        assert_eq!(super::run_native(&filter, Arch::X86_64, newest), expected, "{action}");
    }
}

#[test]
fn every_operator_compares_as_its_name_says() {
    const BIG: u64 = (7 << 32) | 5;
    const LOW: u64 = u32::MAX as u64;
    type Case = (&'static str, u64, u64, &'static [u64], &'static [u64]);
    const CASES: [Case; 7] = [
        ("NE", BIG, 0, &[5, BIG + 1, 7 << 32], &[BIG]),
        ("LT", BIG, 0, &[0, BIG - 1, LOW], &[BIG, BIG + 1, u64::MAX]),
        ("LE", BIG, 0, &[0, BIG, 6 << 32 | 9], &[BIG + 1, 8 << 32]),
        ("EQ", BIG, 0, &[BIG], &[5, 7 << 32, BIG | 1 << 63]),
        ("GE", BIG, 0, &[BIG, 8 << 32, u64::MAX], &[BIG - 1, LOW]),
        ("GT", BIG, 0, &[BIG + 1, 8 << 32], &[BIG, 6 << 32 | LOW]),
        (
            "MASKED_EQ",
            0xf0_0000_000f,
            0x10_0000_0003,
            &[0x10_0000_0003, 0x1f_ffff_fff3],
            &[3, 0x10_0000_0007],
        ),
    ];
    for argument in 0..6 {
        for (op, value, two, hits, misses) in CASES {
            let filter = narrowed(&format!(
                r#"{{ "names": ["getpid"], "action": "SCMP_ACT_ERRNO", "args": [{{ "index": {argument},
                   "value": {value}, "valueTwo": {two}, "op": "SCMP_CMP_{op}" }}] }}"#
            ));
            let says = |value| {
                let mut arguments = [u64::MAX; 6];
                arguments[argument] = value;
                says(&filter, "getpid", &arguments)
            };
            for hit in hits {
                assert_eq!(says(*hit), REFUSED, "{hit:#x} {op} {value:#x}");
            }
            for miss in misses {
                assert_eq!(says(*miss), Action::Allow, "{miss:#x} {op} {value:#x}");
            }
        }
    }
}

#[test]
fn an_explanation_tells_whose_rule_it_is() {
    let profile = read(DOCKER_SHAPED).unwrap();

    let text = Explanation::of(NAMESPACE, &profile).unwrap().to_string();

    for part in [
        "  clone\n    profile: allowed when argument 0 & 0x7e020000 == 0x0\n    profile: refused with EPERM otherwise\n    default: allowed when",
        "refused with SIGSYS (1):\n  vhangup\n",
        "ends the process (1):\n  lookup_dcookie\n",
    ] {
        assert!(text.contains(part), "{part}\n---\n{text}");
    }
}

#[test]
fn errnos_have_numbers_or_names() {
    let filter = narrowed(
        r#"{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errno": "EACCES" },
           { "names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "30" }"#,
    );

    assert_eq!(says(&filter, "mkdir", &[]), Action::Errno(13));
    assert_eq!(says(&filter, "rmdir", &[]), Action::Errno(30), "the name goes first");
    let podman =
        r#"{ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS", "defaultErrnoRet": 38 }"#;
    assert_eq!(read(podman).unwrap().otherwise, Action::Errno(ENOSYS));
    let wrong = r#"{ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOPE" }"#;
    assert!(problem(wrong).contains("column 54: there is no errno `ENOPE`"), "{}", problem(wrong));
}

#[test]
fn two_comparisons_of_one_argument_are_alternatives_and_noted() {
    let entries = r#"{ "names": ["getpid"], "action": "SCMP_ACT_ERRNO", "args": [
        { "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }, { "index": 0, "value": 2, "op": "SCMP_CMP_EQ" }] }"#;
    let filter = narrowed(entries);

    assert_eq!(says(&filter, "getpid", &[1]), REFUSED);
    assert_eq!(says(&filter, "getpid", &[2]), REFUSED);
    assert_eq!(says(&filter, "getpid", &[3]), Action::Allow);
    let text = format!(r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{entries}] }}"#);
    assert!(Lint::of(&read(&text).unwrap()).unwrap().notes[0].contains("either comparison"));
}

#[test]
fn includes_and_excludes_are_decided_for_a_guest_without_capabilities() {
    let profile = read(DOCKER_SHAPED).unwrap();

    let x86 = |name: &str| profile.rules(name).rules;
    assert!(x86("bpf").is_empty(), "needs a capability");
    assert!(x86("reboot").is_empty(), "needs a capability");
    assert_eq!(x86("clone").len(), 1, "the s390 entry is not ours");
    assert_eq!(x86("clone3")[0].action, Action::Errno(ENOSYS));
    assert_eq!(x86("ptrace").len(), 1, "kernel 4.8 is long past");
    assert!(x86("set_mempolicy").is_empty(), "kernel 4.8 is long past");
    assert_eq!(x86("modify_ldt").len(), 1);

    let old = Target { arch: Arch::Aarch64, kernel: Kernel::parse("4.4") };
    let profile = Profile::read_for(DOCKER_SHAPED, old).unwrap();
    let arm = |name: &str| profile.rules(name).rules;
    assert!(arm("ptrace").is_empty());
    assert_eq!(arm("set_mempolicy").len(), 1);
    assert!(arm("modify_ldt").is_empty());
}

#[test]
fn a_profile_that_asks_for_an_unknown_kernel_is_refused() {
    let target = Target { arch: Arch::X86_64, kernel: None };

    let error = Profile::read_for(DOCKER_SHAPED, target).unwrap_err();

    assert_eq!(error.code(), "unsupported");
}

#[test]
fn a_profile_in_the_shape_of_dockers_keeps_our_guarantees() {
    let filter = Filter::combined(NAMESPACE, &read(DOCKER_SHAPED).unwrap()).unwrap();

    for name in ["ptrace", "process_vm_readv", "bpf", "mount", "unshare", "memfd_secret"] {
        assert_eq!(says(&filter, name, &[]), REFUSED, "{name}");
    }
    assert_eq!(says(&filter, "vhangup", &[]), Action::Trap);
    assert_eq!(says(&filter, "lookup_dcookie", &[]), Action::KillProcess);
    assert_eq!(says(&filter, "openat2", &[]), ABSENT);
    assert_eq!(says(&filter, "clone3", &[]), ABSENT);
    let widened: Vec<String> = filter.widened().iter().map(ToString::to_string).collect();
    for name in ["ptrace", "openat2", "ioctl(0x0, 0x8902)", "socket(0x0)"] {
        assert!(widened.iter().any(|widened| widened == name), "{name} in {widened:?}");
    }
    let notes = Lint::of(&read(DOCKER_SHAPED).unwrap()).unwrap().notes;
    assert!(notes[0].contains("SCMP_ARCH_X32, SCMP_ARCH_X86"), "{notes:?}");
}

#[test]
fn mistakes_are_told_together_with_their_places() {
    let text = r#"{
  "defaultAction": "SCMP_ACT_ERRNO", // refuse
  "architectures": ["SCMP_ARCH_X86_46"],
  "syscalls": [
    { "names": ["opennat", "frobnicate"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }] },
    { "names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1, "includes": { "caps": ["CAP_FLY"], "minKernel": "new" } },
    { "names": [], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000 }
  ]
}"#;
    let Err(Error::Config { problems }) = read(text) else { panic!("it was taken") };

    for expected in [
        "line 3, column 21: unknown architecture `SCMP_ARCH_X86_46`",
        "line 5, column 17: unknown system call `opennat`; did you mean `openat`?",
        "line 5, column 28: unknown system call `frobnicate`",
        "argument index 6",
        "line 6, column 92: unknown capability `CAP_FLY`",
        "line 6, column 117: `new` is no kernel version",
        "an entry of `syscalls` names no call",
        "there is no errno 5000",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected}: {problems:#?}"
        );
    }
}

#[test]
fn a_text_made_to_take_long_does_not() {
    let began = std::time::Instant::now();
    let many = |name: &dyn Fn(usize) -> String| {
        let names: Vec<String> = (0..30_000).map(|at| format!("\"{}\"", name(at))).collect();
        format!(
            r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{ "names": [{}], "action": "SCMP_ACT_ERRNO",
               "args": [{}] }}] }}"#,
            names.join(","),
            vec![r#"{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }"#; 5000].join(",")
        )
    };
    let Err(Error::Config { problems }) = read(&many(&|at| format!("no_such_call_{at}"))) else {
        panic!("it was taken")
    };
    assert_eq!(problems.len(), 33);
    assert_eq!(problems[32], "seccomp profile: and 29968 more");
    assert!(read(&many(&|_| "getpid".into())).is_ok());
    let long = format!(r#"{{ "defaultAction": "{}" }}"#, "SCMP".repeat(200_000));
    assert!(problem(&long).len() < 600);

    // Some 50 ms; in minutes when each name is looked for.
    assert!(began.elapsed().as_secs() < 20);
}

#[test]
fn what_a_text_says_is_shown_without_control_characters() {
    for text in [
        "{ \"defaultAction\": \"\\u001b[2J\\n\" }",
        "{ \"\\u001b[2J\\n\": 1 }",
        r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["\u001b\n"], "action": "SCMP_ACT_ERRNO",
            "includes": { "caps": ["\u0000"], "minKernel": "\n" } }], "architectures": ["\u0007"] }"#,
        r#"{ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["\n"] }"#,
    ] {
        let told = problem(text);
        assert!(!told.contains(char::is_control), "{told:?}");
    }
}

#[test]
fn a_malformed_text_is_told_its_line() {
    for (text, expected) in [
        ("", "line 1"),
        ("{", "line 1"),
        ("[]", "line 1"),
        (r#"{ "syscalls": [] }"#, "defaultAction"),
        (r#"{ "defaultAction": "ALLOW" }"#, "SCMP_ACT_ALLOW"),
        (
            "{ \"defaultAction\": \"SCMP_ACT_ALLOW\",\n \"sysCalls\": [] }",
            "unknown field `sysCalls`",
        ),
        (
            r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW",
              "args": [{ "index": 0, "value": -1, "op": "SCMP_CMP_EQ" }] }] }"#,
            "line 2",
        ),
        (
            r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW",
              "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_XX" }] }] }"#,
            "SCMP_CMP_XX",
        ),
    ] {
        let problem = problem(text);
        assert!(problem.contains(expected), "{text}: {problem}");
        assert!(!problem.contains("struct "), "{problem}");
    }
    let error = read(&" ".repeat(2 << 20)).unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn what_needs_a_supervisor_is_refused_by_name() {
    for (text, name) in [
        (r#"{ "defaultAction": "SCMP_ACT_TRACE" }"#, "SCMP_ACT_TRACE"),
        (
            r#"{ "defaultAction": "SCMP_ACT_ERRNO",
              "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_NOTIFY" }] }"#,
            "SCMP_ACT_NOTIFY",
        ),
        (r#"{ "defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/run/x" }"#, "listenerPath"),
        (
            r#"{ "defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"] }"#,
            "SPEC_ALLOW",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.code(), "unsupported", "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    read(r#"{ "defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_TSYNC"] }"#)
        .unwrap();
}

#[test]
fn a_profile_too_long_for_a_filter_is_refused() {
    let entries: Vec<String> = (0..5000)
        .map(|value| {
            format!(
                r#"{{ "names": ["getpid", "getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": {},
                   "args": [{{ "index": {}, "value": {value}, "op": "SCMP_CMP_EQ" }}] }}"#,
                value % 4000,
                value % 6
            )
        })
        .collect();
    let text =
        format!(r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}] }}"#, entries.join(","));

    let error = Filter::combined(NAMESPACE, &read(&text).unwrap()).unwrap_err();

    assert!(error.to_string().contains("4096 instructions"), "{error}");
}

#[test]
fn far_jumps_land_where_they_should() {
    // Some 200 instructions for one call, twelve times over.
    let names = [
        "getpid", "getuid", "getgid", "getppid", "getpgrp", "gettid", "umask", "alarm", "dup",
        "kill", "time", "pause",
    ];
    let entries: Vec<String> = names
        .iter()
        .enumerate()
        .flat_map(|(at, name)| {
            (0..60).map(move |value| {
                format!(
                    r#"{{ "names": ["{name}"], "action": "SCMP_ACT_ERRNO", "errnoRet": {},
                   "args": [{{ "index": 1, "value": {}, "op": "SCMP_CMP_EQ" }}] }}"#,
                    100 * at + value + 1,
                    10 * value
                )
            })
        })
        .collect();
    let filter = narrowed(&entries.join(","));

    assert!(filter.instructions().len() > 1500, "{}", filter.instructions().len());
    for (at, name) in names.iter().enumerate() {
        for value in 0..60_u64 {
            let errno = u16::try_from(100 * at + usize::try_from(value).unwrap() + 1).unwrap();
            assert_eq!(says(&filter, name, &[0, 10 * value]), Action::Errno(errno));
            assert_eq!(says(&filter, name, &[0, 10 * value + 1]), Action::Allow);
        }
    }
    assert_eq!(says(&filter, "ptrace", &[]), REFUSED);
    assert_eq!(says(&filter, "read", &[]), Action::Allow);
}

#[test]
fn our_own_default_profile_reads_as_itself() {
    for arch in Arch::ALL {
        let profile = Profile::read_for(&default_json(), target(arch)).unwrap();
        let filter = Filter::combined(NAMESPACE, &profile).unwrap();

        assert_eq!(filter.widened(), []);
        assert_eq!(filter.instructions(), Filter::of_base(NAMESPACE, arch).unwrap().instructions());
        assert!(Lint::of(&profile).unwrap().is_clean());
    }
}
