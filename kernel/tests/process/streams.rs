//! Standard streams: nothing blocks, nothing grows, nothing is handed through.

use std::time::Duration;

use kernel::sandbox::{Exit, ProcessIsolator, SandboxConfig, Stdin, Stream};

use crate::support::{WorkDir, command, python, sh, text};

#[test]
fn d2_stdin_is_at_its_end_when_nothing_is_given() {
    let work = WorkDir::new();

    let outcome = sh(work.config(), "cat; echo end");

    assert_eq!(text(&outcome.stdout), "end\n");
}

#[test]
fn three_megabytes_go_in_and_come_back() {
    let work = WorkDir::new();
    let input: Vec<u8> = (0..3 << 20).map(|i: u32| i.to_le_bytes()[0]).collect();
    let mut cat = command(&["cat"]);
    cat.input(input.clone());

    let outcome = ProcessIsolator::new(work.config()).run(cat).unwrap();

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert!(outcome.stdout == input, "{} bytes came back", outcome.stdout.len());
}

#[test]
fn input_that_nobody_reads_does_not_hold_up_the_end() {
    let work = WorkDir::new();
    let mut echo = command(&["sh", "-c", "exec <&-; echo done"]);
    echo.input(vec![b'x'; 3 << 20]);

    let outcome = ProcessIsolator::new(work.config()).run(echo).unwrap();

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert_eq!(text(&outcome.stdout), "done\n");
}

#[test]
fn r6_beginning_is_kept_and_the_rest_counted() {
    let work = WorkDir::new();
    let config = SandboxConfig { max_output: 1000, ..work.config() };

    let outcome =
        python(config, "import sys; sys.stdout.write('x' * 5000); print('y', file=sys.stderr)");

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert_eq!(text(&outcome.stdout), "x".repeat(1000));
    assert_eq!(text(&outcome.stderr), "y\n");
    assert!(outcome.output_truncated);
    assert_eq!(outcome.usage.stdout_bytes, 5000);
}

#[test]
fn r6_guest_that_never_stops_talking_is_ended() {
    let work = WorkDir::new();
    let config = SandboxConfig { max_output: 10_000, ..work.config() };

    let outcome = sh(config, "yes");

    assert_eq!(outcome.exit, Exit::Output(10_000));
    assert_eq!(outcome.stdout.len(), 10_000);
}

#[test]
fn l6_any_use_of_the_streams_ends_well() {
    let work = WorkDir::new();
    let config = SandboxConfig { timeout: Some(Duration::from_secs(10)), ..work.config() };

    for (script, stdout, stderr) in [
        ("exec >&- 2>&-; sleep 0.1", "", ""),
        ("echo err >&2; sleep 0.05; echo out", "out\n", "err\n"),
        (r"printf '\377\000\033[31m' | wc -c", "7\n", ""),
        (
            r#"echo '{"exit_code": 0, "ending": {"kind": "exited"}}'"#,
            "{\"exit_code\": 0, \"ending\": {\"kind\": \"exited\"}}\n",
            "",
        ),
    ] {
        let outcome = sh(config.clone(), script);

        assert_eq!(outcome.exit, Exit::Exited(0), "{script}");
        assert_eq!((text(&outcome.stdout), text(&outcome.stderr)), (stdout, stderr), "{script}");
    }
}

#[test]
fn streamed_output_is_what_is_kept_and_keeping_it_can_be_left_out() {
    let work = WorkDir::new();
    let config = SandboxConfig { max_output: 4, ..work.config() };
    let mut running = ProcessIsolator::new(config)
        .start(command(&["sh", "-c", "echo 12345; echo e >&2"]))
        .unwrap();
    running.capture(false);
    let mut seen = Vec::new();

    let outcome = running
        .wait_streaming(&mut |stream, bytes| {
            if stream == Stream::Stdout {
                seen.extend_from_slice(bytes);
            }
        })
        .unwrap();

    assert_eq!(text(&seen), "1234");
    assert!(outcome.stdout.is_empty() && outcome.stderr.is_empty());
    assert!(outcome.output_truncated);
}

#[test]
fn deadline_holds_while_the_output_is_taken_slowly() {
    let work = WorkDir::new();
    let timeout = Duration::from_millis(500);
    let config = SandboxConfig { timeout: Some(timeout), ..work.config() };
    let running =
        ProcessIsolator::new(config).start(command(&["sh", "-c", "echo begun; sleep 60"])).unwrap();
    let mut seen = Vec::new();

    let outcome = running
        .wait_streaming(&mut |_, bytes| {
            std::thread::sleep(Duration::from_secs(2));
            seen.extend_from_slice(bytes);
        })
        .unwrap();

    assert_eq!(outcome.exit, Exit::TimedOut(timeout));
    assert_eq!(text(&seen), "begun\n");
    // On the watching thread it would be looked at when the sink is done.
    assert!(outcome.usage.wall_ms.as_f64() < 1900.0, "{:?}", outcome.usage);
}

#[test]
fn output_waits_in_the_guest_while_nobody_takes_it() {
    let work = WorkDir::new();
    let config = SandboxConfig { max_output: 8 << 20, ..work.config() };
    let running = ProcessIsolator::new(config)
        .start(command(&["head", "-c", "4000000", "/dev/zero"]))
        .unwrap();
    let (mut seen, mut calls) = (0, 0);

    let outcome = running
        .wait_streaming(&mut |_, bytes| {
            if calls == 0 {
                std::thread::sleep(Duration::from_millis(400));
            }
            calls += 1;
            seen += bytes.len();
        })
        .unwrap();

    assert_eq!((outcome.exit, seen), (Exit::Exited(0), 4_000_000));
    // It could not end before there was room for what it writes.
    assert!(outcome.usage.wall_ms.as_f64() > 350.0, "{:?}", outcome.usage);
}

#[test]
fn a_sink_that_panics_ends_the_guest() {
    let work = WorkDir::new();
    let running = ProcessIsolator::new(work.config())
        .start(command(&["sh", "-c", "echo x; sleep 60"]))
        .unwrap();
    let start = std::time::Instant::now();

    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        running.wait_streaming(&mut |_, _| panic!("as it must"))
    }));

    assert!(result.is_err());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn hosts_stdin_is_copied_and_never_handed_over() {
    let work = WorkDir::new();
    let mut link = command(&["readlink", "/proc/self/fd/0"]);
    link.stdin(Stdin::Host);
    let own = std::fs::read_link("/proc/self/fd/0").unwrap();

    let outcome = ProcessIsolator::new(work.config()).run(link).unwrap();

    let guests = text(&outcome.stdout).trim_end();
    assert!(guests.starts_with("pipe:"), "{guests}");
    assert_ne!(guests, own.to_string_lossy());
}
