//! L4: the death of the application, and of the launcher.

use std::fs;
use std::time::{Duration, Instant};

use kernel::sandbox::{Exit, NamespaceIsolator};
use rustix::process::{Pid, Signal};

use crate::live::{Live, mark, processes_with, soon, status};
use crate::scene::{Scene, command, role};

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A guest that leaves processes of every kind about.
fn guest(mark: &str) -> String {
    format!("(setsid sleep {mark} &); sleep {mark} & trap '' TERM HUP; echo ready; sleep {mark}; :")
}

/// Kills a host in the middle of a run and looks at what is left.
fn host_dies_by(scene: &Scene, test: &str, signal: Signal) {
    if let Some(mark) = role() {
        let isolator = NamespaceIsolator::new(scene.config());
        // It is this thread that dies with the process; nobody returns from here.
        let _ = isolator.execute("sh", &["-c", &guest(&mark)]);
        return;
    }
    let mark = format!("{}{}", mark(), signal.as_raw());
    let mut host = scene.again(test, &mark).stdout(std::process::Stdio::null()).spawn().unwrap();
    // Outside of the guest's shell itself there are three.
    let start = Instant::now();
    while processes_with(&format!("sleep\0{mark}")).len() < 3 {
        assert!(start.elapsed() < Duration::from_secs(20), "the guest starts");
        std::thread::sleep(Duration::from_millis(10));
    }

    kill(host.id(), signal);
    host.wait().unwrap();

    soon("the guest's end", || processes_with(&format!("sleep\0{mark}")).is_empty());
    soon("the shell's end", || processes_with(&mark).is_empty());
}

#[test]
fn l4_guest_ends_with_a_host_that_is_killed() {
    each_caller!(|scene| {
        let test = "lifetime::hosts::l4_guest_ends_with_a_host_that_is_killed";
        host_dies_by(scene, test, Signal::KILL);
    });
}

#[test]
fn l4_guest_ends_with_a_host_that_is_terminated() {
    each_caller!(|scene| {
        let test = "lifetime::hosts::l4_guest_ends_with_a_host_that_is_terminated";
        host_dies_by(scene, test, Signal::TERM);
    });
}

#[test]
fn l4_guest_ends_with_a_host_that_crashes() {
    each_caller!(|scene| {
        let test = "lifetime::hosts::l4_guest_ends_with_a_host_that_crashes";
        host_dies_by(scene, test, Signal::SEGV);
    });
}

/// Our child that is not a guest: the launcher.
fn launcher() -> u32 {
    let children = children(std::process::id());
    assert_eq!(children.len(), 1, "{children:?}");
    children[0]
}

#[test]
fn l4_guest_ends_with_a_launcher_that_is_killed() {
    each_caller!(|scene| {
        let mark = mark();
        let isolator = NamespaceIsolator::new(scene.config());
        let mut live = Live::start(&isolator, command(&["sh", "-c", &guest(&mark)]));
        live.hear("ready");
        let start = Instant::now();

        kill(launcher(), Signal::KILL);
        let result = live.wait();

        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        soon("the guest's end", || processes_with(&mark).is_empty());
        // Whatever is said about it, it is no success.
        assert!(result.as_ref().is_ok_and(|outcome| !outcome.success()) || result.is_err());
        // And the next run has a launcher of its own.
        assert_eq!(isolator.execute("true", &[]).unwrap().exit, Exit::Exited(0));
    });
}

#[test]
fn l4_guest_ends_with_an_init_that_is_killed() {
    each_caller!(|scene| {
        let mark = mark();
        let isolator = NamespaceIsolator::new(scene.config());
        let mut live = Live::start(&isolator, command(&["sh", "-c", &guest(&mark)]));
        live.hear("ready");
        let shell = processes_with(&mark).into_iter().min().unwrap();
        let init: u32 = status(shell, "PPid").parse().unwrap();

        kill(init, Signal::KILL);
        let result = live.wait();

        soon("the guest's end", || processes_with(&mark).is_empty());
        assert!(result.as_ref().is_ok_and(|outcome| !outcome.success()) || result.is_err());
        assert_eq!(isolator.execute("true", &[]).unwrap().exit, Exit::Exited(0));
    });
}

/// The children of a process, by all of its threads.
fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    found
}

#[test]
fn l4_nothing_is_left_when_host_or_launcher_is_killed_at_a_random_moment() {
    each_caller!(|scene| {
        if let Some(mark) = role() {
            // Starts and ends guests without a pause, so that any moment is one
            // in the middle of a start or of an end.
            let isolator = NamespaceIsolator::new(scene.config());
            loop {
                drop(isolator.start(command(&["sleep", &mark])));
            }
        }
        let test = "lifetime::hosts::l4_nothing_is_left_when_host_or_launcher_is_killed_at_a_random_moment";
        let mut random = u64::from(std::process::id());
        let mut number = || {
            // Knuth's multiplier, MMIX.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 40
        };
        for round in 0..ROUNDS {
            let mark = format!("{}{round}", mark());
            // Nothing is said about it: it may end in the middle of a word.
            let null = std::process::Stdio::null;
            let mut host = scene.again(test, &mark).stdout(null()).stderr(null()).spawn().unwrap();
            let name = format!("sleep\0{mark}");
            let start = Instant::now();
            while processes_with(&name).is_empty() {
                assert!(start.elapsed() < Duration::from_secs(20), "a guest starts");
            }
            std::thread::sleep(Duration::from_micros(number() % 10_000));

            if round % 2 == 0 {
                children(host.id()).into_iter().for_each(|launcher| kill(launcher, Signal::KILL));
            }
            kill(host.id(), Signal::KILL);
            host.wait().unwrap();

            soon("the end of everything", || processes_with(&mark).is_empty());
        }
    });
}

/// Kills for each kind of caller.
const ROUNDS: u32 = 24;
