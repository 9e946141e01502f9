//! The first look at a module: a walk over its headers that costs little and
//! caps what everything after it may cost.
//!
//! Compiling is the one stage that neither fuel nor the clock can stop from
//! inside, and its cost is not linear in the module's size: one function of
//! 4 MiB takes 4 s and 0.4 GB, 90 000 types take 24 s and 1.9 GB; eight bytes can
//! declare 50 000 variables, and each branch to a block with a thousand results
//! carries a thousand values. The caps below
//! leave room for a CPython compiled to WebAssembly and keep the worst module
//! to seconds.

use wasmparser::{FunctionBody, Imports, Parser, Payload, TypeRef};

use super::limits;
use crate::sandbox::error::{Error, Result};

/// The caps on a module, in the words of the refusal.
#[derive(Clone, Copy, Debug)]
struct Cap {
    what: &'static str,
    most: u64,
}

const MODULE_BYTES: Cap = Cap { what: "bytes", most: super::MAX_MODULE_BYTES };
const CODE_BYTES: Cap = Cap { what: "bytes of code", most: 32 << 20 };
const BODY_BYTES: Cap = Cap { what: "bytes in one function", most: 1 << 20 };
const FUNCTIONS: Cap = Cap { what: "functions", most: 50_000 };
const TYPES: Cap = Cap { what: "types", most: 10_000 };
const TYPE_VALUES: Cap = Cap { what: "parameters and results in one type", most: 128 };
const LOCALS: Cap = Cap { what: "local variables", most: 1_000_000 };
const IMPORTS: Cap = Cap { what: "imports", most: 1_000 };
const EXPORTS: Cap = Cap { what: "exports", most: 50_000 };
const GLOBALS: Cap = Cap { what: "globals", most: 50_000 };
const TABLES: Cap = Cap { what: "tables", most: limits::TABLES as u64 };
const SEGMENTS: Cap = Cap { what: "element and data segments", most: 50_000 };

impl Cap {
    fn check(self, found: u64) -> Result<()> {
        if found <= self.most {
            return Ok(());
        }
        Err(Error::config(format!(
            "the module has {found} {}; this sandbox compiles at most {}",
            self.what, self.most
        )))
    }
}

/// The kind of thing an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Function,
    Table,
    Memory,
    Global,
    Tag,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Table => "table",
            Self::Memory => "memory",
            Self::Global => "global",
            Self::Tag => "tag",
        }
    }
}

/// One import, as the module asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) module: String,
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What the first look found.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) imports: Vec<Import>,
    pub(super) has_start: bool,
    /// Elements that its tables have from the start, together.
    pub(super) table_elements: u64,
}

/// Looks at `bytes` and refuses what is not a core module within the caps.
///
/// # Errors
///
/// [`Error::Config`], one sentence on what the bytes are instead.
pub(super) fn inspect(bytes: &[u8]) -> Result<Intake> {
    MODULE_BYTES.check(bytes.len() as u64)?;
    check_kind_of_bytes(bytes)?;

    let mut intake = Intake { imports: Vec::new(), has_start: false, table_elements: 0 };
    let mut segments = 0;
    let mut locals = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| malformed(&error, bytes))? {
            Payload::TypeSection(section) => {
                TYPES.check(section.count().into())?;
                for ty in section.into_iter_err_on_gc_types() {
                    let ty = ty.map_err(|error| malformed(&error, bytes))?;
                    TYPE_VALUES.check((ty.params().len() + ty.results().len()) as u64)?;
                }
            }
            Payload::ImportSection(section) => {
                IMPORTS.check(section.count().into())?;
                for group in section {
                    read_imports(&group.map_err(|error| malformed(&error, bytes))?, &mut intake)?;
                }
            }
            Payload::FunctionSection(section) => FUNCTIONS.check(section.count().into())?,
            Payload::TableSection(section) => {
                TABLES.check(section.count().into())?;
                for table in section {
                    let table = table.map_err(|error| malformed(&error, bytes))?;
                    intake.table_elements = intake.table_elements.saturating_add(table.ty.initial);
                }
            }
            Payload::GlobalSection(section) => GLOBALS.check(section.count().into())?,
            Payload::ExportSection(section) => EXPORTS.check(section.count().into())?,
            Payload::StartSection { .. } => intake.has_start = true,
            Payload::ElementSection(section) => {
                segments += u64::from(section.count());
                SEGMENTS.check(segments)?;
            }
            Payload::DataSection(section) => {
                segments += u64::from(section.count());
                SEGMENTS.check(segments)?;
            }
            Payload::CodeSectionStart { size, .. } => CODE_BYTES.check(size.into())?,
            Payload::CodeSectionEntry(body) => {
                BODY_BYTES.check(body.range().len() as u64)?;
                locals += locals_of(&body).map_err(|error| malformed(&error, bytes))?;
                LOCALS.check(locals)?;
            }
            _ => {}
        }
    }
    Ok(intake)
}

/// Variables that a function declares: a few bytes can ask for 50 000.
fn locals_of(body: &FunctionBody<'_>) -> wasmparser::Result<u64> {
    let mut count = 0;
    for group in body.get_locals_reader()? {
        count += u64::from(group?.0);
    }
    Ok(count)
}

fn read_imports(group: &Imports<'_>, intake: &mut Intake) -> Result<()> {
    // Groups of imports under one module name are a proposal that is off; the
    // validator would say so later, in words about bytes.
    let Imports::Single(_, import) = group else {
        return Err(Error::config("the module uses compact imports, a proposal that is off"));
    };
    let kind = match import.ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => Kind::Function,
        TypeRef::Table(_) => Kind::Table,
        TypeRef::Memory(_) => Kind::Memory,
        TypeRef::Global(_) => Kind::Global,
        TypeRef::Tag(_) => Kind::Tag,
    };
    intake.imports.push(Import {
        module: import.module.to_owned(),
        name: import.name.to_owned(),
        kind,
    });
    Ok(())
}

/// Tells a core module from everything else that people pass by mistake.
fn check_kind_of_bytes(bytes: &[u8]) -> Result<()> {
    const NATIVE: [&[u8]; 6] = [
        b"\x7fELF",
        b"MZ",
        b"\xfe\xed\xfa\xce",
        b"\xfe\xed\xfa\xcf",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
    ];
    let refuse = |sentence: &str| Err(Error::config(sentence));
    match bytes {
        [] => refuse("the module is empty: no bytes were given"),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, 0, 1, 0, ..] => refuse(
            "this is a component, not a core module; this sandbox runs core modules, \
             so build for wasm32-wasip1 or wasm32-unknown-unknown",
        ),
        [0, b'a', b's', b'm', _, _, _, _, ..] => {
            refuse("this is WebAssembly of a version other than 1, which this sandbox does not run")
        }
        [0, ..] if b"\0asm\x01\0\0\0".starts_with(bytes) => {
            refuse("the module is cut short inside its 8-byte header")
        }
        _ if NATIVE.iter().any(|magic| bytes.starts_with(magic)) => refuse(
            "this is native or precompiled code; this sandbox compiles WebAssembly modules \
             itself and never runs machine code that it is given",
        ),
        _ if looks_like_text(bytes) => refuse(
            "this is WebAssembly text or another text file; translate it first, \
             for instance with `wat2wasm`",
        ),
        _ => refuse("these bytes are not a WebAssembly module: they do not begin with `\\0asm`"),
    }
}

fn looks_like_text(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(256)];
    start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || *byte >= 0x80)
}

fn malformed(error: &wasmparser::Error, bytes: &[u8]) -> Error {
    let offset = error.offset();
    if error.message().contains("unexpected end") {
        return Error::config(format!(
            "the module is cut short: it ends after {} bytes, inside something that began \
             before byte {offset}",
            bytes.len()
        ));
    }
    Error::config(format!("not a valid module: {} (at byte {offset})", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> String {
        inspect(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_a_core_module_is_named() {
        assert!(problem(b"").contains("empty"));
        assert!(problem(b"(module)").contains("text"));
        assert!(problem(b"\0asm\x0d\0\x01\0").contains("component"));
        assert!(problem(b"\x7fELF\x02\x01\x01").contains("precompiled"));
        assert!(problem(b"\0asm\x01").contains("cut short"));
        assert!(problem(b"\0asm\x02\0\0\0").contains("version"));
        assert!(problem(b"\x93\x07\x00").contains("do not begin"));
    }

    #[test]
    fn every_truncation_of_a_module_is_refused_or_still_a_module() {
        let whole = wat::parse_str(
            r#"(module (import "env" "log" (func (param i32)))
                 (memory 1) (data (i32.const 0) "text")
                 (func (export "_start") (call 0 (i32.const 1))))"#,
        )
        .unwrap();

        for end in 0..whole.len() {
            match inspect(&whole[..end]) {
                Err(Error::Config { .. }) => {}
                // Cut between two sections it is a shorter module.
                Ok(_) => {}
                Err(other) => panic!("{end}: {other}"),
            }
        }
        assert!(problem(&whole[..whole.len() - 1]).contains("cut short"));
    }

    #[test]
    fn imports_are_read_with_their_kind() {
        let bytes = wat::parse_str(
            r#"(module (import "env" "f" (func)) (import "env" "m" (memory 1))
                 (import "env" "g" (global i32)) (import "env" "t" (table 1 funcref)))"#,
        )
        .unwrap();

        let kinds: Vec<_> =
            inspect(&bytes).unwrap().imports.into_iter().map(|import| import.kind).collect();

        assert_eq!(kinds, [Kind::Function, Kind::Memory, Kind::Global, Kind::Table]);
    }
}
