//! The promises that are tried, in the order of the promises.

use std::io;
use std::time::Duration;

use kernel::sandbox::report::EndingKind;
use kernel::sandbox::{Backend, SandboxConfig};

use super::bench::Bench;
use super::sys;

/// One promise, and how it is tried.
pub(super) struct Check {
    /// Its number among the promises: `F1`.
    pub(super) promise: &'static str,
    /// What is tried, as one reads it in the result.
    pub(super) what: String,
    /// Where it is promised.
    pub(super) on: &'static [Backend],
    /// What the guest does.
    pub(super) act: Vec<String>,
    /// What must come of it.
    pub(super) expected: Expected,
    /// What the check changes in the config.
    pub(super) config: fn(&mut SandboxConfig),
}

/// What must come of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// It is refused, and outside the sandbox it is not, or not in the same way.
    Refused,
    /// The host has no such file afterwards; whether the guest was refused, or
    /// made one that only it sees, is all the same.
    NotOnHost(String),
    /// It answers this.
    Answer(String),
    /// It answers with a number from 1 to this.
    AtMost(u64),
    /// The run ends this way.
    Ending(EndingKind),
    /// Nothing may run.
    NothingRan,
    /// The run ends at once, and of the mark nothing is left.
    NothingLeft(String),
}

const N: &[Backend] = &[Backend::Namespace];
const BOTH: &[Backend] = &[Backend::Namespace, Backend::Process];

/// All checks, for what `bench` has set up.
pub(super) fn checks(bench: &Bench) -> io::Result<Vec<Check>> {
    let mut checks = files(bench);
    checks.extend(identity());
    checks.extend(calls());
    checks.extend(network(bench)?);
    checks.extend(resources(bench));
    checks.extend(life(bench));
    Ok(checks)
}

fn files(bench: &Bench) -> Vec<Check> {
    let path = |act: &str, name: &str| words(&[act, &bench.path(name)]);
    vec![
        refused("F1", "read a file of the host", N, path("read", "secret")),
        Check {
            expected: Expected::NotOnHost(bench.path("made")),
            ..check("F2", "make a file outside the work dir", N, path("create", "made"))
        },
        refused("F2", "open a file of the host for writing", N, path("open-to-write", "secret")),
        answers("F2", "make a file in the work dir", BOTH, path("create", "work/made"), ""),
        answers("F4", "read an allowed path", BOTH, path("read", "read-only/file"), "26 bytes"),
        refused("F4", "write to a read-only path", N, path("open-to-write", "read-only/file")),
        refused("F4", "change the mode of a read-only path", N, path("chmod", "read-only/file")),
        refused(
            "F6",
            "open a kernel setting for writing",
            N,
            words(&["open-to-write", "/proc/sys/kernel/core_pattern"]),
        ),
        refused("F7", "make a device in the work dir", N, path("device", "work/null")),
    ]
}

fn identity() -> Vec<Check> {
    let host = std::process::id().to_string();
    let names = "HOME LANG PATH TMPDIR";
    vec![
        answers("D1", "descriptors that are open", BOTH, words(&["descriptors"]), "0 1 2"),
        answers("D2", "standard input", BOTH, words(&["stdin"]), "0 bytes"),
        answers("D3", "names in the environment", BOTH, words(&["environment"]), names),
        refused("P2", "signal a process of the host", N, words(&["signal", &host])),
        answers("P4", "user for the host", N, words(&["host-user"]), "a user"),
        answers(
            "P5",
            "capabilities, in all five sets",
            N,
            words(&["status", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]),
            &["0000000000000000"; 5].join(" "),
        ),
        answers("P5", "no_new_privs", BOTH, words(&["status", "NoNewPrivs"]), "1"),
        answers("P5", "a system-call filter", BOTH, words(&["status", "Seccomp"]), "2"),
        answers("P9", "the guest is process 1", BOTH, words(&["pid-is-one"]), "false"),
        answers(
            "H4",
            "arguments with dashes, spaces and dollars",
            BOTH,
            words(&["arguments", "--help", "", "a  b", "$HOME;`id`"]),
            r#"["--help", "", "a  b", "$HOME;`id`"]"#,
        ),
    ]
}

fn calls() -> Vec<Check> {
    let call = |name| refused("S2", &format!("call {name}"), N, words(&["call", name]));
    let mut checks: Vec<Check> = sys::call_names().map(call).collect();
    for (name, family, kind, protocol) in [
        ("vsock", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
        ("packet", libc::AF_PACKET, libc::SOCK_DGRAM, 0),
        ("alg", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ("raw", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        ("netlink audit", libc::AF_NETLINK, libc::SOCK_RAW, 9),
    ] {
        let act = ["socket".to_owned(), family.to_string(), kind.to_string(), protocol.to_string()];
        checks.push(refused("S4", &format!("open a socket of kind {name}"), N, act.into()));
    }
    checks
}

fn network(bench: &Bench) -> io::Result<Vec<Check>> {
    let address = bench.address()?.to_string();
    Ok(vec![
        refused("N1", "connect to a port of the host", N, words(&["connect", &address])),
        refused(
            "N1",
            "connect to an abstract socket of the host",
            N,
            words(&["connect-abstract", &bench.abstract_name()]),
        ),
        answers("N1", "connect to a port of its own", N, words(&["own-loopback"]), ""),
    ])
}

fn resources(bench: &Bench) -> Vec<Check> {
    let file = bench.path("work/filled");
    vec![
        ends("R2", "take all memory", words(&["take-memory"]), EndingKind::OutOfMemory, |config| {
            config.memory_limit = Some(64 << 20);
        }),
        Check {
            config: |config| config.max_processes = Some(20),
            expected: Expected::AtMost(20),
            ..check("R3", "start 100 threads", BOTH, words(&["threads", "100"]))
        },
        ends("R4", "fill a file", words(&["fill", &file]), EndingKind::FileSize, |config| {
            config.file_size_limit = Some(1 << 20);
        }),
        ends("R5", "use the processor", words(&["spin"]), EndingKind::CpuTime, |config| {
            config.cpu_time_limit = Some(1);
        }),
        ends("R6", "print without end", words(&["print"]), EndingKind::Output, |config| {
            config.max_output = 64 << 10;
        }),
    ]
}

fn life(bench: &Bench) -> Vec<Check> {
    let mark = bench.path("mark");
    vec![
        ends("L1", "ignore all signals", words(&["stay"]), EndingKind::TimedOut, |config| {
            config.timeout = Some(Duration::from_millis(500));
        }),
        Check {
            expected: Expected::NothingLeft(mark.clone()),
            ..check("L3", "leave a daemon behind", BOTH, words(&["leave", &mark]))
        },
        ends("L7", "crash", words(&["crash"]), EndingKind::Signalled, |_| {}),
        Check {
            config: |config| config.allowed_commands = vec!["cat".to_owned()],
            expected: Expected::NothingRan,
            ..check("C1", "a command that is not on the list", BOTH, words(&["stdin"]))
        },
    ]
}

fn check(promise: &'static str, what: &str, on: &'static [Backend], act: Vec<String>) -> Check {
    Check { promise, what: what.to_owned(), on, act, expected: Expected::Refused, config: |_| {} }
}

fn refused(promise: &'static str, what: &str, on: &'static [Backend], act: Vec<String>) -> Check {
    check(promise, what, on, act)
}

fn answers(
    promise: &'static str,
    what: &str,
    on: &'static [Backend],
    act: Vec<String>,
    answer: &str,
) -> Check {
    Check { expected: Expected::Answer(answer.to_owned()), ..check(promise, what, on, act) }
}

fn ends(
    promise: &'static str,
    what: &str,
    act: Vec<String>,
    ending: EndingKind,
    config: fn(&mut SandboxConfig),
) -> Check {
    Check { expected: Expected::Ending(ending), config, ..check(promise, what, BOTH, act) }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
