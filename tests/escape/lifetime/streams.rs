//! L6: what is done with the standard streams.

use std::time::{Duration, Instant};

use kernel::sandbox::{Exit, NamespaceIsolator, SandboxConfig};

use crate::scene::{command, text};

#[test]
fn l6_any_use_of_the_standard_streams_ends_well() {
    each_caller!(|scene| {
        let config = SandboxConfig { timeout: Some(Duration::from_secs(15)), ..scene.config() };
        let isolator = NamespaceIsolator::new(config);
        for (script, stdout, stderr) in [
            ("exec <&- >&- 2>&-; sleep 0.1", "", ""),
            ("echo err >&2; sleep 0.05; echo out", "out\n", "err\n"),
            ("exec 1>&2; echo both; echo again >&2", "", "both\nagain\n"),
            (r"printf '\377\000\033[31m' | wc -c", "7\n", ""),
            ("head -c 100000 /dev/zero | tr '\\0' l | wc -c", "100000\n", ""),
            ("exec 3>&1 4>&2; exec >&- 2>&-; echo x >&3", "x\n", ""),
            (
                r#"echo '{"exit_code": 0, "ending": {"kind": "exited"}}'; exit 7"#,
                "{\"exit_code\": 0, \"ending\": {\"kind\": \"exited\"}}\n",
                "",
            ),
            ("cat <&0; echo end", "end\n", ""),
            ("echo x > /dev/stdout; echo y > /proc/self/fd/2", "x\n", "y\n"),
        ] {
            let start = Instant::now();

            let outcome = isolator.run(command(&["sh", "-c", script])).unwrap();

            let code = if script.contains("exit 7") { 7 } else { 0 };
            assert_eq!(outcome.exit, Exit::Exited(code), "{script}");
            assert_eq!(
                (text(&outcome.stdout), text(&outcome.stderr)),
                (stdout, stderr),
                "{script}"
            );
            assert!(start.elapsed() < Duration::from_secs(5), "{script}");
        }
    });
}

#[test]
fn l6_binary_output_comes_back_as_it_was() {
    each_caller!(|scene| {
        let script = "sys.stdout.buffer.write(bytes(range(256)) * 1000); sys.stderr.buffer.write(bytes(range(255, -1, -1)))";

        let outcome = scene.python(scene.config(), script);

        let expected: Vec<u8> = (0..=255).cycle().take(256_000).collect();
        assert!(outcome.stdout == expected);
        assert_eq!(outcome.stderr, (0..=255).rev().collect::<Vec<u8>>());
    });
}

#[test]
fn l6_input_that_nobody_reads_holds_nothing_up() {
    each_caller!(|scene| {
        let isolator = NamespaceIsolator::new(scene.config());
        for script in ["exec <&-; echo done", "echo done", "head -c 1 >/dev/null; echo done"] {
            let mut guest = command(&["sh", "-c", script]);
            guest.input(vec![b'x'; 3 << 20]);
            let start = Instant::now();

            let outcome = isolator.run(guest).unwrap();

            assert_eq!((outcome.exit, text(&outcome.stdout)), (Exit::Exited(0), "done\n"));
            assert!(start.elapsed() < Duration::from_secs(5), "{script}");
        }
    });
}

#[test]
fn l6_guest_cannot_reopen_its_streams_to_read_what_it_wrote() {
    each_caller!(|scene| {
        // The pipes' other ends are the application's.
        let script = "
tell('read what was written', os.open, '/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK)
tell('write to its input', os.open, '/proc/self/fd/0', os.O_WRONLY | os.O_NONBLOCK)
";
        let outcome = scene.python(scene.config(), script);

        // Opened or not: the call ends, and says what was written by the guest.
        assert_eq!(outcome.exit, Exit::Exited(0));
        assert!(text(&outcome.stdout).starts_with("read what was written\t"), "{outcome:?}");
    });
}
