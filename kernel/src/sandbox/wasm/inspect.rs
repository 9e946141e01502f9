//! Tells what a module is and asks for, and runs nothing of it.

use serde::Serialize;
use wasmparser::{ExternalKind, Parser, Payload};

use super::intake::{self, Intake};
use super::prepared;
use crate::sandbox::error::{Error, Result};

/// Bytes of a page of linear memory.
const PAGE: u64 = 64 << 10;

/// What a module is and asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// Length of the module in bytes.
    pub bytes: u64,
    /// SHA-256 of the module, in hexadecimal.
    pub sha256: String,
    /// The export that a run calls; absent where there is nothing to call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// What has to be satisfied before anything runs.
    pub imports: Vec<Imported>,
    /// What the module offers.
    pub exports: Vec<Exported>,
    /// Its linear memories.
    pub memories: Vec<MemorySize>,
    /// The shortest list of `allowed_imports` under which it runs, entry by
    /// entry; absent where it asks for something that nobody provides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
}

/// One import of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Imported {
    /// The module it is looked for in.
    pub module: String,
    /// Its name there.
    pub name: String,
    /// `function`, `memory`, `table`, `global` or `tag`.
    pub kind: &'static str,
    /// Whether this sandbox has a function of that name to give.
    pub provided: bool,
}

/// One export of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Exported {
    /// Its name.
    pub name: String,
    /// `function`, `memory`, `table`, `global` or `tag`.
    pub kind: &'static str,
}

/// The size of one linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemorySize {
    /// Bytes in the beginning.
    pub initial: u64,
    /// Most bytes that the module itself sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<u64>,
}

/// Looks at `module` without compiling it.
///
/// # Errors
///
/// [`Error::Config`] for bytes that are no module this sandbox runs.
pub(super) fn inspect(module: &[u8]) -> Result<Inspection> {
    let Intake { imports, has_start, .. } = intake::inspect(module)?;
    let provided = prepared::provided_names()?;
    let imports: Vec<Imported> = imports
        .into_iter()
        .map(|import| Imported {
            provided: import.kind == intake::Kind::Function
                && provided.contains(&(import.module.clone(), import.name.clone())),
            kind: import.kind.name(),
            module: import.module,
            name: import.name,
        })
        .collect();
    let (exports, memories) = offers(module)?;

    let exported = |name: &str| {
        exports.iter().any(|export: &Exported| export.name == name && export.kind == "function")
    };
    let entry = ["_start", "main"].into_iter().find(|name| exported(name));
    let entry = entry.or(has_start.then_some("(start function)")).map(str::to_owned);
    let allow = imports.iter().all(|import| import.provided).then(|| {
        let mut entries: Vec<_> =
            imports.iter().map(|import| format!("{}.{}", import.module, import.name)).collect();
        entries.sort();
        entries.dedup();
        entries
    });
    Ok(Inspection {
        bytes: module.len() as u64,
        sha256: super::hash::hex(&super::cache::key(module)),
        entry,
        imports,
        exports,
        memories,
        allow,
    })
}

fn offers(module: &[u8]) -> Result<(Vec<Exported>, Vec<MemorySize>)> {
    let invalid = |error: wasmparser::Error| {
        Error::config(format!(
            "not a valid module: {} (at byte {})",
            error.message(),
            error.offset()
        ))
    };
    let mut exports = Vec::new();
    let mut memories = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(invalid)? {
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    exports.push(Exported {
                        name: export.name.to_owned(),
                        kind: match export.kind {
                            ExternalKind::Func | ExternalKind::FuncExact => "function",
                            ExternalKind::Table => "table",
                            ExternalKind::Memory => "memory",
                            ExternalKind::Global => "global",
                            ExternalKind::Tag => "tag",
                        },
                    });
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.map_err(invalid)?;
                    memories.push(MemorySize {
                        initial: memory.initial.saturating_mul(PAGE),
                        maximum: memory.maximum.map(|pages| pages.saturating_mul(PAGE)),
                    });
                }
            }
            _ => {}
        }
    }
    Ok((exports, memories))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_told_with_what_would_let_it_run() {
        let module = wat::parse_str(
            r#"(module
                 (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
                 (memory (export "memory") 2 3) (func (export "_start")))"#,
        )
        .unwrap();

        let found = inspect(&module).unwrap();

        assert_eq!(found.entry.as_deref(), Some("_start"));
        assert_eq!(found.memories, [MemorySize { initial: 131_072, maximum: Some(196_608) }]);
        assert_eq!(found.allow.unwrap(), ["wasi_snapshot_preview1.proc_exit"]);
        assert_eq!(found.exports.len(), 2);
    }

    #[test]
    fn a_module_that_nothing_would_let_run_is_told_so() {
        let module = wat::parse_str(r#"(module (import "env" "log" (func)))"#).unwrap();

        let found = inspect(&module).unwrap();

        assert_eq!(found.entry, None);
        assert_eq!(found.allow, None);
        assert!(!found.imports[0].provided);
    }
}
