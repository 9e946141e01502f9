//! F3 and F4: names that change while they are being used.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::sandbox::{Error, Exit, NamespaceIsolator, SandboxConfig};
use rustix::fs::{CWD, RenameFlags};

use crate::scene::{command, text};

#[test]
fn f3_symlink_swapped_during_open() {
    each_caller!(|scene| {
        scene.secret();
        fs::write(scene.work().join("plain"), "plain").unwrap();
        symlink(scene.outside().join("secret"), scene.work().join("link")).unwrap();
        // renameat2 with RENAME_EXCHANGE, as fast as it goes, while another
        // thread opens.
        let script = "
import threading, time
until = time.monotonic() + 0.7
def swap():
    while time.monotonic() < until:
        call(316, -100, b'plain', -100, b'link', 2)
threading.Thread(target=swap).start()
seen = {}
while time.monotonic() < until:
    try:
        with open('plain') as file: got = file.read().strip()
    except OSError as e: got = errno.errorcode[e.errno]
    seen[got] = seen.get(got, 0) + 1
say('seen', sorted(seen))
";

        let inside = scene.inside(scene.config(), script);
        let twin = scene.unconfined(script);

        assert_eq!(inside.about("seen"), "['ENOENT', 'plain']");
        assert_eq!(twin.about("seen"), "['plain', 'the secret']");
    });
}

/// Swaps `a` and `b` again and again while `act` runs, until it says that it has
/// seen enough and some time has passed.
fn while_swapping(a: &Path, b: &Path, mut act: impl FnMut() -> bool) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Ever slower and then fast again: between two swaps there is time
            // for some of a start, or for all of it.
            for round in (0..12).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
                std::thread::sleep(Duration::from_micros(10 << round));
            }
        });
        let start = Instant::now();
        let mut enough = false;
        while start.elapsed() < Duration::from_millis(900)
            || !enough && start.elapsed() < Duration::from_secs(20)
        {
            enough = act();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn f4_allowed_path_swapped_for_a_symlink_while_a_run_starts() {
    each_caller!(|scene| {
        scene.secret();
        let (shared, link) = (scene.work().join("shared"), scene.work().join("link"));
        fs::create_dir(&shared).unwrap();
        fs::write(shared.join("mine"), "").unwrap();
        symlink(scene.outside(), &link).unwrap();
        let config = SandboxConfig {
            work_dir: scene.outside().join("work"),
            allowed_paths: vec![shared.display().to_string()],
            ..scene.config()
        };
        fs::create_dir(&config.work_dir).unwrap();
        let (mut started, mut refused) = (0, 0);

        while_swapping(&shared, &link, || {
            // A new isolator each time: the template is what takes paths.
            let isolator = NamespaceIsolator::new(config.clone());
            match isolator.run(command(&["ls", shared.to_str().unwrap()])) {
                Ok(outcome) => {
                    assert_eq!(outcome.exit, Exit::Exited(0));
                    assert_eq!(text(&outcome.stdout), "mine\n");
                    started += 1;
                }
                Err(Error::Config { .. } | Error::Setup { .. }) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
            started > 0 && refused > 0
        });

        assert!(started > 0 && refused > 0, "{started} started, {refused} refused");
    });
}

#[test]
fn f4_work_dir_swapped_for_a_symlink_while_a_run_starts() {
    each_caller!(|scene| {
        scene.secret();
        let (work, link) = (scene.work().join("run"), scene.work().join("link"));
        fs::create_dir(&work).unwrap();
        fs::write(work.join("mine"), "").unwrap();
        symlink(scene.outside(), &link).unwrap();
        let config = SandboxConfig { work_dir: work.clone(), ..SandboxConfig::default() };
        let mut started = 0;

        while_swapping(&work, &link, || {
            let isolator = NamespaceIsolator::new(config.clone());
            match isolator.run(command(&["sh", "-c", "ls; echo > new"])) {
                Ok(outcome) => {
                    assert!(text(&outcome.stdout).starts_with("mine\n"), "{outcome:?}");
                    started += 1;
                }
                Err(Error::Config { .. } | Error::Setup { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
            started > 0
        });

        assert!(started > 0);
        assert!(!scene.outside().join("new").exists());
    });
}
