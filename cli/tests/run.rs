//! `neuroflow run`: streams, arguments and exit codes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Bench, backends, piped, told, told_with_input};

#[test]
fn output_of_the_guest_comes_on_the_stream_it_was_written_to() {
    for backend in backends() {
        let bench = Bench::new();
        let script = "echo to stdout; echo to stderr >&2";

        let told = told(bench.run(backend).args(["--", "sh", "-c", script]));

        assert_eq!(told.stdout, "to stdout\n", "{backend}");
        assert_eq!(told.stderr, "to stderr\n", "{backend}");
        assert_eq!(told.code, Some(0), "{backend}");
    }
}

#[test]
fn output_streams_while_the_guest_still_runs() {
    for backend in backends() {
        let bench = Bench::new();
        let script = "printf prompt; read line; echo \"got $line\"";
        let mut run = bench.run(backend);
        let mut child = piped(run.args(["--", "sh", "-c", script]).stdin(Stdio::piped()));

        let mut prompt = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut prompt).unwrap();
        child.stdin.take().unwrap().write_all(b"answer\n").unwrap();
        let rest = child.wait_with_output().unwrap();

        assert_eq!(&prompt, b"prompt", "{backend}");
        assert_eq!(rest.stdout, b"got answer\n", "{backend}");
    }
}

#[test]
fn exit_code_of_the_guest_is_ours() {
    for backend in backends() {
        for code in [0, 1, 2, 77, 124, 255] {
            let bench = Bench::new();

            let told = told(bench.run(backend).args(["--", "sh", "-c", &format!("exit {code}")]));

            assert_eq!(told.code, Some(code), "{backend}: {}", told.stderr);
            assert_eq!(told.stderr, "", "{backend}");
        }
    }
}

#[test]
fn guest_that_a_signal_ends_is_128_and_the_signal() {
    for backend in backends() {
        let bench = Bench::new();

        let told = told(bench.run(backend).args(["--", "sh", "-c", "kill -SEGV $$"]));

        assert_eq!(told.code, Some(139), "{backend}: {}", told.stderr);
        assert!(told.stderr.contains("signal 11"), "{backend}: {}", told.stderr);
    }
}

#[test]
fn guest_that_runs_out_of_time_is_124_and_its_output_is_kept() {
    for backend in backends() {
        let bench = Bench::new();
        let before = Instant::now();

        let told = told(bench.run(backend).args([
            "--timeout=500ms",
            "--",
            "sh",
            "-c",
            "echo early; sleep 60",
        ]));

        assert_eq!(told.code, Some(124), "{backend}: {}", told.stderr);
        assert_eq!(told.stdout, "early\n", "{backend}");
        assert!(told.stderr.contains("timed out after 0.5s"), "{backend}: {}", told.stderr);
        assert!(before.elapsed() < Duration::from_secs(5), "{backend}: {:?}", before.elapsed());
    }
}

#[test]
fn program_that_is_missing_is_127_and_one_that_cannot_run_126() {
    for backend in backends() {
        let bench = Bench::new();

        let missing = told(bench.run(backend).args(["--", "no-such-program"]));
        let barred = told(bench.run(backend).args(["--", "/etc/passwd"]));

        assert_eq!(missing.code, Some(127), "{backend}: {}", missing.stderr);
        assert!(missing.stderr.contains("`no-such-program`"), "{backend}: {}", missing.stderr);
        assert_eq!(barred.code, Some(126), "{backend}: {}", barred.stderr);
    }
}

#[test]
fn arguments_of_the_guest_are_never_taken_as_ours() {
    for backend in backends() {
        let bench = Bench::new();
        let script = "import sys; print(sys.argv[1:])";
        let words = ["--help", "--json", "-V", "--", "", "$HOME `id` *", "--timeout=0"];

        let behind_dashes =
            told(bench.run(backend).args(["--", "python3", "-c", script]).args(words));
        let without_dashes = told(bench.run(backend).args(["python3", "-c", script]).args(words));

        let expected = "['--help', '--json', '-V', '--', '', '$HOME `id` *', '--timeout=0']\n";
        assert_eq!(behind_dashes.stdout, expected, "{backend}: {}", behind_dashes.stderr);
        assert_eq!(without_dashes.stdout, expected, "{backend}: {}", without_dashes.stderr);
    }
}

#[test]
fn arguments_that_are_not_utf8_reach_the_guest_unchanged() {
    for backend in backends() {
        let bench = Bench::new();
        let script = "import os, sys; print(os.fsencode(sys.argv[1]))";

        let told = told(
            bench
                .run(backend)
                .args(["--", "python3", "-c", script])
                .arg(OsStr::from_bytes(b"a\xff\x01")),
        );

        assert_eq!(told.stdout, "b'a\\xff\\x01'\n", "{backend}: {}", told.stderr);
    }
}

#[test]
fn option_behind_an_unknown_one_is_no_program() {
    let bench = Bench::new();

    let told = told(&mut bench.neuroflow(["run", "--tiemout", "5s", "--", "true"]));

    assert_eq!(told.code, Some(125));
    assert!(told.stderr.contains("'--timeout'"), "{}", told.stderr);
}

#[test]
fn pipe_and_file_are_passed_on_as_stdin_and_nothing_else_is() {
    for backend in backends() {
        let bench = Bench::new();
        let file = bench.file("input", "from a file");

        let piped = told_with_input(bench.run(backend).args(["--", "cat"]), b"from a pipe");
        let read = told(bench.run(backend).args(["--", "cat"]).stdin(File::open(file).unwrap()));
        let device = told(bench.run(backend).args(["--", "cat"]).stdin(Stdio::null()));

        assert_eq!(piped.stdout, "from a pipe", "{backend}: {}", piped.stderr);
        assert_eq!(read.stdout, "from a file", "{backend}: {}", read.stderr);
        assert_eq!(device.stdout, "", "{backend}");
    }
}

#[test]
fn three_megabytes_go_through_and_come_back() {
    for backend in backends() {
        let bench = Bench::new();
        let input: Vec<u8> = (0..3 << 20).map(|n: u32| n.to_le_bytes()[0] | 1).collect();
        let mut run = bench.run(backend);
        let mut child = piped(run.args(["--", "cat"]).stdin(Stdio::piped()));

        let mut stdin = child.stdin.take().unwrap();
        let written = input.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&written));
        let output = child.wait_with_output().unwrap();

        writer.join().unwrap().unwrap();
        assert!(output.stdout == input, "{backend}: {} bytes came back", output.stdout.len());
    }
}

#[test]
fn reader_that_goes_away_ends_the_guest_quietly() {
    for backend in backends() {
        let bench = Bench::new();
        let mut run = bench.run(backend);
        let before = Instant::now();
        let mut child = piped(run.args(["--", "sh", "-c", "while :; do echo line; done"]));

        let mut line = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();

        assert_eq!(output.status.code(), Some(141), "{backend}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{backend}");
        assert!(before.elapsed() < Duration::from_secs(10), "{backend}");
    }
}

#[test]
fn reader_that_stops_reading_does_not_stop_the_clock() {
    for backend in backends() {
        let bench = Bench::new();
        let mut run = bench.run(backend);
        let before = Instant::now();
        let mut child =
            piped(run.args(["--timeout=500ms", "--", "sh", "-c", "while :; do echo line; done"]));

        let status = child.wait().unwrap();

        assert_eq!(status.code(), Some(124), "{backend}");
        assert!(before.elapsed() < Duration::from_secs(5), "{backend}: {:?}", before.elapsed());
    }
}

#[test]
fn standard_output_that_takes_nothing_is_a_failure_of_ours() {
    for backend in backends() {
        let bench = Bench::new();
        let full = File::options().write(true).open("/dev/full").unwrap();

        let told = told_into(bench.run(backend).args(["--", "echo", "lost"]), full);

        assert_eq!(told.code, Some(125), "{backend}: {}", told.stderr);
        assert!(told.stderr.contains("could not write the output"), "{backend}: {}", told.stderr);
    }
}

fn told_into(command: &mut std::process::Command, stdout: File) -> common::Told {
    command
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
        .into()
}

#[test]
fn environment_of_the_guest_is_clean_but_for_what_was_named() {
    for backend in backends() {
        let bench = Bench::new();

        let told = told(
            bench
                .run(backend)
                .args(["--env", "GREETING=hello=you", "--", "env"])
                .env("SECRET", "s3cret"),
        );

        assert!(told.stdout.contains("GREETING=hello=you\n"), "{backend}: {}", told.stdout);
        assert!(!told.stdout.contains("s3cret"), "{backend}: {}", told.stdout);
    }
}

#[test]
fn command_that_is_not_on_the_list_is_refused_and_one_that_is_starts() {
    for backend in backends() {
        let bench = Bench::new();

        let other = told(bench.run(backend).args(["--allow-command=cat", "--", "echo", "started"]));
        let listed =
            told(bench.run(backend).args(["--allow-command=echo", "--", "echo", "started"]));

        assert_eq!(other.code, Some(125), "{backend}: {}", other.stderr);
        assert_eq!(other.stdout, "", "{backend}");
        assert!(other.stderr.contains("not in allowed list"), "{backend}: {}", other.stderr);
        assert_eq!(listed.stdout, "started\n", "{backend}: {}", listed.stderr);
    }
}

#[test]
fn output_that_was_cut_is_told_even_if_no_warnings_are_wanted() {
    for backend in backends() {
        let bench = Bench::new();
        let script = "head -c 200000 /dev/zero | tr '\\0' x";

        let cut = told(bench.run(backend).args(["--max-output=100KB", "--", "sh", "-c", script]));
        let whole = told(bench.run(backend).args(["--", "sh", "-c", script]));

        assert_eq!((cut.code, cut.stdout.len()), (Some(0), 100 << 10), "{backend}");
        assert!(cut.stderr.contains("the output was cut"), "{backend}: {}", cut.stderr);
        assert_eq!((whole.stdout.len(), whole.stderr.as_str()), (200_000, ""), "{backend}");
    }
}
