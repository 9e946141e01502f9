//! The receipt of a WASM run: what held, and by what.

use super::Settings;
use super::engine::{FUEL_SLICE, WASM_STACK};
use crate::sandbox::outcome::{Enforcement, Protection};

/// What is enforced under `settings` for a module with these imports.
pub(super) fn receipt(settings: &Settings, has_imports: bool) -> Enforcement {
    let mut receipt = Enforcement::default();
    let isolation = if has_imports {
        "the imports on allowed_imports are its only way out"
    } else {
        "no import is satisfied, so there is no way out of its linear memory"
    };
    for protection in
        [Protection::Network, Protection::Descriptors, Protection::Processes, Protection::Syscalls]
    {
        receipt.enforced(protection, isolation);
    }
    receipt.enforced(Protection::Filesystem, filesystem(settings, isolation));
    let variables = settings.grants.environment.len();
    receipt.enforced(
        Protection::Environment,
        if variables == 0 {
            isolation.to_owned()
        } else {
            format!("the {variables} granted variables are all there are")
        },
    );

    receipt.enforced(
        Protection::Imports,
        "compared by module, name, kind and type before anything runs",
    );
    receipt.enforced(
        Protection::Memory,
        format!(
            "a limiter that counts all memories together; calls are limited to {WASM_STACK} bytes \
             of stack"
        ),
    );
    let compiling = match settings.compiler.get_program() {
        Some(_) => "a large module is compiled in a process of its own, which is killed",
        None => "a compilation whose time is up goes on behind the run, for seconds at most",
    };
    receipt.enforced(
        Protection::Timeout,
        format!(
            "the clock is looked at every {FUEL_SLICE} instructions and at every host call; \
             {compiling}"
        ),
    );
    receipt.enforced(Protection::Output, "captured by the host, cut at the cap");
    match settings.max_fuel {
        Some(_) => receipt.enforced(Protection::Fuel, "instructions compiled into the guest"),
        None => {
            receipt.off(Protection::Fuel, "max_fuel is none: the wall clock alone ends the run")
        }
    }
    receipt.off(Protection::CpuTime, "fuel and the wall clock bound a WASM guest");
    receipt.enforced(Protection::MaxProcesses, "a module has one thread and can start nothing");
    if settings.grants.directories.iter().any(|directory| directory.writable) {
        receipt.missing(
            Protection::FileSize,
            "files in a granted directory grow as far as fuel and time last",
        );
    } else {
        receipt.enforced(Protection::FileSize, "there is no file that the module can write");
    }
    receipt.enforced(Protection::Cleanup, "the guest is memory of this process, freed at its end");
    receipt
}

fn filesystem(settings: &Settings, isolation: &str) -> String {
    let directories = &settings.grants.directories;
    if directories.is_empty() {
        return isolation.to_owned();
    }
    let list: Vec<String> = directories
        .iter()
        .map(|directory| {
            let access = if directory.writable { "read-write" } else { "read-only" };
            format!("{} ({access})", directory.guest)
        })
        .collect();
    format!("paths are resolved below the granted directories alone: {}", list.join(", "))
}
