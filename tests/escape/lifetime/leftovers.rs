//! L5: nothing is left, whatever the ending.

use std::path::Path;
use std::time::Duration;

use kernel::sandbox::{NamespaceIsolator, SandboxConfig};
use neuroflow_tests::Leftovers;

use crate::live::Live;
use crate::scene::command;

#[test]
fn l5_nothing_is_left_whatever_the_ending() {
    each_caller!(|scene| {
        let config = SandboxConfig {
            timeout: Some(Duration::from_millis(300)),
            max_output: 1000,
            file_size_limit: Some(1000),
            ..scene.config()
        };
        let folders = [scene.work(), scene.outside(), Path::new("/dev/shm")];
        for argv in [
            vec!["true"],
            vec!["false"],
            vec!["sh", "-c", "kill -9 $$"],
            vec!["sleep", "60"],
            vec!["yes"],
            vec!["dd", "if=/dev/zero", "of=/tmp/x", "bs=10k", "count=1"],
            vec!["no-such-program"],
            vec!["touch\0"],
            vec!["sh", "-c", "(setsid sleep 60 &)"],
        ] {
            let before = Leftovers::look(&folders);

            drop(NamespaceIsolator::new(config.clone()).run(command(&argv)));

            before.assert_none_since(&folders);
        }
    });
}

#[test]
fn l5_isolator_that_stays_keeps_no_more_after_many_runs_than_after_one() {
    each_caller!(|scene| {
        let isolator = NamespaceIsolator::new(scene.config());
        isolator.execute("true", &[]).unwrap();
        // What is made ahead for the next run comes a moment later.
        std::thread::sleep(Duration::from_millis(200));
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let launchers = || {
            let own = std::process::id();
            let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
            let launcher = children.unwrap_or_default();
            launcher
                .split_whitespace()
                .map(|pid| {
                    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |open| open.count())
                })
                .sum::<usize>()
        };
        let before = (open(), launchers());

        for _ in 0..30 {
            isolator.execute("true", &[]).unwrap();
        }

        crate::live::soon("the same number of descriptors", || {
            let now = (open(), launchers());
            now.0 <= before.0 && now.1 <= before.1 + 2
        });
    });
}

#[test]
fn l5_mounts_of_a_run_never_show_on_the_host() {
    each_caller!(|scene| {
        let mounts = || {
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            table.lines().filter(|line| line.contains(scene.work().to_str().unwrap())).count()
        };
        let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
        let isolator = NamespaceIsolator::new(scene.config());
        let mut live = Live::start(&isolator, command(&["sh", "-c", "echo ready; sleep 60"]));
        live.hear("ready");

        let during = std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();

        assert_eq!((mounts(), during), (0, before));
        // Inside it is one.
        let told = scene.inside(
            scene.config(),
            "say('shown', sum('@work' in line for line in open('/proc/self/mountinfo')))",
        );
        assert_ne!(told.about("shown"), "0");
        live.end();
    });
}
