//! Runs a test's body as root and as an ordinary user, each time in a process
//! of its own.
//!
//! A process of its own, since a test that looks for leftovers, leaks
//! descriptors on purpose or filters its own system calls cannot share one with
//! others; and a user of its own, since a user id that nobody else has shows
//! what a guest left behind.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use neuroflow_tests::{Leftovers, need};

use crate::scene::Scene;

/// Runs the closure, which gets a [`Scene`], as every kind of caller.
macro_rules! each_caller {
    ($body:expr) => {{
        fn here() {}
        $crate::caller::each(std::any::type_name_of_val(&here), $body)
    }};
}

/// Says to the process of one caller who it is.
const CALLER: &str = "NEUROFLOW_ESCAPE_CALLER";

/// Longest a test may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Behind [`each_caller!`]; `place` is the path of an item inside the test.
pub(crate) fn each(place: &str, body: impl FnOnce(&Scene)) {
    if std::env::var_os(CALLER).is_some() {
        return play(body);
    }
    let test = place.trim_start_matches("escape::").trim_end_matches("::here");
    if rustix::process::geteuid().is_root() {
        as_caller(test, Some(0));
        as_caller(test, Some(ordinary_user()));
    } else {
        as_caller(test, None);
    }
}

/// A user id that no account has and no other test uses at this time.
fn ordinary_user() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed) % 1024;
    2_000_000 + (std::process::id() % 65_536) * 1024 + count
}

/// The test's body, in the process of one caller.
fn play(body: impl FnOnce(&Scene)) {
    // Also starts what lives as long as this process.
    need!(UserNamespaces);
    let folder = std::env::temp_dir();
    let before = Leftovers::look(&[&folder]);
    let scene = Scene::new();
    body(&scene);
    drop(scene);
    before.assert_none_since(&[&folder]);
}

/// Runs `test` alone in a new process, as user `uid`.
fn as_caller(test: &str, uid: Option<u32>) {
    let folder = tempfile::Builder::new().prefix("neuroflow-escape-").tempdir().unwrap();
    let output = folder.path().join("output");
    let private = folder.path().join("tmp");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = fs::File::create(&output).unwrap();

    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(CALLER, "1").env("TMPDIR", &private).env_remove("NEUROFLOW_SKIPS");
    command.stdout(file.try_clone().unwrap()).stderr(file);
    if let Some(uid) = uid {
        std::os::unix::fs::chown(&private, Some(uid), Some(uid)).unwrap();
        if uid != 0 {
            command.uid(uid).gid(uid);
        }
    }
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    let status = wait(&mut child);

    let output = String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
    relay_skips(&output);
    let who = uid.map_or_else(|| "this user".to_owned(), |uid| format!("user {uid}"));
    let owner = (uid != Some(0)).then_some(uid).flatten().unwrap_or_else(|| guest_id(pid));
    let passed = status.is_some_and(|status| status.success()) && output.contains("1 passed");
    if !passed {
        // Of this caller alone; nobody else has this id.
        processes_of(owner).into_iter().for_each(kill);
    }
    assert!(passed, "as {who}: {status:?}\n{output}");
    assert_nothing_left_of(&who, pid, uid, &private);
}

/// `None` when it had to be killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// The caller may not write to the list of skipped tests; we may.
fn relay_skips(output: &str) {
    let Some(file) = std::env::var_os("NEUROFLOW_SKIPS") else { return };
    for line in output.lines().filter(|line| line.starts_with("SKIPPED ")) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&file).unwrap();
        std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
    }
}

/// The first id of guests of root, and how it goes on: by the host's pid.
pub(crate) fn guest_id(host: u32) -> u32 {
    0x7000_0000 + (host & 0xffff)
}

/// Once a caller is gone, no process of its guests is there, and no file of
/// theirs outside of the folder that was given to it.
fn assert_nothing_left_of(who: &str, pid: u32, uid: Option<u32>, private: &Path) {
    assert_eq!(fs::read_dir(private).unwrap().count(), 0, "as {who}: files in {private:?}");
    let owner = match uid {
        Some(0) => guest_id(pid),
        Some(uid) => uid,
        // Other processes of this user are none of our business.
        None => return,
    };
    let deadline = Instant::now() + Duration::from_secs(2);
    while let Some(process) = processes_of(owner).first() {
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        assert!(Instant::now() < deadline, "as {who}: process {process} left: {command}");
        std::thread::sleep(Duration::from_millis(10));
    }
    for folder in ["/tmp", "/var/tmp", "/dev/shm", "/run"] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.metadata();
            assert!(!file.is_ok_and(|file| file.uid() == owner), "as {who}: {entry:?} left");
        }
    }
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The processes of a user.
pub(crate) fn processes_of(uid: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
            ids.and_then(|ids| ids.split_whitespace().next()) == Some(uid.to_string().as_str())
        })
        .collect()
}
