//! H3: every ending is told apart, and none can be forged.

use std::collections::BTreeSet;
use std::time::Duration;

use kernel::sandbox::{Exit, NamespaceIsolator, SandboxConfig};

use crate::scene::{command, text};

#[test]
fn h3_every_ending_is_told_apart_and_none_is_a_success() {
    each_caller!(|scene| {
        let config = SandboxConfig {
            timeout: Some(Duration::from_secs(25)),
            cpu_time_limit: Some(1),
            memory_limit: Some(64 << 20),
            allow_degraded: vec!["memory".into()],
            file_size_limit: Some(1 << 20),
            max_output: 100_000,
            ..scene.config()
        };
        let short = SandboxConfig { timeout: Some(Duration::from_millis(300)), ..config.clone() };
        let listed = SandboxConfig { allowed_commands: vec!["true".into()], ..config.clone() };
        let memory = "
import time
for _ in range(4):
    if os.fork() == 0:
        x = bytearray(30 << 20); time.sleep(30)
time.sleep(30)";
        let python = scene.python_command(memory);
        let outcomes = [
            scene.sh(config.clone(), "exit 3"),
            scene.sh(config.clone(), "kill -SEGV $$"),
            scene.sh(short, "sleep 30"),
            scene.sh(config.clone(), "while :; do :; done"),
            NamespaceIsolator::new(config.clone()).run(python).unwrap(),
            scene.sh(config.clone(), "exec dd if=/dev/zero of=big bs=1M count=3"),
            scene.sh(config.clone(), "yes"),
            scene.run(listed, &["false"]),
        ];
        let errors = [
            NamespaceIsolator::new(config.clone()).execute("no-such-program", &[]),
            NamespaceIsolator::new(config.clone()).execute("/etc/passwd", &[]),
            NamespaceIsolator::new(config).execute("a\0b", &[]),
        ];

        let kinds: Vec<&str> = outcomes.iter().map(|outcome| outcome.exit.kind()).collect();
        let expected = [
            "exited",
            "signalled",
            "timed_out",
            "cpu_time",
            "out_of_memory",
            "file_size",
            "output",
            "refused",
        ];
        assert_eq!(kinds, expected);
        for outcome in &outcomes {
            assert!(!outcome.success() && outcome.exit_code() != 0, "{outcome:?}");
        }
        let codes: BTreeSet<&str> =
            errors.into_iter().map(|result| result.unwrap_err().code()).collect();
        assert_eq!(codes, BTreeSet::from(["config", "not_executable", "not_found"]));
    });
}

#[test]
fn h3_guest_cannot_forge_its_ending() {
    each_caller!(|scene| {
        let isolator = NamespaceIsolator::new(scene.config());
        // A record of our own wire format: ended, exit code 0; then gone.
        let forged = r"
for event in 2, 3, 4:
    record = event.to_bytes(4, 'little') + bytes(36)
    for fd in list(range(3, 1024)):
        try: os.write(fd, record)
        except OSError: pass
    os.write(1, record); os.write(2, record)
os._exit(9)";
        let outcome = isolator.run(scene.python_command(forged)).unwrap();
        assert_eq!(outcome.exit, Exit::Exited(9));

        for (script, exit) in [
            ("echo '{\"exit_code\": 0}'; exit 5", Exit::Exited(5)),
            // A child that ends well says nothing about its parent.
            ("(exit 0) & wait; kill -9 $$", Exit::Signalled(9)),
            ("exec sh -c 'exit 6'", Exit::Exited(6)),
            // Leaving only a child behind is the end of the main program.
            ("(sleep 1; exit 0) & exit 8", Exit::Exited(8)),
            ("kill -9 1; kill -9 -1; exit 4", Exit::Exited(4)),
        ] {
            let outcome = isolator.run(command(&["sh", "-c", script])).unwrap();
            assert_eq!(outcome.exit, exit, "{script}");
            assert!(!text(&outcome.stderr).contains("neuroflow"), "{script}");
        }
    });
}
