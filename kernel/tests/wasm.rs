//! The WASM back end: what a hostile module cannot do, and what an honest one can.
//!
//! Names begin with the line of the promises that they keep.
#![cfg(feature = "wasm")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use kernel::sandbox::{
    Error, Exit, Killer, Outcome, Protection, State, Stdin, Stream, WasmSandbox, WasmSandboxConfig,
};

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn config() -> WasmSandboxConfig {
    WasmSandboxConfig::default()
}

/// Fuel without end, so that something else must stop the guest.
fn by_clock(seconds: f64) -> WasmSandboxConfig {
    WasmSandboxConfig { max_fuel: None, timeout_seconds: seconds, ..config() }
}

/// A clock that never runs out in a test, so that fuel must stop the guest.
fn by_fuel(max_fuel: u64) -> WasmSandboxConfig {
    WasmSandboxConfig { max_fuel: Some(max_fuel), timeout_seconds: 3600.0, ..config() }
}

fn with_wasi(mut config: WasmSandboxConfig) -> WasmSandboxConfig {
    config.allowed_imports = vec!["wasi_snapshot_preview1.*".into()];
    config
}

fn run(config: WasmSandboxConfig, text: &str) -> Outcome {
    WasmSandbox::new(config).execute(&wat(text), b"").unwrap()
}

fn problem(bytes: &[u8]) -> String {
    match WasmSandbox::new(config()).execute(bytes, b"") {
        Err(error @ Error::Config { .. }) => error.to_string(),
        other => panic!("expected a config error, got {other:?}"),
    }
}

/// Guests that never end by themselves, one for each way of not ending.
const ENDLESS: &[(&str, &str)] = &[
    ("loop", r#"(module (func (export "_start") (loop (br 0))))"#),
    (
        "calls without a loop",
        r#"(module
             (func $a (param i32) (result i32)
               (if (local.get 0) (then
                 (drop (call $a (i32.sub (local.get 0) (i32.const 1))))
                 (drop (call $a (i32.sub (local.get 0) (i32.const 1))))))
               (i32.const 0))
             (func (export "_start") (drop (call $a (i32.const 200)))))"#,
    ),
    ("tail calls", r#"(module (func $f (export "_start") (return_call $f)))"#),
    ("start function", r#"(module (func $s (loop (br 0))) (start $s) (func (export "_start")))"#),
    ("start function without an entry point", r#"(module (func $s (loop (br 0))) (start $s))"#),
    (
        "bulk instructions",
        r#"(module (memory 900) (func (export "_start")
             (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 58982400)) (br 0))))"#,
    ),
    (
        "bulk copies",
        r#"(module (memory 900) (func (export "_start")
             (loop (memory.copy (i32.const 0) (i32.const 1) (i32.const 58982399)) (br 0))))"#,
    ),
    (
        "table fills",
        r#"(module (table 900000 funcref) (func (export "_start")
             (loop (table.fill (i32.const 0) (ref.null func) (i32.const 900000)) (br 0))))"#,
    ),
    (
        "growth by nothing",
        r#"(module (memory 1) (func (export "_start")
             (loop (drop (memory.grow (i32.const 0))) (br 0))))"#,
    ),
    (
        "cheap host calls",
        r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32)))
             (memory (export "memory") 1)
             (func (export "_start") (loop (drop (call $y)) (br 0))))"#,
    ),
    (
        "dear host calls",
        r#"(module (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))
             (memory (export "memory") 900) (func (export "_start")
             (loop (drop (call $r (i32.const 0) (i32.const 58982400))) (br 0))))"#,
    ),
    (
        "host call in the start function",
        r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32)))
             (memory (export "memory") 1) (func $s (loop (drop (call $y)) (br 0))) (start $s))"#,
    ),
    (
        "sleep",
        // One relative subscription of an hour on the monotonic clock.
        r#"(module (import "wasi_snapshot_preview1" "poll_oneoff"
               (func $p (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (func (export "_start")
               (i32.store8 (i32.const 8) (i32.const 0))
               (i32.store (i32.const 16) (i32.const 1))
               (i64.store (i32.const 24) (i64.const 3600000000000))
               (drop (call $p (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"#,
    ),
    (
        "reads of an ended input",
        r#"(module (import "wasi_snapshot_preview1" "fd_read"
               (func $r (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (func (export "_start")
               (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1000))
               (loop (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32))) (br 0))))"#,
    ),
];

#[test]
fn w1_fuel_alone_stops_every_endless_guest() {
    for (name, text) in ENDLESS {
        let started = Instant::now();

        let outcome = run(with_wasi(by_fuel(1_000_000)), text);

        assert_eq!(outcome.exit, Exit::OutOfFuel(1_000_000), "{name}");
        assert_eq!(outcome.usage.fuel_consumed, Some(1_000_000), "{name}");
        assert!(started.elapsed() < Duration::from_secs(20), "{name}: {:?}", started.elapsed());
    }
}

#[test]
fn w1_the_wall_clock_alone_stops_every_endless_guest() {
    for (name, text) in ENDLESS {
        let started = Instant::now();

        let outcome = run(with_wasi(by_clock(0.2)), text);

        assert_eq!(outcome.exit, Exit::TimedOut(Duration::from_millis(200)), "{name}");
        assert!(outcome.timed_out(), "{name}");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(200), "{name}: {took:?}");
        assert!(took < Duration::from_secs(5), "{name}: {took:?}");
    }
}

#[test]
fn w1_atomic_waits_are_no_way_to_wait() {
    let text = r#"(module (memory 1 1 shared) (func (export "_start")
        (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#;

    assert!(problem(&wat(text)).contains("not a valid module"));
}

#[test]
fn w1_the_same_loop_ends_by_itself_within_its_limits() {
    let text = r#"(module (func (export "_start") (local i32)
        (loop (br_if 0 (i32.lt_u
          (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 1000))))))"#;

    let outcome = run(config(), text);

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert!(outcome.success());
}

#[test]
fn w2_a_module_past_the_caps_is_refused_before_it_is_compiled() {
    let mut types = String::from("(module");
    for _ in 0..20_000 {
        types.push_str("(type (func))");
    }
    types.push(')');
    let mut functions = String::from("(module");
    for _ in 0..60_000 {
        functions.push_str("(func)");
    }
    functions.push(')');
    let body = format!("(module (func {}))", "(drop (i32.const 1))".repeat(400_000));

    for (text, word) in [(types, "types"), (functions, "functions"), (body, "one function")] {
        let bytes = wat(&text);
        let started = Instant::now();

        let problem = problem(&bytes);

        assert!(problem.contains(word), "{problem}");
        assert!(started.elapsed() < Duration::from_secs(1), "{word}: {:?}", started.elapsed());
    }
}

#[test]
fn w2_compiling_counts_as_time() {
    // 20 000 functions of some size: seconds of compilation.
    let mut text = String::from("(module");
    for _ in 0..20_000 {
        text.push_str("(func (param i32) (result i32)");
        text.push_str(&"(local.set 0 (i32.mul (local.get 0) (i32.const 3)))".repeat(20));
        text.push_str("(local.get 0))");
    }
    text.push_str("(func (export \"_start\")))");
    let bytes = wat(&text);
    let started = Instant::now();

    let outcome = WasmSandbox::new(by_clock(0.1)).execute(&bytes, b"").unwrap();

    assert_eq!(outcome.exit, Exit::TimedOut(Duration::from_millis(100)));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn w3_growth_past_the_limit_is_out_of_memory() {
    let text = r#"(module (memory 1) (func (export "_start")
        (loop (drop (memory.grow (i32.const 16))) (br 0))))"#;
    let limit = 8 << 20;

    let outcome = run(WasmSandboxConfig { max_memory_bytes: limit, ..config() }, text);

    assert_eq!(outcome.exit, Exit::OutOfMemory(limit));
    assert!(outcome.usage.max_memory_bytes <= limit);
    assert!(outcome.usage.max_memory_bytes > limit / 2);
    assert_eq!(outcome.violations[0].rule, "max_memory_bytes");
}

#[test]
fn w3_growth_up_to_the_limit_is_allowed() {
    let text = r#"(module (memory 1) (func (export "main") (result i32)
        (memory.grow (i32.const 127))))"#;

    let outcome = run(WasmSandboxConfig { max_memory_bytes: 8 << 20, ..config() }, text);

    assert_eq!(outcome.exit, Exit::Exited(1));
    assert_eq!(outcome.usage.max_memory_bytes, 8 << 20);
}

#[test]
fn w3_growth_past_the_modules_own_maximum_is_minus_one() {
    let text = r#"(module (memory 1 2) (func (export "main") (result i32)
        (memory.grow (i32.const 5))))"#;

    assert_eq!(run(config(), text).exit, Exit::Exited(-1));
}

#[test]
fn w3_a_memory_too_large_from_the_start_is_out_of_memory() {
    let text = r#"(module (memory 2000) (func (export "_start")))"#;

    let outcome = run(config(), text);

    assert_eq!(outcome.exit, Exit::OutOfMemory(64 << 20));
}

#[test]
fn w3_tables_are_limited_at_the_start_and_at_growth() {
    let start = r#"(module (table 5000000 funcref) (func (export "_start")))"#;
    let growth = r#"(module (table 1 funcref) (func (export "_start")
        (loop (drop (table.grow (ref.null func) (i32.const 1000))) (br 0))))"#;

    for text in [start, growth] {
        let outcome = run(by_fuel(1 << 40), text);

        assert!(matches!(&outcome.exit, Exit::Trap(why) if why.contains("tables")), "{outcome:?}");
    }
}

#[test]
fn w3_the_stack_is_limited() {
    let text = r#"(module (func $f (export "_start") (call $f)))"#;

    let outcome = run(by_fuel(1 << 40), text);

    assert!(matches!(&outcome.exit, Exit::Trap(why) if why.contains("stack")), "{outcome:?}");
}

#[test]
fn w3_proposals_that_nobody_asked_for_are_off() {
    let modules = [
        ("64-bit memory", r#"(module (memory i64 1))"#),
        ("several memories", r#"(module (memory 1) (memory 1))"#),
        ("shared memory", r#"(module (memory 1 1 shared))"#),
        ("structs", r#"(module (type (struct (field i32))))"#),
        ("exceptions", r#"(module (tag))"#),
        ("page sizes", r#"(module (memory 1 (pagesize 1)))"#),
        (
            "wide arithmetic",
            r#"(module (func (param i64 i64 i64 i64) (result i64 i64)
            (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"#,
        ),
    ];
    for (name, text) in modules {
        assert!(problem(&wat(text)).contains("not a valid module"), "{name}");
    }
}

#[test]
fn w4_every_trap_is_a_result_and_the_next_module_runs() {
    let traps = [
        ("unreachable", "unreachable"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "divide by zero"),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "overflow"),
        ("(drop (i32.load (i32.const 0x7fffffff)))", "out of bounds memory access"),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", "invalid conversion"),
        ("(call_indirect (i32.const 7))", "out of bounds"),
        ("(memory.fill (i32.const 65535) (i32.const 0) (i32.const 9))", "out of bounds"),
    ];
    for (body, word) in traps {
        let text =
            format!(r#"(module (memory 1) (table 1 funcref) (func (export "_start") {body}))"#);

        let outcome = run(config(), &text);

        assert!(
            matches!(&outcome.exit, Exit::Trap(why) if why.contains(word)),
            "{body}: {:?}",
            outcome.exit
        );
        assert!(!outcome.success());
        assert!(outcome.error().is_some());
        assert!(run(config(), r#"(module (func (export "_start")))"#).success());
    }
}

const HELLO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "hello\n")
    (func (export "_start")
      (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 6))
      (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

#[test]
fn w5_no_import_is_satisfied_by_default() {
    let outcome = run(config(), HELLO);

    assert_eq!(
        outcome.exit,
        Exit::ImportRefused(vec!["wasi_snapshot_preview1.fd_write".to_owned()])
    );
    assert!(outcome.stdout.is_empty());
    assert_eq!(outcome.exit_code(), -1);
    assert_eq!(outcome.usage.fuel_consumed, None);
    let violation = &outcome.violations[0];
    assert_eq!(violation.rule, "allowed_imports");
    assert!(violation.fix.contains("wasi_snapshot_preview1.fd_write"), "{violation:?}");
}

#[test]
fn w5_a_listed_import_is_satisfied() {
    for entry in ["wasi_snapshot_preview1.*", "wasi_snapshot_preview1.fd_write"] {
        let config = WasmSandboxConfig { allowed_imports: vec![entry.into()], ..config() };

        let outcome = run(config, HELLO);

        assert_eq!(outcome.exit, Exit::Exited(0), "{entry}");
        assert_eq!(outcome.stdout, b"hello\n");
        assert_eq!(outcome.usage.stdout_bytes, 6);
    }
}

#[test]
fn w5_an_unused_import_is_refused_too_and_before_the_start_function() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (import "env" "secret" (func))
        (memory (export "memory") 1)
        (func $s (unreachable)) (start $s) (func (export "_start")))"#;

    let outcome = run(with_wasi(config()), text);

    assert_eq!(outcome.exit, Exit::ImportRefused(vec!["env.secret".to_owned()]));
}

#[test]
fn w5_an_allowed_import_that_nobody_provides_is_refused() {
    let text = r#"(module (import "env" "log" (func)) (func (export "_start")))"#;
    let config = WasmSandboxConfig { allowed_imports: vec!["env.log".into()], ..config() };

    let outcome = run(config, text);

    assert_eq!(outcome.exit, Exit::ImportRefused(vec!["env.log".to_owned()]));
    assert!(outcome.violations[0].what.contains("provides"), "{:?}", outcome.violations);
}

#[test]
fn w5_kind_and_type_are_compared() {
    let kind = r#"(module (import "wasi_snapshot_preview1" "fd_write" (global i32))
        (func (export "_start")))"#;
    let ty = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i64)))
        (func (export "_start")))"#;

    for text in [kind, ty] {
        let outcome = run(with_wasi(config()), text);

        assert_eq!(
            outcome.exit,
            Exit::ImportRefused(vec!["wasi_snapshot_preview1.fd_write".to_owned()])
        );
        assert!(outcome.violations[0].what.contains("a function"), "{:?}", outcome.violations);
    }
}

#[test]
fn w5_with_wasi_there_are_still_no_arguments_variables_or_directories() {
    // Exit code: arguments + 10 * variables + 100 if descriptor 3 exists.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $a (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $e (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $p (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "main") (result i32)
          (drop (call $a (i32.const 0) (i32.const 4)))
          (drop (call $e (i32.const 8) (i32.const 12)))
          (i32.add (i32.load (i32.const 0))
            (i32.add (i32.mul (i32.const 10) (i32.load (i32.const 8)))
              (i32.mul (i32.const 100) (i32.eqz (call $p (i32.const 3) (i32.const 16))))))))"#;

    assert_eq!(run(with_wasi(config()), text).exit, Exit::Exited(0));
}

#[test]
fn w6_pointers_outside_the_memory_are_refused_by_every_host_function() {
    // Every function is called with arguments that point far out of bounds.
    let functions = [
        ("args_get", 2),
        ("args_sizes_get", 2),
        ("environ_get", 2),
        ("clock_res_get", 2),
        ("fd_fdstat_get", 2),
        ("fd_filestat_get", 2),
        ("fd_prestat_get", 2),
        ("random_get", 2),
        ("fd_prestat_dir_name", 3),
        ("poll_oneoff", 4),
        ("fd_read", 4),
        ("fd_write", 4),
    ];
    for (name, arity) in functions {
        for (first, rest) in [("1", "-8"), ("0", "-8"), ("-8", "-8"), ("0", "65533")] {
            let params = "i32 ".repeat(arity);
            let args =
                format!("(i32.const {first}) {}", format!("(i32.const {rest})").repeat(arity - 1));
            let text = format!(
                r#"(module (import "wasi_snapshot_preview1" "{name}"
                     (func $f (param {params}) (result i32)))
                   (memory (export "memory") 1)
                   (func (export "main") (result i32) (call $f {args})))"#
            );

            let outcome = run(with_wasi(config()), &text);

            // An errno or a trap; a run that was given up or a panic is neither.
            assert!(
                matches!(outcome.exit, Exit::Exited(_) | Exit::Trap(_) | Exit::OutOfFuel(_)),
                "{name}({first}, {rest}): {:?}",
                outcome.exit
            );
        }
    }
}

#[test]
fn w6_a_module_without_a_memory_gets_an_error_and_not_a_crash() {
    let text = r#"(module (import "wasi_snapshot_preview1" "random_get"
          (func $r (param i32 i32) (result i32)))
        (func (export "main") (result i32) (call $r (i32.const 0) (i32.const 8))))"#;

    let outcome = run(with_wasi(config()), text);

    assert_eq!(outcome.exit, Exit::Exited(21), "EFAULT");
}

#[test]
fn w8_only_core_modules_are_accepted() {
    assert!(problem(b"").contains("empty"));
    assert!(problem(b"(module)").contains("text"));
    assert!(problem(b"\0asm\x0d\0\x01\0").contains("component"));
    assert!(problem(b"\x7fELF\x02\x01\x01\0").contains("precompiled"));
    assert!(problem(b"\0asm").contains("cut short"));
    let whole = wat(HELLO);
    assert!(problem(&whole[..whole.len() - 5]).contains("cut short"));
}

#[test]
fn w8_a_module_with_nothing_to_run_says_so() {
    assert!(problem(&wat("(module)")).contains("neither `_start` nor `main`"));
    assert!(problem(&wat(r#"(module (func (export "main") (param f64)))"#)).contains("f64"));
}

#[test]
fn w9_the_same_module_and_input_give_the_same_output_and_fuel() {
    // Reads up to 4096 bytes, hashes them, divides by zero into NaNs of either
    // sign, and writes the bits.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $i i32) (local $h i32)
          (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))
          (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (loop
            (local.set $h (i32.xor (i32.mul (local.get $h) (i32.const 16777619))
              (i32.load8_u offset=1024 (local.get $i))))
            (br_if 0 (i32.lt_u
              (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.load (i32.const 8)))))
          (i32.store (i32.const 16) (local.get $h))
          (f64.store (i32.const 20) (f64.div (f64.const 0) (f64.neg (f64.const 0))))
          (f64.store (i32.const 28) (f64.sqrt (f64.const -1)))
          (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 20))
          (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#;
    let module = wat(text);
    let sandbox = WasmSandbox::new(with_wasi(config()));
    let run = || sandbox.execute(&module, &[7; 3000]).unwrap();

    let first = run();

    assert_eq!(first.exit, Exit::Exited(0));
    assert_eq!(first.stdout.len(), 20);
    assert_eq!(first.stdout[4..12], 0x7ff8_0000_0000_0000_u64.to_le_bytes(), "canonical NaN");
    assert_eq!(first.stdout[12..], 0x7ff8_0000_0000_0000_u64.to_le_bytes(), "canonical NaN");
    for _ in 0..10 {
        let again = run();
        assert_eq!(again.stdout, first.stdout);
        assert_eq!(again.usage.fuel_consumed, first.usage.fuel_consumed);
        assert_eq!(again.usage.max_memory_bytes, first.usage.max_memory_bytes);
    }
}

#[test]
fn fuel_that_suffices_exactly_suffices_and_one_less_does_not() {
    let text = r#"(module (func (export "_start") (local i32)
        (loop (br_if 0 (i32.lt_u
          (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100000))))))"#;
    let needed = run(by_clock(30.0), text).usage.fuel_consumed.unwrap();

    let enough = run(by_fuel(needed + 1), text);
    let less = run(by_fuel(needed - 1), text);

    assert!(needed > 100_000);
    assert_eq!(enough.exit, Exit::Exited(0));
    assert_eq!(enough.usage.fuel_consumed, Some(needed));
    assert_eq!(less.exit, Exit::OutOfFuel(needed - 1));
}

#[test]
fn consumption_is_the_same_with_and_without_pauses_to_look_at_the_clock() {
    let text = r#"(module (func (export "_start") (local i32)
        (loop (br_if 0 (i32.lt_u
          (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 3000000))))))"#;

    let one = run(by_fuel(1 << 40), text).usage.fuel_consumed;
    let other = run(by_clock(30.0), text).usage.fuel_consumed;

    assert_eq!(one, other);
    assert!(one.unwrap() > 10_000_000, "{one:?} is several slices");
}

#[test]
fn h3_exit_codes_are_the_guests_own() {
    let proc_exit = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $x (param i32)))
        (memory (export "memory") 1) (func (export "_start") (call $x (i32.const 42)) unreachable))"#;

    assert_eq!(run(with_wasi(config()), proc_exit).exit, Exit::Exited(42));
    assert_eq!(
        run(config(), r#"(module (func (export "main") (result i32) (i32.const 7)))"#).exit,
        Exit::Exited(7)
    );
    assert_eq!(
        run(
            config(),
            r#"(module (func (export "main") (param i32 i32) (result i32) (local.get 0)))"#
        )
        .exit,
        Exit::Exited(0)
    );
    assert_eq!(
        run(config(), r#"(module (func (export "main") unreachable) (func (export "_start")))"#)
            .exit,
        Exit::Exited(0),
        "`_start` comes before `main`"
    );
}

#[test]
fn h1_the_receipt_names_a_mechanism_for_what_is_enforced() {
    let outcome = run(config(), r#"(module (func (export "_start")))"#);

    for protection in [
        Protection::Filesystem,
        Protection::Network,
        Protection::Environment,
        Protection::Memory,
        Protection::Timeout,
        Protection::Fuel,
        Protection::Imports,
        Protection::Output,
    ] {
        let held = outcome.enforcement.get(protection).unwrap();
        assert_eq!(held.state, State::Enforced, "{protection:?}");
        assert!(!held.by.is_empty(), "{protection:?}");
    }
    let unmetered = run(by_clock(5.0), r#"(module (func (export "_start")))"#);
    assert_eq!(unmetered.enforcement.get(Protection::Fuel).unwrap().state, State::Off);
}

/// Writes 1 KiB to the descriptor given until something stops it.
fn flood(descriptor: u32) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
          (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 1024))
          (loop (drop (call $w (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br 0))))"#
    )
}

#[test]
fn r6_output_is_cut_at_the_cap_and_a_flood_is_ended() {
    for descriptor in [1, 2] {
        let config = WasmSandboxConfig { max_output: 10_000, ..by_fuel(1 << 40) };

        let outcome = run(with_wasi(config), &flood(descriptor));

        assert_eq!(outcome.exit, Exit::Output(10_000));
        assert!(outcome.output_truncated);
        let kept = if descriptor == 1 { &outcome.stdout } else { &outcome.stderr };
        assert_eq!(kept.len(), 10_000);
        let written = outcome.usage.stdout_bytes + outcome.usage.stderr_bytes;
        assert!((100_000..102_000).contains(&written), "{written}");
    }
}

#[test]
fn l1_output_so_far_is_kept_when_time_or_fuel_runs_out() {
    let text = HELLO.replace("(i32.const 8)))))", "(i32.const 8))) (loop (br 0))))");

    for config in [by_clock(2.0), by_fuel(100_000)] {
        let outcome = run(with_wasi(config), &text);

        assert!(matches!(outcome.exit, Exit::TimedOut(_) | Exit::OutOfFuel(_)), "{outcome:?}");
        assert_eq!(outcome.stdout, b"hello\n");
    }
}

#[test]
fn l1_a_short_deadline_is_met_closely() {
    let text = r#"(module (func (export "_start") (loop (br 0))))"#;
    run(by_clock(0.05), text);

    let outcome = run(by_clock(0.05), text);

    let over = outcome.execution_time().saturating_sub(Duration::from_millis(50));
    assert!(over < Duration::from_millis(100), "{over:?}");
}

#[test]
fn l8_eight_runs_at_once_are_like_eight_runs_one_after_the_other() {
    let module = wat(HELLO);
    let sandbox = WasmSandbox::new(with_wasi(config()));
    let alone = sandbox.execute(&module, b"").unwrap();

    let together: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..8).map(|_| scope.spawn(|| sandbox.execute(&module, b"").unwrap())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });

    for one in together {
        assert_eq!(one.exit, alone.exit);
        assert_eq!(one.stdout, alone.stdout);
        assert_eq!(one.usage.fuel_consumed, alone.usage.fuel_consumed);
    }
}

#[test]
fn input_arrives_whole_and_comes_back() {
    // cat: copies stdin to stdout in pieces of 64 KiB.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (func (export "_start")
          (block $end (loop $more
            (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
            (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br_if $end (i32.eqz (i32.load (i32.const 8))))
            (i32.store (i32.const 4) (i32.load (i32.const 8)))
            (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
            (br $more)))))"#;
    let input: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();

    let outcome =
        WasmSandbox::new(with_wasi(by_fuel(100_000_000))).execute(&wat(text), &input).unwrap();

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert!(outcome.stdout == input, "3 MB through stdin and back");
    assert!(!outcome.output_truncated);
}

#[test]
fn a_sleep_ends_at_its_time_and_costs_a_unit_of_fuel_a_microsecond() {
    let text = ENDLESS
        .iter()
        .find(|(name, _)| *name == "sleep")
        .unwrap()
        .1
        .replace("3600000000000", "30000000");

    let outcome = run(with_wasi(config()), &text);

    assert_eq!(outcome.exit, Exit::Exited(0));
    assert!(outcome.execution_time() >= Duration::from_millis(30));
    let fuel = outcome.usage.fuel_consumed.unwrap();
    assert!((30_000..31_000).contains(&fuel), "{fuel}");
}

#[test]
fn l1_a_run_is_ended_by_its_killer_while_it_computes_sleeps_and_compiles() {
    let sleep = ENDLESS.iter().find(|(name, _)| *name == "sleep").unwrap().1;
    let mut large = String::from("(module");
    for _ in 0..20_000 {
        large.push_str("(func (param i32) (result i32)");
        large.push_str(&"(local.set 0 (i32.mul (local.get 0) (i32.const 5)))".repeat(20));
        large.push_str("(local.get 0))");
    }
    large.push_str("(func (export \"_start\")))");

    for text in [r#"(module (func (export "_start") (loop (br 0))))"#, sleep, &large] {
        let module = wat(text);
        let killer = Killer::new();
        let other = killer.clone();
        let started = Instant::now();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            other.kill();
        });

        let outcome = WasmSandbox::new(with_wasi(by_clock(600.0)))
            .execute_with(&module, b"", &killer)
            .unwrap();

        assert_eq!(outcome.exit, Exit::Signalled(9));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        thread.join().unwrap();
    }
}

#[test]
fn a_run_that_was_killed_before_it_began_does_not_begin() {
    let killer = Killer::new();
    killer.kill();

    let outcome =
        WasmSandbox::new(with_wasi(config())).execute_with(&wat(HELLO), b"", &killer).unwrap();

    assert_eq!(outcome.exit, Exit::Signalled(9));
    assert!(outcome.stdout.is_empty());
}

#[test]
fn output_is_passed_on_as_it_comes_and_captured_too() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = std::sync::Arc::clone(&seen);

    let outcome = WasmSandbox::new(with_wasi(config()))
        .stream(&wat(HELLO), Stdin::Empty, &Killer::new(), move |stream, bytes| {
            sink.lock().unwrap().push((stream, bytes.to_vec()));
        })
        .unwrap();

    assert_eq!(*seen.lock().unwrap(), [(Stream::Stdout, b"hello\n".to_vec())]);
    assert_eq!(outcome.stdout, b"hello\n");
}

#[test]
fn a_module_that_comes_again_is_not_compiled_again() {
    let mut text = String::from("(module");
    for _ in 0..2_000 {
        text.push_str("(func (param i32) (result i32)");
        text.push_str(&"(local.set 0 (i32.mul (local.get 0) (i32.const 7)))".repeat(20));
        text.push_str("(local.get 0))");
    }
    text.push_str("(func (export \"_start\")))");
    let module = wat(&text);
    let sandbox = WasmSandbox::new(config());
    let cold = sandbox.execute(&module, b"").unwrap();

    let warm = sandbox.execute(&module, b"").unwrap();

    assert_eq!(warm.exit, Exit::Exited(0));
    assert_eq!(warm.usage.fuel_consumed, cold.usage.fuel_consumed);
    assert!(warm.execution_time() * 5 < cold.execution_time(), "{warm:?} {cold:?}");
}

#[test]
fn w5_a_module_that_ran_with_its_imports_is_refused_by_a_sandbox_without_them() {
    let module = wat(HELLO);
    assert!(WasmSandbox::new(with_wasi(config())).execute(&module, b"").unwrap().success());

    let outcome = WasmSandbox::new(config()).execute(&module, b"").unwrap();

    assert!(matches!(outcome.exit, Exit::ImportRefused(_)));
}

#[test]
fn l5_nothing_of_one_run_is_seen_by_the_next() {
    // Returns what memory and a global held, and changes both.
    let module = wat(r#"(module (memory 1) (global $g (mut i32) (i32.const 0))
             (func (export "main") (result i32)
               (i32.load (i32.const 0)) (global.get $g) (i32.add)
               (i32.store (i32.const 0) (i32.const 5)) (global.set $g (i32.const 9))))"#);
    let sandbox = WasmSandbox::new(config());

    for _ in 0..20 {
        assert_eq!(sandbox.execute(&module, b"").unwrap().exit, Exit::Exited(0));
    }
}

#[test]
fn w2_few_bytes_that_ask_for_much_are_refused_before_they_are_compiled() {
    let mut locals = String::from("(module");
    let many = format!("(local{})", " i32".repeat(40_000));
    for _ in 0..30 {
        locals.push_str(&format!("(func {many})"));
    }
    locals.push(')');
    let values = format!("(module (type (func (param{}))))", " i32".repeat(200));

    for (text, word) in [(locals, "local variables"), (values, "parameters")] {
        let problem = problem(&wat(&text));

        assert!(problem.contains(word), "{problem}");
    }
}
