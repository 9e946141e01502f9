//! `neuroflow-wasm` as a user meets it: streams, reports and exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and each starts the program"
)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A directory with modules in it.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn module(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
        path
    }

    fn wasm(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neuroflow-wasm"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", self.0.path().join("caches"));
        command
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

const WASI: &str = "wasi_snapshot_preview1.*";
const LOOP: &str = r#"(module (func (export "_start") (loop (br 0))))"#;

/// Copies standard input to standard output and says so on standard error.
const CAT: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 16) "done\n")
    (func (export "_start")
      (block $end (loop $more
        (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
        (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br_if $end (i32.eqz (i32.load (i32.const 8))))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (br $more)))
      (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 5))
      (drop (call $w (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 12)))))"#;

#[test]
fn the_input_of_a_pipe_goes_through_the_module() {
    let bench = Bench::new();
    bench.module("cat.wasm", CAT);
    let input = b"line\n".repeat(100_000);

    let mut child = bench
        .wasm(&["--fuel", "none", "--allow-import", WASI, "cat.wasm"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = input.clone();
    let feeding = std::thread::spawn(move || stdin.write_all(&sent));
    let output = child.wait_with_output().unwrap();

    feeding.join().unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stdout == input);
    assert_eq!(text(&output.stderr), "done\n");
}

#[test]
fn without_a_pipe_the_input_is_at_its_end() {
    let bench = Bench::new();
    bench.module("cat.wasm", CAT);

    let output = bench.wasm(&["--allow-import", WASI, "cat.wasm"]).output().unwrap();

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn an_import_that_is_not_allowed_is_told_with_what_to_add() {
    let bench = Bench::new();
    bench.module("cat.wasm", CAT);

    let output = bench.wasm(&["cat.wasm"]).output().unwrap();

    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("wasi_snapshot_preview1.fd_read"));
    assert!(text(&output.stderr).contains("allowed_imports"), "{}", text(&output.stderr));
}

#[test]
fn json_is_the_report_with_the_output_in_it() {
    let bench = Bench::new();
    bench.module("cat.wasm", CAT);

    let output = bench.wasm(&["--json", "--allow-import", WASI, "cat.wasm"]).output().unwrap();

    let report = report(&output);
    assert_eq!(report["exit_code"], 0);
    assert_eq!(report["ending"]["kind"], "exited");
    assert_eq!(report["stderr"], "done\n");
    assert_eq!(report["enforcement"]["memory"]["state"], "enforced");
    assert!(report["usage"]["fuel_consumed"].as_u64().unwrap() > 0);
}

#[test]
fn the_report_file_says_what_the_exit_code_says() {
    let bench = Bench::new();
    bench.module("trap.wasm", r#"(module (func (export "_start") unreachable))"#);

    let output = bench.wasm(&["--report", "r.json", "trap.wasm"]).output().unwrap();

    assert_eq!(output.status.code(), Some(134));
    let report = std::fs::read(bench.0.path().join("r.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["ending"]["kind"], "trap");
    assert!(report["error"].as_str().unwrap().contains("unreachable"));
}

#[test]
fn each_limit_has_its_ending_and_its_exit_code() {
    let bench = Bench::new();
    bench.module("loop.wasm", LOOP);
    bench.module(
        "grow.wasm",
        r#"(module (memory 1) (func (export "_start")
             (loop (drop (memory.grow (i32.const 1))) (br 0))))"#,
    );
    let runs: [(&[&str], i32, &str); 3] = [
        (&["--json", "--fuel", "1000", "loop.wasm"], 137, "out_of_fuel"),
        (&["--json", "--fuel", "none", "--timeout", "200ms", "loop.wasm"], 124, "timed_out"),
        (&["--json", "--memory", "1MB", "grow.wasm"], 137, "out_of_memory"),
    ];
    for (args, code, kind) in runs {
        let output = bench.wasm(args).output().unwrap();

        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(report(&output)["ending"]["kind"], kind, "{args:?}");
    }
}

#[test]
fn the_exit_code_is_the_modules_own() {
    let bench = Bench::new();
    for (returned, code) in [(0, 0), (7, 7), (255, 255), (256, 255), (-1, 255)] {
        bench.module(
            "main.wasm",
            &format!(r#"(module (func (export "main") (result i32) (i32.const {returned})))"#),
        );

        let output = bench.wasm(&["main.wasm"]).output().unwrap();

        assert_eq!(output.status.code(), Some(code), "{returned}");
    }
}

#[test]
fn what_cannot_be_run_is_an_error_with_the_reason() {
    let bench = Bench::new();
    std::fs::write(bench.0.path().join("text.wasm"), "(module)").unwrap();
    std::fs::create_dir(bench.0.path().join("dir.wasm")).unwrap();
    for (file, code, word) in
        [("none.wasm", 127, "none.wasm"), ("dir.wasm", 126, "dir.wasm"), ("text.wasm", 125, "text")]
    {
        let output = bench.wasm(&[file]).output().unwrap();

        assert_eq!(output.status.code(), Some(code), "{file}");
        assert!(text(&output.stderr).contains(word), "{}", text(&output.stderr));
    }
}

#[test]
fn a_reader_that_takes_nothing_does_not_stop_the_clock() {
    let bench = Bench::new();
    bench.module(
        "flood.wasm",
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
              (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 1024))
              (loop (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br 0))))"#,
    );
    let started = Instant::now();

    let mut child = bench
        .wasm(&[
            "--fuel=none",
            "--timeout=300ms",
            "--max-output=1GB",
            "--allow-import",
            WASI,
            "flood.wasm",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = child.wait().unwrap();

    assert_eq!(status.code(), Some(124));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// Writes its arguments and variables, a NUL behind each, and one random byte.
const WORDS: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $as (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $a (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $es (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $e (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func $out (param $len i32)
      (i32.store (i32.const 16) (i32.const 8192)) (i32.store (i32.const 20) (local.get $len))
      (drop (call $w (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))))
    (func (export "_start")
      (drop (call $as (i32.const 0) (i32.const 4))) (drop (call $a (i32.const 2048) (i32.const 8192)))
      (call $out (i32.load (i32.const 4)))
      (drop (call $es (i32.const 0) (i32.const 4))) (drop (call $e (i32.const 2048) (i32.const 8192)))
      (call $out (i32.load (i32.const 4)))
      (drop (call $r (i32.const 8192) (i32.const 1)))
      (call $out (i32.const 1))))"#;

#[test]
fn arguments_and_variables_reach_the_module_as_they_are() {
    let bench = Bench::new();
    bench.module("words.wasm", WORDS);

    let output = bench
        .wasm(&["--env=A=b=c", "--allow-import", WASI, "words.wasm", "--", "--json", ""])
        .output()
        .unwrap();

    assert!(output.stdout.starts_with(b"words.wasm\0--json\0\0A=b=c\0"), "{output:?}");
}

#[test]
fn verify_prints_the_same_hash_each_time_and_another_for_other_arguments() {
    let bench = Bench::new();
    bench.module("words.wasm", WORDS);
    let verify = |more: &[&str]| {
        let args = [&["verify", "--allow-import", WASI, "words.wasm"], more].concat();
        let output = bench.wasm(&args).output().unwrap();
        (output.status.code(), text(&output.stdout).trim().to_owned())
    };

    let (code, hash) = verify(&[]);

    assert_eq!((code, hash.len()), (Some(0), 64));
    assert_eq!(verify(&[]), (Some(0), hash.clone()));
    assert_eq!(verify(&["--expect", &hash]).0, Some(0));
    assert_eq!(verify(&["--expect", "00"]).0, Some(1));
    assert_ne!(verify(&["--", "more"]).1, hash);
}

#[test]
fn inspect_tells_what_to_allow_and_runs_nothing() {
    let bench = Bench::new();
    bench.module("cat.wasm", CAT);

    let plain = bench.wasm(&["inspect", "cat.wasm"]).output().unwrap();
    let json = bench.wasm(&["inspect", "--json", "cat.wasm"]).output().unwrap();

    assert_eq!(plain.status.code(), Some(0));
    assert!(text(&plain.stdout).contains("--allow-import wasi_snapshot_preview1.fd_read"));
    let found = report(&json);
    assert_eq!(found["entry"], "_start");
    assert_eq!(
        found["allow"],
        serde_json::json!(["wasi_snapshot_preview1.fd_read", "wasi_snapshot_preview1.fd_write"])
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_module() {
    let bench = Bench::new();
    bench.module("loop.wasm", LOOP);
    let mut child = bench
        .wasm(&["--fuel=none", "--timeout=60s", "loop.wasm"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));

    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();

    assert!(killed.success());
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file() {
    let bench = Bench::new();
    bench.module("loop.wasm", LOOP);
    std::fs::write(bench.0.path().join("neuroflow.yaml"), "wasm: {max_fuel: 1000}").unwrap();
    let consumed = |command: &mut Command| {
        report(&command.output().unwrap())["usage"]["fuel_consumed"].as_u64().unwrap()
    };
    let wasm = || bench.wasm(&["--json", "--config", "neuroflow.yaml", "loop.wasm"]);

    assert_eq!(consumed(&mut wasm()), 1000);
    assert_eq!(consumed(wasm().env("NEUROFLOW_WASM_MAX_FUEL", "2000")), 2000);
    assert_eq!(
        consumed(wasm().env("NEUROFLOW_WASM_MAX_FUEL", "2000").args(["--fuel", "3000"])),
        3000
    );
}

#[test]
fn a_config_with_a_mistake_runs_nothing() {
    let bench = Bench::new();
    bench.module("loop.wasm", LOOP);
    std::fs::write(bench.0.path().join("neuroflow.yaml"), "wasm:\n  max_fule: 1\n").unwrap();

    let output = bench.wasm(&["--config", "neuroflow.yaml", "loop.wasm"]).output().unwrap();

    assert_eq!(output.status.code(), Some(125));
    let told = text(&output.stderr);
    assert!(
        told.contains("neuroflow.yaml:2:3: unknown key `max_fule`; did you mean `max_fuel`?"),
        "{told}"
    );
}

/// A module of about 1 MB, which takes a while to compile.
fn large(salt: u32) -> String {
    let mut text = String::from("(module");
    for _ in 0..5_000 {
        text.push_str("(func (param i32) (result i32)");
        let step = format!("(local.set 0 (i32.mul (local.get 0) (i32.const {salt})))");
        text.push_str(&step.repeat(20));
        text.push_str("(local.get 0))");
    }
    text.push_str("(func (export \"main\") (result i32) (call 0 (i32.const 0))))");
    text
}

#[test]
fn a_large_module_is_compiled_once_and_kept() {
    let bench = Bench::new();
    bench.module("large.wasm", &large(3));
    let caches = bench.0.path().join("caches");
    let run = |args: &[&str]| bench.wasm(args).env("XDG_CACHE_HOME", &caches).output().unwrap();

    let cold = run(&["--json", "large.wasm"]);
    let warm = run(&["--json", "large.wasm"]);

    assert_eq!(cold.status.code(), Some(0), "{}", text(&cold.stdout));
    assert_eq!(warm.status.code(), Some(0));
    let time = |output: &Output| report(output)["execution_time_ms"].as_f64().unwrap();
    assert!(time(&warm) * 3.0 < time(&cold), "{} and {}", time(&warm), time(&cold));
    assert_eq!(report(&cold)["usage"]["fuel_consumed"], report(&warm)["usage"]["fuel_consumed"]);
    let listed = run(&["cache", "list"]);
    assert_eq!(text(&listed.stdout).lines().count(), 1);
    assert_eq!(text(&run(&["cache", "clear"]).stdout), "removed 1\n");
    assert_eq!(text(&run(&["cache", "list"]).stdout), "");
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_could_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new();
    bench.module("loop.wasm", r#"(module (func (export "_start")))"#);
    let caches = bench.0.path().join("caches");
    let kept = caches.join("neuroflow/wasm");
    std::fs::create_dir_all(&kept).unwrap();
    let run = |mode| {
        std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = bench.wasm(&["loop.wasm"]).env("XDG_CACHE_HOME", &caches).output().unwrap();
        (output.status.code(), std::fs::read_dir(&kept).unwrap().count())
    };

    assert_eq!(run(0o777), (Some(0), 0));
    assert_eq!(run(0o700), (Some(0), 1));
}

#[test]
fn a_kept_module_that_was_cut_short_is_compiled_anew() {
    let bench = Bench::new();
    bench.module("main.wasm", r#"(module (func (export "main") (result i32) (i32.const 6)))"#);
    let caches = bench.0.path().join("caches");
    let run = || {
        bench.wasm(&["main.wasm"]).env("XDG_CACHE_HOME", &caches).output().unwrap().status.code()
    };
    assert_eq!(run(), Some(6));
    let kept = std::fs::read_dir(caches.join("neuroflow/wasm")).unwrap().next().unwrap().unwrap();

    for length in [0, 10, 1000] {
        std::fs::File::options().write(true).open(kept.path()).unwrap().set_len(length).unwrap();

        assert_eq!(run(), Some(6), "{length}");
    }
}

#[test]
fn w2_a_compilation_ends_at_the_deadline_and_leaves_no_process() {
    let bench = Bench::new();
    bench.module("large.wasm", &large(5));
    let started = Instant::now();

    let output = bench.wasm(&["--no-cache", "--timeout=50ms", "large.wasm"]).output().unwrap();

    assert_eq!(output.status.code(), Some(124));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    #[cfg(target_os = "linux")]
    assert_eq!(processes_in(bench.0.path()), [""; 0]);
}

/// What runs with this current directory: ours and what it started.
#[cfg(target_os = "linux")]
fn processes_in(directory: &std::path::Path) -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let inside = std::fs::read_link(path.join("cwd")).ok()? == directory;
            inside.then(|| path.display().to_string())
        })
        .collect()
}

#[test]
fn a_large_module_that_is_invalid_is_refused_with_the_reason() {
    let bench = Bench::new();
    let mut bytes = wat::parse_str(large(7)).unwrap();
    // The last function pushes an argument and calls; now it pushes none.
    let push = bytes.windows(4).rposition(|four| four == [0x41, 0, 0x10, 0]).unwrap();
    bytes[push..push + 2].fill(0x01);
    std::fs::write(bench.0.path().join("bad.wasm"), bytes).unwrap();

    let output = bench.wasm(&["--no-cache", "bad.wasm"]).output().unwrap();

    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("not a valid module"), "{}", text(&output.stderr));
}
