//! Functions of the application behind the imports of a module: what a hostile
//! module cannot make of them, and what an honest one can.
#![cfg(feature = "wasm")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use kernel::sandbox::wasm::{AccessError, HostCall, HostFunctions, Signature, Value, ValueType};
use kernel::sandbox::{Error, Exit, Killer, Outcome, WasmSandbox, WasmSandboxConfig};

fn config() -> WasmSandboxConfig {
    WasmSandboxConfig { allowed_imports: vec!["env.*".into()], ..WasmSandboxConfig::default() }
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn run(config: WasmSandboxConfig, functions: HostFunctions, text: &str) -> Outcome {
    WasmSandbox::new(config).with_host_functions(functions).execute(&wat(text), b"").unwrap()
}

/// A module that calls `env.f`, of type `ty`, and then does `rest` with what it
/// returned.
fn calling(ty: &str, arguments: &str, rest: &str) -> String {
    format!(
        r#"(module (import "env" "f" (func $f {ty})) (memory (export "memory") 1)
             (data (i32.const 16) "hello")
             (func (export "main") (result i32) {arguments} (call $f) {rest}))"#
    )
}

#[test]
fn values_of_every_type_go_in_and_come_out() {
    let functions = HostFunctions::new().function(
        "env",
        "f",
        |_: &mut HostCall<'_>, a: i32, b: u32, c: i64, d: u64, e: f32, f: f64| {
            (i64::from(a) + i64::from(b) + c + d.cast_signed(), f64::from(e) + f)
        },
    );
    let text = calling(
        "(param i32 i32 i64 i64 f32 f64) (result i64 f64)",
        "(i32.const -1) (i32.const -1) (i64.const -3) (i64.const 4) (f32.const 0.5) (f64.const 2)",
        "(i32.trunc_f64_s (f64.mul (f64.const 10))) (i32.wrap_i64 (i64.extend_i32_s)) (drop)
         (i64.sub (i64.const 0xffffffef)) (i32.wrap_i64)",
    );

    // -1 + 4294967295 - 3 + 4 - 4294967279
    assert_eq!(run(config(), functions, &text).exit, Exit::Exited(16));
}

#[test]
fn a_function_reads_and_writes_the_memory_of_its_guest() {
    let seen = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&seen);
    let functions = HostFunctions::new().function(
        "env",
        "f",
        move |call: &mut HostCall<'_>, at: u32, len: u32| -> Result<u64, AccessError> {
            *heard.lock().unwrap() = call.read_text(at, len)?;
            call.write(100, b"\x2a")?;
            call.memory_size()
        },
    );
    let text = calling(
        "(param i32 i32) (result i64)",
        "(i32.const 16) (i32.const 5)",
        "(i32.wrap_i64) (i32.add (i32.load8_u (i32.const 100)))",
    );

    let outcome = run(config(), functions, &text);

    assert_eq!(outcome.exit, Exit::Exited(65536 + 42));
    assert_eq!(*seen.lock().unwrap(), "hello");
}

/// Addresses and lengths that lie outside a memory of one page, as a guest would
/// write them.
const OUTSIDE: &[(i32, i32)] = &[
    (-1, 1),
    (-1, -1),
    (0, -1),
    (65536, 1),
    (65535, 2),
    (1, 65536),
    (i32::MIN, 1),
    (i32::MAX, i32::MAX),
    (i32::MIN, i32::MIN),
    (-4, 4),
    (-65536, 65537),
];

#[test]
fn w6_hostile_addresses_and_lengths_are_an_error_of_the_function_and_no_access() {
    for blocking in [false, true] {
        let read = |call: &mut HostCall<'_>, at: u32, len: u32| call.read(at, len).map(drop);
        let write = |call: &mut HostCall<'_>, at: u32, len: u32| {
            call.write(at, &vec![1; len.min(1 << 20) as usize])
        };
        let text = |call: &mut HostCall<'_>, at: u32, len: u32| call.read_text(at, len).map(drop);
        for which in 0..3 {
            let functions = HostFunctions::new();
            let functions = match (which, blocking) {
                (0, false) => functions.function("env", "f", read),
                (1, false) => functions.function("env", "f", write),
                (2, false) => functions.function("env", "f", text),
                (0, true) => functions.blocking("env", "f", read),
                (1, true) => functions.blocking("env", "f", write),
                _ => functions.blocking("env", "f", text),
            };
            for (at, len) in OUTSIDE {
                let arguments = format!("(i32.const {at}) (i32.const {len})");
                let module = calling("(param i32 i32)", &arguments, "(i32.const 0)");

                let outcome = run(config(), functions.clone(), &module);

                let Exit::Trap(message) = &outcome.exit else {
                    panic!("{at} {len} {which}: {:?}", outcome.exit)
                };
                assert!(message.contains("env.f"), "{message}");
                assert!(message.contains("memory of 65536 bytes"), "{message}");
            }
            // The same function with what is there.
            for (at, len) in [(0, 65536), (65535, 1), (65536, 0), (0, 0)] {
                let arguments = format!("(i32.const {at}) (i32.const {len})");
                let module = calling("(param i32 i32)", &arguments, "(i32.const 0)");

                let outcome = run(config(), functions.clone(), &module);

                assert_eq!(outcome.exit, Exit::Exited(0), "{at} {len}");
            }
        }
    }
}

#[test]
fn w6_no_more_of_the_host_is_taken_than_one_read_may_have() {
    let functions = HostFunctions::new().function(
        "env",
        "f",
        |call: &mut HostCall<'_>, len: u32| -> Result<u64, AccessError> {
            match call.read(0, len) {
                Err(AccessError::TooLong { most, .. }) => Ok(most.into()),
                other => other.map(|bytes| bytes.len() as u64),
            }
        },
    );
    let text = |len: u32| {
        format!(
            r#"(module (import "env" "f" (func $f (param i32) (result i64)))
                 (memory (export "memory") 512)
                 (func (export "main") (result i32) (i32.wrap_i64 (call $f (i32.const {len})))))"#
        )
    };
    let config = || WasmSandboxConfig { max_fuel: None, ..config() };

    let most: i32 = 16 << 20;
    assert_eq!(run(config(), functions.clone(), &text(16 << 20)).exit, Exit::Exited(most));
    assert_eq!(run(config(), functions.clone(), &text(32 << 20)).exit, Exit::Exited(most));
}

#[test]
fn w6_a_module_without_a_memory_is_told_so() {
    let functions = HostFunctions::new()
        .function("env", "f", |call: &mut HostCall<'_>| call.read(0, 1).map(drop));
    let text = r#"(module (import "env" "f" (func $f)) (func (export "_start") (call $f)))"#;

    let Exit::Trap(message) = run(config(), functions, text).exit else { panic!("no trap") };

    assert!(message.contains("no memory named `memory`"), "{message}");
}

#[test]
fn w4_errors_and_panics_are_traps_that_name_the_import_and_the_next_run_goes_on() {
    let calls = Arc::new(AtomicU32::new(0));
    for blocking in [false, true] {
        let counted = Arc::clone(&calls);
        let body = move |_: &mut HostCall<'_>, way: i32| -> Result<i32, String> {
            counted.fetch_add(1, Ordering::Relaxed);
            match way {
                0 => Ok(7),
                1 => Err("the disk is on fire".to_owned()),
                _ => panic!("at the {}", "disco"),
            }
        };
        let functions = HostFunctions::new();
        let functions = if blocking {
            functions.blocking("env", "f", body)
        } else {
            functions.function("env", "f", body)
        };
        let sandbox = WasmSandbox::new(config()).with_host_functions(functions);
        let ended = |way: i32| {
            let text = calling("(param i32) (result i32)", &format!("(i32.const {way})"), "");
            sandbox.execute(&wat(&text), b"").unwrap().exit
        };

        assert_eq!(ended(0), Exit::Exited(7));
        assert_eq!(
            ended(1),
            Exit::Trap("the host function `env.f` failed: the disk is on fire".into())
        );
        assert_eq!(
            ended(2),
            Exit::Trap("the host function `env.f` failed: it panicked: at the disco".into())
        );
        assert_eq!(ended(0), Exit::Exited(7));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 8);
}

#[test]
fn w4_what_a_function_says_of_its_guest_is_cut() {
    let functions =
        HostFunctions::new().function("env", "f", |_: &mut HostCall<'_>| -> Result<(), String> {
            Err("é".repeat(1 << 20))
        });

    let Exit::Trap(message) = run(config(), functions, &calling("", "", "(i32.const 0)")).exit
    else {
        panic!("no trap")
    };

    assert!(message.len() < 5000, "{}", message.len());
}

#[test]
fn w5_a_function_that_is_provided_and_not_allowed_is_refused_before_anything_runs() {
    let called = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&called);
    let functions = HostFunctions::new().function("env", "f", move |_: &mut HostCall<'_>| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let text = r#"(module (import "env" "f" (func $f)) (func $s (call $f)) (start $s)
                   (func (export "_start")))"#;
    let with = |allowed: &[&str]| WasmSandboxConfig {
        allowed_imports: allowed.iter().map(|entry| (*entry).to_owned()).collect(),
        ..WasmSandboxConfig::default()
    };

    for allowed in [&[] as &[&str], &["env.g"], &["env2.*"], &["env.ff"]] {
        let outcome = run(with(allowed), functions.clone(), text);

        assert_eq!(outcome.exit, Exit::ImportRefused(vec!["env.f".into()]), "{allowed:?}");
        assert_eq!(outcome.violations[0].fix, "allowed_imports: [env.f]");
        assert_eq!(called.load(Ordering::Relaxed), 0);
    }
    assert_eq!(run(with(&["env.f"]), functions, text).exit, Exit::Exited(0));
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

#[test]
fn w5_the_type_of_a_function_is_compared_before_anything_runs() {
    let functions = HostFunctions::new()
        .function("env", "start", |_: &mut HostCall<'_>| -> () { panic!("it ran") })
        .function("env", "f", |_: &mut HostCall<'_>, _: i32| -> i64 { 0 });
    for ty in [
        "",
        "(param i64) (result i64)",
        "(param i32)",
        "(param i32) (result i32)",
        "(param i32 i32) (result i64)",
        "(param i32) (result i64 i64)",
        "(param v128) (result i64)",
    ] {
        let text = format!(
            r#"(module (import "env" "start" (func $s)) (import "env" "f" (func {ty}))
                 (start $s) (func (export "_start")))"#
        );

        let outcome = run(config(), functions.clone(), &text);

        assert_eq!(outcome.exit, Exit::ImportRefused(vec!["env.f".into()]), "{ty}");
        let what = &outcome.violations[0].what;
        assert!(what.contains("function of type") || what.contains("numbers"), "{what}");
    }
}

#[test]
fn w5_another_kind_of_import_in_its_place_is_refused() {
    let functions = HostFunctions::new().function("env", "f", |_: &mut HostCall<'_>| {});
    for kind in ["(memory 1)", "(table 1 funcref)", "(global i32)"] {
        let text = format!(r#"(module (import "env" "f" {kind}) (func (export "_start")))"#);

        let outcome = run(config(), functions.clone(), &text);

        assert_eq!(outcome.exit, Exit::ImportRefused(vec!["env.f".into()]), "{kind}");
    }
}

#[test]
fn w5_one_sandbox_does_not_get_the_functions_of_another() {
    let module = wat(&calling("(result i32)", "", ""));
    let of = |value: i32| {
        let functions =
            HostFunctions::new().function("env", "f", move |_: &mut HostCall<'_>| value);
        WasmSandbox::new(config()).with_host_functions(functions)
    };
    let (one, two, none) = (of(1), of(2), WasmSandbox::new(config()));

    for _ in 0..2 {
        assert_eq!(one.execute(&module, b"").unwrap().exit, Exit::Exited(1));
        assert_eq!(two.execute(&module, b"").unwrap().exit, Exit::Exited(2));
        let refused = none.execute(&module, b"").unwrap().exit;
        assert_eq!(refused, Exit::ImportRefused(vec!["env.f".into()]));
    }
}

#[test]
fn a_function_without_a_signature_takes_what_the_module_imports() {
    let functions = HostFunctions::new()
        .any("env", "f", None, |_, arguments| Ok(arguments.iter().rev().copied().collect()));
    let text = calling(
        "(param i32 i64) (result i64 i32)",
        "(i32.const 3) (i64.const 4)",
        "(drop) (i32.wrap_i64)",
    );

    assert_eq!(run(config(), functions.clone(), &text).exit, Exit::Exited(4));

    let text = calling("(param i32) (result i64)", "(i32.const 3)", "(i32.wrap_i64)");
    let Exit::Trap(message) = run(config(), functions, &text).exit else { panic!("no trap") };
    assert!(message.contains("it returned [I32(3)], where the module takes [I64]"), "{message}");
}

#[test]
fn a_signature_that_is_known_at_run_time_is_compared_too() {
    let signature = Signature { params: vec![], results: vec![ValueType::I32] };
    let functions = HostFunctions::new()
        .blocking_any("env", "f", Some(signature), |_, _| Ok(vec![Value::I32(9)]));

    let outcome = run(config(), functions.clone(), &calling("(result i32)", "", ""));
    assert_eq!(outcome.exit, Exit::Exited(9));

    let outcome = run(config(), functions, &calling("(result i64)", "", "(i32.wrap_i64)"));
    assert_eq!(outcome.exit, Exit::ImportRefused(vec!["env.f".into()]));
}

#[test]
fn w1_time_inside_a_function_counts_against_the_deadline() {
    let nap = |_: &mut HostCall<'_>| thread::sleep(Duration::from_millis(20));
    let text = calling("", "(loop (call $f) (br 0)) (unreachable)", "(i32.const 0)");
    let short = WasmSandboxConfig { max_fuel: None, timeout_seconds: 0.1, ..config() };
    for functions in [
        HostFunctions::new().function("env", "f", nap),
        HostFunctions::new().blocking("env", "f", nap),
    ] {
        let outcome = run(short.clone(), functions, &text);

        assert_eq!(outcome.exit, Exit::TimedOut(Duration::from_millis(100)));
        assert!(
            outcome.usage.wall_ms < Duration::from_secs(2).into(),
            "{:?}",
            outcome.usage.wall_ms
        );
    }
}

#[test]
fn w1_a_function_that_does_not_return_does_not_hold_the_run() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let (tell, told) = std::sync::mpsc::channel();
    let functions = HostFunctions::new().blocking("env", "f", move |call: &mut HostCall<'_>| {
        let _ = held.lock().unwrap().recv();
        tell.send((call.read(0, 1), call.time_left())).unwrap();
    });
    let started = Instant::now();
    let short = WasmSandboxConfig { timeout_seconds: 0.2, ..config() };

    let outcome = run(short, functions, &calling("", "", "(i32.const 0)"));

    assert_eq!(outcome.exit, Exit::TimedOut(Duration::from_millis(200)));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    // Left behind, it finds nobody.
    drop(release);
    assert_eq!(told.recv().unwrap(), (Err(AccessError::Over), Duration::ZERO));
}

#[test]
fn l1_a_run_is_killed_while_it_waits_for_a_function() {
    let (began, begin) = std::sync::mpsc::channel();
    let functions = HostFunctions::new().blocking("env", "f", move |_: &mut HostCall<'_>| {
        let _ = began.send(());
        thread::sleep(Duration::from_secs(2));
    });
    let sandbox = WasmSandbox::new(config()).with_host_functions(functions);
    let killer = Killer::new();
    let other = {
        let killer = killer.clone();
        thread::spawn(move || {
            begin.recv().unwrap();
            killer.kill();
        })
    };
    let started = Instant::now();

    let module = wat(&calling("", "", "(i32.const 0)"));
    let outcome = sandbox.execute_with(&module, b"", &killer).unwrap();

    assert_eq!(outcome.exit, Exit::Signalled(9));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    other.join().unwrap();
}

#[test]
fn w1_fuel_alone_stops_a_guest_that_calls_functions() {
    let endless = calling("", "(loop (call $f) (br 0)) (unreachable)", "(i32.const 0)");
    let by_fuel =
        || WasmSandboxConfig { max_fuel: Some(20_000), timeout_seconds: 3600.0, ..config() };
    let nothing = HostFunctions::new().function("env", "f", |_: &mut HostCall<'_>| {});
    let threads = HostFunctions::new().blocking("env", "f", |_: &mut HostCall<'_>| {});
    // What it says of the error does not matter: there is no fuel to go on with.
    let reads = HostFunctions::new().function("env", "f", |call: &mut HostCall<'_>| {
        let _ = call.read(0, 65536);
    });
    let charges = HostFunctions::new().blocking("env", "f", |call: &mut HostCall<'_>| {
        let _ = call.charge(1 << 40);
    });

    for functions in [nothing, threads, reads, charges] {
        let outcome = run(by_fuel(), functions, &endless);

        assert_eq!(outcome.exit, Exit::OutOfFuel(20_000));
        assert_eq!(outcome.usage.fuel_consumed, Some(20_000));
    }
}

#[test]
fn w9_a_call_costs_the_same_on_either_kind_of_thread() {
    let body = |call: &mut HostCall<'_>, at: u32, len: u32| call.read(at, len).map(drop);
    let text = calling("(param i32 i32)", "(i32.const 16) (i32.const 5)", "(i32.const 0)");

    let inline = run(config(), HostFunctions::new().function("env", "f", body), &text);
    let other = run(config(), HostFunctions::new().blocking("env", "f", body), &text);

    assert!(inline.usage.fuel_consumed > Some(100));
    assert_eq!(inline.usage.fuel_consumed, other.usage.fuel_consumed);
}

#[test]
fn a_function_may_call_into_another_sandbox() {
    let inner = WasmSandbox::new(WasmSandboxConfig::default());
    let module = wat(r#"(module (func (export "main") (result i32) (i32.const 5)))"#);
    let functions = HostFunctions::new().function("env", "f", move |_: &mut HostCall<'_>| {
        match inner.execute(&module, b"").map(|outcome| outcome.exit) {
            Ok(Exit::Exited(code)) => Ok(code),
            other => Err(format!("{other:?}")),
        }
    });

    assert_eq!(run(config(), functions, &calling("(result i32)", "", "")).exit, Exit::Exited(5));
}

#[test]
fn l8_eight_runs_at_once_have_eight_guests() {
    let functions = HostFunctions::new().blocking(
        "env",
        "f",
        |call: &mut HostCall<'_>, at: u32| -> Result<i32, AccessError> {
            let before = call.read(at, 1)?[0];
            thread::sleep(Duration::from_millis(5));
            call.write(at, &[before + 1])?;
            Ok(before.into())
        },
    );
    let sandbox = WasmSandbox::new(config()).with_host_functions(functions);
    let module = wat(
        r#"(module (import "env" "f" (func $f (param i32) (result i32))) (memory (export "memory") 1)
             (func (export "main") (result i32) (local i32)
               (loop (drop (call $f (i32.const 7)))
                 (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 10))))
               (i32.load8_u (i32.const 7))))"#,
    );

    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                assert_eq!(sandbox.execute(&module, b"").unwrap().exit, Exit::Exited(10));
            });
        }
    });
}

#[test]
fn what_cannot_be_provided_is_an_error_before_anything_runs() {
    let functions = HostFunctions::new()
        .function("wasi_snapshot_preview1", "fd_write", |_: &mut HostCall<'_>| {})
        .function("env", "f", |_: &mut HostCall<'_>| {})
        .function("env", "f", |_: &mut HostCall<'_>| {});
    let sandbox = WasmSandbox::new(config()).with_host_functions(functions);

    let Err(Error::Config { problems }) = sandbox.execute(&wat("(module)"), b"") else {
        panic!("it was accepted")
    };

    assert_eq!(problems.len(), 2, "{problems:?}");
}
