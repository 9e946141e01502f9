//! What a WASM module finds behind its imports: arguments, variables,
//! directories, clocks and random bytes, by grant and no further.
#![cfg(all(feature = "wasm", unix))]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::time::Duration;

use kernel::sandbox::wasm::{Clocks, Grants, Randomness};
use kernel::sandbox::{Error, Exit, Outcome, Protection, WasmSandbox, WasmSandboxConfig};

fn config() -> WasmSandboxConfig {
    WasmSandboxConfig {
        allowed_imports: vec!["wasi_snapshot_preview1.*".into()],
        ..WasmSandboxConfig::default()
    }
}

fn run(grants: Grants, text: &str) -> Outcome {
    let module = wat::parse_str(text).unwrap();
    WasmSandbox::new(config()).with_grants(grants).execute(&module, b"").unwrap()
}

/// A module around `body`, with the functions the tests use and a memory whose
/// first kilobyte is for results and that holds `data` from 4096 on.
fn module(data: &str, body: &str) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open" (func $open
          (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 4)
        (data (i32.const 4096) "{data}")
        (func $out (param $at i32) (param $len i32)
          (i32.store (i32.const 1024) (local.get $at)) (i32.store (i32.const 1028) (local.get $len))
          (drop (call $write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 1032))))
        (func (export "main") (result i32) {body}))"#
    )
}

/// Opens the path in the data, relative to descriptor 3, and returns the errno.
fn open(path: &str, create: bool) -> String {
    let flags = if create { 1 } else { 0 };
    let rights = if create { 0x42 } else { 2 };
    module(
        path,
        &format!(
            "(call $open (i32.const 3) (i32.const 1) (i32.const 4096) (i32.const {}) \
             (i32.const {flags}) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 0))",
            path.len()
        ),
    )
}

const READ_ALL: &str = "
    (drop (call $open (i32.const 3) (i32.const 1) (i32.const 4096) (i32.const 5)
      (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))
    (i32.store (i32.const 1024) (i32.const 8192)) (i32.store (i32.const 1028) (i32.const 65536))
    (drop (call $read (i32.load (i32.const 0)) (i32.const 1024) (i32.const 1) (i32.const 1036)))
    (call $out (i32.const 8192) (i32.load (i32.const 1036)))
    (i32.const 0)";

/// A directory `inside` beside a file `secret` that no grant names.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(tree.inside()).unwrap();
        std::fs::write(tree.inside().join("a.txt"), "content").unwrap();
        std::fs::write(tree.0.path().join("secret"), "secret").unwrap();
        tree
    }

    fn inside(&self) -> std::path::PathBuf {
        self.0.path().join("inside")
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

const EACCES: i32 = 2;
const ENOENT: i32 = 44;
const EPERM: i32 = 63;

#[test]
fn arguments_and_variables_arrive_as_granted() {
    let text = module(
        "",
        "(drop (call $args_sizes (i32.const 0) (i32.const 4)))
         (drop (call $args (i32.const 2048) (i32.const 8192)))
         (call $out (i32.const 8192) (i32.load (i32.const 4)))
         (drop (call $env_sizes (i32.const 0) (i32.const 4)))
         (drop (call $env (i32.const 2048) (i32.const 8192)))
         (call $out (i32.const 8192) (i32.load (i32.const 4)))
         (i32.const 0)",
    );
    let grants = Grants::default().args(["tool", "--x", ""]).variable("A", "1=2");

    let outcome = run(grants, &text);

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert_eq!(outcome.stdout, b"tool\0--x\0\0A=1=2\0");
}

#[test]
fn a_granted_directory_can_be_read_and_one_that_is_not_cannot() {
    let tree = Tree::new();
    let text = module("a.txt", READ_ALL);

    let granted = run(Grants::default().read("/data", tree.inside()), &text);
    let not = run(Grants::default(), &text);

    assert_eq!(granted.exit, Exit::Exited(0));
    assert_eq!(granted.stdout, b"content");
    assert_eq!(not.stdout, b"");
}

#[test]
fn w7_a_directory_cannot_be_left() {
    let tree = Tree::new();
    std::os::unix::fs::symlink("../secret", tree.inside().join("relative")).unwrap();
    std::os::unix::fs::symlink(tree.path("secret"), tree.inside().join("absolute")).unwrap();
    std::os::unix::fs::symlink("..", tree.inside().join("up")).unwrap();
    let absolute = tree.path("secret").into_os_string().into_string().unwrap();
    let paths = [
        "../secret",
        "./../secret",
        "x/../../secret",
        "relative",
        "absolute",
        "up/secret",
        "/etc/passwd",
        absolute.as_str(),
        "/../secret",
        "..",
        "/",
    ];
    for path in paths {
        for create in [false, true] {
            let grants = Grants::default().write("/", tree.inside());

            let outcome = run(grants, &open(path, create));

            match outcome.exit {
                Exit::Exited(errno) => assert!(
                    [EACCES, ENOENT, EPERM].contains(&errno),
                    "{path}, create {create}: errno {errno}"
                ),
                other => panic!("{path}: {other:?}"),
            }
        }
    }
    assert_eq!(std::fs::read(tree.path("secret")).unwrap(), b"secret");
    assert_eq!(
        run(Grants::default().write("/", tree.inside()), &open("a.txt", false)).exit,
        Exit::Exited(0),
        "what lies inside opens"
    );
}

#[test]
fn w7_a_symlink_that_the_module_makes_leads_nowhere_else() {
    let tree = Tree::new();
    // symlink("../secret", "link"), then open("link").
    let text = module(
        "../secretlink",
        "(drop (call $symlink (i32.const 4096) (i32.const 9) (i32.const 3) (i32.const 4105) (i32.const 4)))
         (call $open (i32.const 3) (i32.const 1) (i32.const 4105) (i32.const 4)
           (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0))",
    );

    let outcome = run(Grants::default().write("/", tree.inside()), &text);

    assert!(matches!(outcome.exit, Exit::Exited(errno) if errno != 0), "{:?}", outcome.exit);
}

#[test]
fn w7_a_directory_granted_for_reading_cannot_be_changed() {
    let tree = Tree::new();
    let before = names(&tree.inside());
    let acts = [
        open("new.txt", true),
        module("a.txtb.txt", "(call $unlink (i32.const 3) (i32.const 4096) (i32.const 5))"),
        module("dir", "(call $mkdir (i32.const 3) (i32.const 4096) (i32.const 3))"),
        module(
            "a.txtb.txt",
            "(call $rename (i32.const 3) (i32.const 4096) (i32.const 5)
               (i32.const 3) (i32.const 4101) (i32.const 5))",
        ),
    ];
    for act in &acts {
        let denied = run(Grants::default().read("/", tree.inside()), act);

        assert!(matches!(denied.exit, Exit::Exited(errno) if errno != 0), "{:?}", denied.exit);
        assert_eq!(names(&tree.inside()), before);
    }
    for act in &acts {
        // The same acts succeed where the grant says so; each in a tree of its own.
        let tree = Tree::new();

        let allowed = run(Grants::default().write("/", tree.inside()), act);

        assert_eq!(allowed.exit, Exit::Exited(0));
        assert_ne!(names(&tree.inside()), before);
    }
}

#[test]
fn w1_fuel_alone_stops_a_guest_that_reads_files() {
    let tree = Tree::new();
    let text = module(
        "a.txt",
        "(loop
           (drop (call $open (i32.const 3) (i32.const 1) (i32.const 4096) (i32.const 5)
             (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))
           (br 0))
         unreachable",
    );

    let outcome = run(Grants::default().read("/", tree.inside()), &text);

    assert_eq!(outcome.exit, Exit::OutOfFuel(1_000_000));
}

#[test]
fn a_directory_that_does_not_exist_is_an_error_before_anything_runs() {
    let module = wat::parse_str(module("", "(i32.const 0)")).unwrap();
    let sandbox =
        WasmSandbox::new(config()).with_grants(Grants::default().read("/", "/nonexistent/x"));

    let error = sandbox.execute(&module, b"").unwrap_err();

    assert!(matches!(&error, Error::Setup { .. }), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/x"), "{error}");
}

/// Writes 16 random bytes, the wall clock and the monotonic clock, before and
/// after a sleep of an hour.
const NUMBERS: &str = "
    (drop (call $random (i32.const 8192) (i32.const 16)))
    (drop (call $time (i32.const 0) (i64.const 1) (i32.const 8208)))
    (drop (call $time (i32.const 1) (i64.const 1) (i32.const 8216)))
    (i32.store (i32.const 9016) (i32.const 1))
    (i64.store (i32.const 9024) (i64.const 3600000000000))
    (drop (call $poll (i32.const 9000) (i32.const 9100) (i32.const 1) (i32.const 9200)))
    (drop (call $time (i32.const 0) (i64.const 1) (i32.const 8224)))
    (call $out (i32.const 8192) (i32.const 40))
    (i32.const 0)";

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[test]
fn w9_fixed_clocks_and_seeded_bytes_are_the_same_in_every_run() {
    let module = wat::parse_str(module("", NUMBERS)).unwrap();
    let config = WasmSandboxConfig { max_fuel: Some(10_000_000_000), ..config() };
    let run = |grants: Grants| {
        WasmSandbox::new(config.clone()).with_grants(grants).execute(&module, b"").unwrap()
    };

    let first = run(Grants::deterministic());
    let again = run(Grants::deterministic());
    let other = run(Grants { random: Randomness::Seed(1), ..Grants::deterministic() });

    assert_eq!(first.exit, Exit::Exited(0));
    assert_eq!(first.stdout, again.stdout);
    assert_eq!(first.usage.fuel_consumed, again.usage.fuel_consumed);
    assert_ne!(first.stdout[..16], other.stdout[..16]);
    assert_eq!(first.stdout[16..], other.stdout[16..]);
    let (before, after) = (word(&first.stdout, 16), word(&first.stdout, 32));
    assert!(before >= 946_684_800_000_000_000);
    assert!(before < 946_684_801_000_000_000, "{before}");
    assert!(after - before >= 3_600_000_000_000, "the sleep was jumped over");
    assert!(first.execution_time() < Duration::from_secs(20), "and not waited for");
}

#[test]
fn real_clocks_advance_and_real_bytes_differ() {
    let text = module(
        "",
        "(drop (call $random (i32.const 8192) (i32.const 16)))
         (drop (call $time (i32.const 0) (i64.const 1) (i32.const 8208)))
         (call $out (i32.const 8192) (i32.const 24)) (i32.const 0)",
    );

    let (first, second) = (run(Grants::default(), &text), run(Grants::default(), &text));

    assert_ne!(first.stdout[..16], second.stdout[..16]);
    assert!(word(&second.stdout, 16) > word(&first.stdout, 16));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    assert!(now - u128::from(word(&first.stdout, 16)) < 3_600_000_000_000);
    assert_eq!(Grants::default().clocks, Clocks::Real);
}

#[test]
fn h2_the_receipt_names_the_directories() {
    let tree = Tree::new();

    let outcome =
        run(Grants::default().write("/data", tree.inside()), &module("", "(i32.const 0)"));

    let held = outcome.enforcement.get(Protection::Filesystem).unwrap();
    assert!(held.by.contains("/data (read-write)"), "{held:?}");
}

#[test]
fn w9_the_run_hash_is_that_of_the_run_and_of_nothing_else() {
    let module = wat::parse_str(module("", NUMBERS)).unwrap();
    let config = WasmSandboxConfig { max_fuel: Some(10_000_000_000), ..config() };
    let hash = |grants: Grants, input: &[u8]| {
        let sandbox = WasmSandbox::new(config.clone()).with_grants(grants);
        let outcome = sandbox.execute(&module, input).unwrap();
        sandbox.run_hash(&module, input, &outcome).unwrap()
    };

    let first = hash(Grants::deterministic(), b"x");

    assert_eq!(first.len(), 64);
    assert_eq!(first, hash(Grants::deterministic(), b"x"));
    assert_ne!(first, hash(Grants::deterministic(), b"y"));
    assert_ne!(first, hash(Grants::deterministic().args(["a"]), b"x"));
    assert_ne!(
        hash(Grants::deterministic().args(["ab", "c"]), b"x"),
        hash(Grants::deterministic().args(["a", "bc"]), b"x")
    );
}
