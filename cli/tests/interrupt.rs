//! Ctrl-C, SIGTERM and SIGHUP end the guest, and the run says so.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Bench, Told, backends, piped, report_in, told};
use kernel::sandbox::report::EndingKind;

/// A guest that says when it is there, and then stays.
const STAYING: &str = "trap '' INT TERM HUP; echo there; while :; do sleep 1; done";

fn signal(child: &Child, name: &str) {
    let sent = told(Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()));
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
}

fn wait_until_there(child: &mut Child) {
    let mut there = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut there).unwrap();
    assert_eq!(&there, b"there\n");
}

/// Whether SIGHUP, signal 1, is ignored by us and so by what we start.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 != 0)
}

#[test]
fn interrupt_ends_the_guest_and_says_so() {
    for backend in backends() {
        for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
            if name == "HUP" && hangups_are_ignored() {
                // Under nohup a run goes on, as any program does.
                eprintln!("SKIPPED HUP: this test runs where hang-ups are ignored");
                continue;
            }
            let bench = Bench::new();
            let file = bench.path("report.json");
            let mut run = bench.run(backend);
            let mut child = piped(run.arg("--report").arg(&file).args(["--", "sh", "-c", STAYING]));
            wait_until_there(&mut child);

            let before = Instant::now();
            signal(&child, name);
            let told = Told::from(child.wait_with_output().unwrap());

            assert_eq!(told.code, Some(code), "{backend} {name}: {}", told.stderr);
            assert_eq!(told.stderr, "interrupted: the guest was ended\n", "{backend} {name}");
            assert!(before.elapsed() < Duration::from_secs(5), "{backend} {name}");
            let report = report_in(&file);
            assert_eq!(report.ending.kind, EndingKind::Signalled, "{backend} {name}");
        }
    }
}

#[test]
fn interrupt_gets_through_although_nobody_reads_the_output() {
    for backend in backends() {
        let bench = Bench::new();
        let mut run = bench.run(backend);
        let mut child =
            piped(run.args(["--", "sh", "-c", "echo there; while :; do echo line; done"]));
        wait_until_there(&mut child);
        std::thread::sleep(Duration::from_millis(200));

        let before = Instant::now();
        signal(&child, "INT");
        let status = child.wait().unwrap();

        assert_eq!(status.code(), Some(130), "{backend}");
        assert!(before.elapsed() < Duration::from_secs(5), "{backend}: {:?}", before.elapsed());
    }
}

#[test]
fn signal_that_was_ignored_before_us_stays_ignored() {
    for backend in backends() {
        let bench = Bench::new();
        let plain = bench.run(backend);
        let mut nohup = Command::new("sh");
        nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(plain.get_program());
        nohup.args(plain.get_args()).args(["--", "sh", "-c", "echo there; sleep 1; echo done"]);
        let mut child = piped(nohup.process_group(0));
        wait_until_there(&mut child);

        signal(&child, "HUP");
        let told = Told::from(child.wait_with_output().unwrap());

        assert_eq!(told.code, Some(0), "{backend}: {}", told.stderr);
        assert_eq!(told.stdout, "done\n", "{backend}");
    }
}
