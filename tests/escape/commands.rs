//! C: which commands start, and how. And H4: what they are given.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::sandbox::{Command, Exit, NamespaceIsolator, SandboxConfig};
use rustix::fs::{CWD, RenameFlags};

use crate::scene::{Scene, command, text};

fn only(scene: &Scene, commands: &[&str]) -> SandboxConfig {
    SandboxConfig {
        allowed_commands: commands.iter().map(|&name| name.to_owned()).collect(),
        ..scene.config()
    }
}

/// A program in the work dir that leaves a mark.
fn script(path: &Path, line: &str) {
    fs::write(path, format!("{line}\necho started > started\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn c1_only_listed_programs_start_however_they_are_named() {
    each_caller!(|scene| {
        let work = scene.work();
        script(&work.join("echo"), "#!/bin/sh");
        script(&work.join("tool"), "#!/usr/bin/env echo");
        symlink("/bin/sh", work.join("cat")).unwrap();
        fs::copy("/bin/sh", work.join("true")).unwrap();
        let loader = fs::read_dir("/lib64").unwrap().flatten().map(|entry| entry.path());
        let loader =
            loader.filter(|path| path.to_string_lossy().contains("ld-linux")).last().unwrap();
        let isolator = NamespaceIsolator::new(only(scene, &["echo", "cat", "true"]));
        let below = |name: &str| work.join(name).display().to_string();

        for argv in [
            vec!["sh", "-c", "echo > started"],
            vec!["/bin/sh", "-c", "echo > started"],
            vec!["./echo"],
            vec![&below("echo")],
            vec!["./tool"],
            vec!["./cat", "-c", "echo > started"],
            vec!["./true", "-c", "echo > started"],
            vec!["../work/echo"],
            vec!["env", "echo", "x"],
            vec!["/usr/bin/env", "echo"],
            vec![loader.to_str().unwrap(), "/bin/echo"],
            vec!["busybox", "echo"],
            vec!["echo "],
            vec!["ECHO"],
            vec!["/usr/bin/../bin/sh"],
            vec!["/proc/self/exe"],
        ] {
            let outcome = isolator.run(command(&argv)).unwrap();

            let reason = format!("Command '{}' not in allowed list", argv[0]);
            assert_eq!(outcome.exit, Exit::Refused(reason), "{argv:?}");
            assert_eq!(outcome.exit_code(), -1);
            assert!(!work.join("started").exists(), "{argv:?}");
        }
        for argv in [vec!["echo", "x"], vec!["/bin/echo", "x"], vec!["/usr/bin/../bin/echo", "x"]] {
            let outcome = isolator.run(command(&argv)).unwrap();
            assert_eq!(text(&outcome.stdout), "x\n", "{argv:?}");
        }
        // Without a list it starts.
        assert_eq!(scene.run(scene.config(), &["./echo"]).exit, Exit::Exited(0));
        assert!(work.join("started").exists());
    });
}

#[test]
fn c1_path_of_the_guest_does_not_choose_another_program() {
    each_caller!(|scene| {
        script(&scene.work().join("echo"), "#!/bin/sh");
        for path in [scene.work().to_str().unwrap(), ".", "", ":/bin"] {
            let config = SandboxConfig {
                environment: [("PATH".to_owned(), format!("{path}:/usr/bin:/bin"))].into(),
                ..only(scene, &["echo"])
            };

            let outcome = scene.run(config, &["echo", "x"]);

            let refused = matches!(outcome.exit, Exit::Refused(_));
            assert!(refused || outcome.stdout == b"x\n", "{path}: {outcome:?}");
            assert!(!scene.work().join("started").exists(), "{path}");
        }
    });
}

#[test]
fn c1_symlink_swapped_between_the_check_and_the_start() {
    each_caller!(|scene| {
        // What an earlier or another run in the same work dir can do.
        let (listed, other) = (scene.work().join("listed"), scene.work().join("other"));
        fs::create_dir(scene.work().join("listed")).unwrap();
        fs::create_dir(scene.work().join("other")).unwrap();
        symlink("/bin/echo", listed.join("echo")).unwrap();
        script(&other.join("echo"), "#!/bin/sh");
        let config = SandboxConfig {
            environment: [("PATH".to_owned(), format!("{}:/usr/bin:/bin", listed.display()))]
                .into(),
            ..only(scene, &["echo"])
        };
        let isolator = NamespaceIsolator::new(config);
        let done = AtomicBool::new(false);
        let (mut refused, mut ran) = (0, 0);

        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, &listed, CWD, &other, RenameFlags::EXCHANGE)
                        .unwrap();
                    std::thread::sleep(Duration::from_micros(300));
                }
            });
            let until = Instant::now() + Duration::from_millis(1200);
            while Instant::now() < until {
                match isolator.run(command(&["echo", "x"])).unwrap().exit {
                    Exit::Refused(_) => refused += 1,
                    _ => ran += 1,
                }
            }
            done.store(true, Ordering::Relaxed);
        });

        assert!(refused > 0 && ran > 0, "{refused} refused, {ran} ran");
        assert!(!scene.work().join("started").exists(), "the other program ran");
    });
}

/// Arguments that a shell, a parser of options or a C string would change.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "-",
    "--",
    "--help",
    "-rf",
    "--timeout=1",
    "$(touch started)",
    "`touch started`",
    "; touch started",
    "a|b&c>d<e",
    "'\"\\",
    "*",
    "~",
    "$HOME",
    "new\nline",
    "\u{1b}[31m",
    "{\"exit_code\":0}",
    "%s%n",
    "\u{202e}",
];

#[test]
fn c2_no_shell_sees_the_arguments() {
    each_caller!(|scene| {
        let mut argv = vec!["python3", "-I", "-S", "-c", "import sys; print(ascii(sys.argv[1:]))"];
        argv.extend(HOSTILE);

        let outcome = scene.run(scene.config(), &argv);

        let code = "import sys; print(ascii(sys.argv[1:]))";
        let mut twin = std::process::Command::new("/usr/bin/python3");
        let twin = twin.args(["-I", "-S", "-c", code]).args(HOSTILE).output().unwrap();
        assert_eq!(text(&outcome.stdout), text(&twin.stdout));
        assert!(!scene.work().join("started").exists());
        for program in ["echo x; touch started", "$(touch started)", "echo\ttouch", "-c", "--", ""]
        {
            let error =
                NamespaceIsolator::new(scene.config()).run(command(&[program])).unwrap_err();
            assert_eq!(error.code(), "not_found", "{program}: {error}");
        }
        assert!(!scene.work().join("started").exists());
    });
}

#[test]
fn h4_arguments_that_are_not_text_reach_the_program_unchanged() {
    each_caller!(|scene| {
        let bytes: Vec<u8> = (1..=255).collect();
        let mut printf = Command::new("printf");
        printf.arg("%s").arg(OsStr::from_bytes(&bytes));

        let outcome = NamespaceIsolator::new(scene.config()).run(printf).unwrap();

        assert_eq!(outcome.stdout, bytes);
    });
}

#[test]
fn h4_nul_is_refused_and_nothing_starts() {
    each_caller!(|scene| {
        for argv in [
            vec!["touch", "started\0"],
            vec!["touch\0", "started"],
            vec!["sh", "-c", "touch started\0; exit 1"],
            vec!["\0"],
        ] {
            let error = NamespaceIsolator::new(scene.config()).run(command(&argv)).unwrap_err();

            assert_eq!(error.code(), "config", "{argv:?}: {error}");
        }
        assert!(!scene.work().join("started").exists());
    });
}

#[test]
fn h4_megabytes_of_arguments_arrive_whole_or_are_an_error() {
    each_caller!(|scene| {
        let isolator = NamespaceIsolator::new(scene.config());
        let count = "import sys; print(len(sys.argv) - 1, sum(map(len, sys.argv[1:])))";
        let run = |number: usize, length: usize| {
            let mut python = command(&["python3", "-I", "-S", "-c", count]);
            python.args(std::iter::repeat_n("x".repeat(length), number));
            isolator.run(python)
        };

        // Beyond what travels inline, up to what Linux takes: 128 KiB an
        // argument, a quarter of the stack in all.
        for (number, length) in
            [(1, 100_000), (10, 100_000), (15, 100_000), (10_000, 50), (50_000, 1)]
        {
            let outcome = run(number, length).unwrap();
            assert_eq!(text(&outcome.stdout), format!("{number} {}\n", number * length));
        }
        for (number, length) in [(1, 200_000), (100, 100_000), (3_000_000, 1)] {
            let error = run(number, length).unwrap_err();
            assert!(error.to_string().contains("rgument list too long"), "{error:?}");
        }
    });
}
