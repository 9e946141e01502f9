//! H2: what the receipt says, against what is seen from outside.

use kernel::sandbox::{Enforcement, NamespaceIsolator, Protection, SandboxConfig, State};

use crate::live::{Live, mark, processes_with, soon, status};
use crate::scene::{Scene, command};

fn state(receipt: &Enforcement, protection: Protection) -> State {
    receipt.get(protection).unwrap_or_else(|| panic!("nothing about {protection:?}")).state
}

/// A grandchild of the guest, seen from outside, and the receipt of its run.
fn grandchild(scene: &Scene, config: SandboxConfig) -> (u32, Live, Enforcement) {
    let receipt = scene.run(config.clone(), &["true"]).enforcement;
    let mark = mark();
    let isolator = NamespaceIsolator::new(config);
    let script = format!("(setsid sh -c 'sleep {mark}' &); echo ready; sleep 60");
    let mut live = Live::start(&isolator, command(&["sh", "-c", &script]));
    live.hear("ready");
    let name = format!("sleep\0{mark}");
    soon("the grandchild", || !processes_with(&name).is_empty());
    (processes_with(&name)[0], live, receipt)
}

/// The hard limit of a process, from /proc/pid/limits.
fn limit(pid: u32, name: &str) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn h2_what_is_called_enforced_holds_for_a_grandchild_too() {
    each_caller!(|scene| {
        use Protection as P;
        let (pid, live, receipt) = grandchild(scene, scene.config());

        for protection in [
            P::Processes,
            P::Filesystem,
            P::Network,
            P::Hostname,
            P::Ipc,
            P::Identity,
            P::Capabilities,
            P::NoNewPrivs,
            P::Syscalls,
            P::Landlock,
            P::Descriptors,
            P::Environment,
            P::Cleanup,
            P::CpuTime,
            P::Timeout,
            P::MaxProcesses,
            P::FileSize,
            P::Output,
        ] {
            assert_eq!(state(&receipt, protection), State::Enforced, "{protection:?}");
        }
        assert_eq!(state(&receipt, P::AllowedCommands), State::Off);

        for namespace in ["pid", "mnt", "net", "uts", "ipc", "user", "cgroup"] {
            let link = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/{namespace}"));
            // An ordinary user may not look at what it cannot trace.
            if let Ok(guests) = link(&pid.to_string()) {
                assert_ne!(guests, link("self").unwrap(), "{namespace}");
            } else {
                assert!(!scene.is_root());
            }
        }
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(status(pid, "Seccomp"), "2");
        assert_eq!(status(pid, "CapBnd"), "0000000000000000");
        assert!(!status(pid, "Uid").split_whitespace().any(|id| id == "0"));
        assert_eq!(limit(pid, "Max file size"), (10 << 20).to_string());
        assert_eq!(limit(pid, "Max cpu time"), "31");
        assert_eq!(limit(pid, "Max core file size"), "0");
        live.end();
    });
}

#[test]
fn h2_what_is_switched_off_is_called_off_and_is_off() {
    each_caller!(|scene| {
        let config = SandboxConfig {
            enable_seccomp: false,
            landlock: false,
            enable_network: true,
            allowed_hosts: vec!["*".into()],
            cpu_time_limit: None,
            file_size_limit: None,
            max_processes: None,
            ..scene.config()
        };
        let (pid, live, receipt) = grandchild(scene, config);

        use Protection as P;
        for protection in
            [P::Syscalls, P::Landlock, P::Network, P::CpuTime, P::FileSize, P::MaxProcesses]
        {
            assert_eq!(state(&receipt, protection), State::Off, "{protection:?}");
        }
        assert_eq!(status(pid, "Seccomp"), "0");
        if let Ok(guests) = std::fs::read_link(format!("/proc/{pid}/ns/net")) {
            assert_eq!(guests, std::fs::read_link("/proc/self/ns/net").unwrap());
        }
        // What was not switched off stays.
        assert_eq!(state(&receipt, P::Capabilities), State::Enforced);
        assert_eq!(status(pid, "CapBnd"), "0000000000000000");
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        live.end();
    });
}
