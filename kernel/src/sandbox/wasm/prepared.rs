//! A module on its way from bytes to something that can be called: looked at,
//! its imports compared, compiled, linked, its entry point found.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, OnceLock};

use wasmtime::{Engine, ExternType, FuncType, InstancePre, Linker, Module, Store, ValType};

use super::cache::{self, Cache};
use super::drive::{Stop, Watch};
use super::guest::Guest;
use super::imports::{self, Refused};
use super::intake::{self, Import, Intake, Kind};
use super::{Settings, compile, engine, hosted, limits, wasi};
use crate::sandbox::error::{Error, Result};

/// Machine code that is kept for modules that come again.
const CACHED_BYTES: usize = 256 << 20;

static CACHE: LazyLock<Cache<Prepared>> = LazyLock::new(|| Cache::new(CACHED_BYTES));

/// A module that can be instantiated at once.
pub(super) struct Prepared {
    pub(super) instance: InstancePre<Guest>,
    pub(super) entry: Entry,
    imports: Vec<Import>,
}

/// What came of a module.
pub(super) enum Preparation {
    /// It can run.
    Ready(Arc<Prepared>),
    /// It asks for imports that it does not get.
    Refused(Vec<Refused>),
    /// A limit was reached before it ran.
    Stopped(Stop),
}

impl Prepared {
    pub(super) fn has_imports(&self) -> bool {
        !self.imports.is_empty()
    }
}

/// Prepares `bytes`, or takes what an earlier run with the same bytes prepared.
///
/// # Errors
///
/// [`Error::Config`] for bytes that are no module we run.
pub(super) fn prepare(settings: &Settings, bytes: &[u8], watch: &Watch) -> Result<Preparation> {
    let engine = engine::shared()?;
    let linker = linker(engine)?;
    let key = cache::key(bytes);
    if !settings.host_functions.is_empty() {
        return prepare_hosted(settings, bytes, &key, watch);
    }
    if let Some(prepared) = CACHE.get(&key) {
        let refused = refused(engine, linker, &prepared.imports, settings);
        return Ok(if refused.is_empty() {
            Preparation::Ready(prepared)
        } else {
            Preparation::Refused(refused)
        });
    }

    let Intake { imports, has_start, table_elements } = intake::inspect(bytes)?;
    let refused = refused(engine, linker, &imports, settings);
    if !refused.is_empty() {
        return Ok(Preparation::Refused(refused));
    }
    if let Some(stop) = limits::too_many_elements(table_elements) {
        return Ok(Preparation::Stopped(stop));
    }
    let module = match compile::compile(&settings.compiler, engine, bytes, &key, watch)? {
        Ok(module) => module,
        Err(stop) => return Ok(Preparation::Stopped(stop)),
    };
    let entry = Entry::of(&module, has_start)?;
    let instance = match linker.instantiate_pre(&module) {
        Ok(instance) => instance,
        Err(error) => {
            let refused = wrong_types(engine, linker, &module, settings);
            if refused.is_empty() {
                return Err(Error::config(format!("the module cannot be linked: {error:#}")));
            }
            return Ok(Preparation::Refused(refused));
        }
    };
    let size = code_size(&module);
    Ok(Preparation::Ready(CACHE.insert(key, Prepared { instance, entry, imports }, size)))
}

/// A module for which the application provides functions. Its machine code is
/// kept like any other's; what it is linked with is this sandbox's own.
struct Unlinked {
    module: Module,
    entry: Entry,
    imports: Vec<Import>,
}

static UNLINKED: LazyLock<Cache<Unlinked>> = LazyLock::new(|| Cache::new(CACHED_BYTES));

fn prepare_hosted(
    settings: &Settings,
    bytes: &[u8],
    key: &cache::Key,
    watch: &Watch,
) -> Result<Preparation> {
    let engine = engine::shared()?;
    let wasi = linker(engine)?;
    let compiled = match UNLINKED.get(key) {
        Some(compiled) => {
            let refused = refused(engine, wasi, &compiled.imports, settings);
            if !refused.is_empty() {
                return Ok(Preparation::Refused(refused));
            }
            compiled
        }
        None => {
            let Intake { imports, has_start, table_elements } = intake::inspect(bytes)?;
            let refused = refused(engine, wasi, &imports, settings);
            if !refused.is_empty() {
                return Ok(Preparation::Refused(refused));
            }
            if let Some(stop) = limits::too_many_elements(table_elements) {
                return Ok(Preparation::Stopped(stop));
            }
            let module = match compile::compile(&settings.compiler, engine, bytes, key, watch)? {
                Ok(module) => module,
                Err(stop) => return Ok(Preparation::Stopped(stop)),
            };
            let entry = Entry::of(&module, has_start)?;
            let size = code_size(&module);
            UNLINKED.insert(*key, Unlinked { module, entry, imports }, size)
        }
    };

    let refused = wrong_types(engine, wasi, &compiled.module, settings);
    if !refused.is_empty() {
        return Ok(Preparation::Refused(refused));
    }
    let failed =
        |error: wasmtime::Error| Error::config(format!("the module cannot be linked: {error:#}"));
    let mut linker = wasi.clone();
    hosted::add(&mut linker, &settings.host_functions, engine, &compiled.module).map_err(failed)?;
    let instance = linker.instantiate_pre(&compiled.module).map_err(failed)?;
    let prepared = Prepared { instance, entry: compiled.entry, imports: compiled.imports.clone() };
    Ok(Preparation::Ready(Arc::new(prepared)))
}

fn code_size(module: &Module) -> usize {
    let code = module.image_range();
    (code.end as usize).saturating_sub(code.start as usize)
}

fn linker(engine: &Engine) -> Result<&'static Linker<Guest>> {
    static LINKER: OnceLock<Linker<Guest>> = OnceLock::new();
    if let Some(linker) = LINKER.get() {
        return Ok(linker);
    }
    let linker = wasi::linker(engine)?;
    Ok(LINKER.get_or_init(|| linker))
}

fn refused(
    engine: &Engine,
    linker: &Linker<Guest>,
    imports: &[Import],
    settings: &Settings,
) -> Vec<Refused> {
    imports::check(imports, &settings.allowed_imports, |module, name| {
        settings.host_functions.get(module, name).is_some()
            || provided(engine, linker, module, name).is_some()
    })
}

/// The type of a function that we provide.
fn provided(
    engine: &Engine,
    linker: &Linker<Guest>,
    module: &str,
    name: &str,
) -> Option<ExternType> {
    if module != wasi::MODULE {
        return None;
    }
    static TYPES: OnceLock<HashMap<String, ExternType>> = OnceLock::new();
    TYPES.get_or_init(|| types(engine, linker)).get(name).cloned()
}

/// `(module, name)` of all functions that we provide.
pub(super) fn provided_names() -> Result<HashSet<(String, String)>> {
    let engine = engine::shared()?;
    let types = types(engine, linker(engine)?);
    Ok(types.into_keys().map(|name| (wasi::MODULE.to_owned(), name)).collect())
}

/// The types of all functions that we provide.
fn types(engine: &Engine, linker: &Linker<Guest>) -> HashMap<String, ExternType> {
    let Ok(guest) = Guest::nobody() else { return HashMap::new() };
    let mut store = Store::new(engine, guest);
    let items: Vec<_> =
        linker.iter(&mut store).map(|(_, name, item)| (name.to_owned(), item)).collect();
    items.into_iter().map(|(name, item)| (name, item.ty(&store))).collect()
}

/// Imports whose type is not that of the function we provide.
fn wrong_types(
    engine: &Engine,
    linker: &Linker<Guest>,
    module: &Module,
    settings: &Settings,
) -> Vec<Refused> {
    let mut refused = Vec::new();
    for import in module.imports() {
        let (module, name) = (import.module(), import.name());
        let Some(theirs) = import.ty().func().cloned() else { continue };
        let difference = match settings.host_functions.get(module, name) {
            Some(hosted) => hosted::difference(engine, hosted, &theirs),
            None => match provided(engine, linker, module, name) {
                Some(ExternType::Func(ours)) if !FuncType::eq(&theirs, &ours) => {
                    Some(format!("a function of type {ours}"))
                }
                _ => None,
            },
        };
        if let Some(difference) = difference {
            let path =
                Import { module: module.to_owned(), name: name.to_owned(), kind: Kind::Function };
            refused.push(Refused::of_type(path, &difference));
        }
    }
    refused
}

/// What is called, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// An export.
    Export {
        name: &'static str,
        /// It takes the two `i32` of C's `main`, and not nothing.
        with_arguments: bool,
        /// It returns an `i32`, and not nothing.
        gives_code: bool,
    },
    /// The start function, which instantiation runs.
    Start,
}

impl Entry {
    fn of(module: &Module, has_start: bool) -> Result<Self> {
        for name in ["_start", "main"] {
            let Some(ExternType::Func(ty)) = module.get_export(name) else { continue };
            let is_i32 = |ty: ValType| matches!(ty, ValType::I32);
            let returns = ty.results().len() <= 1 && ty.results().all(is_i32);
            let gives_code = ty.results().len() == 1;
            return match (ty.params().len(), returns) {
                (0, true) => Ok(Self::Export { name, with_arguments: false, gives_code }),
                (2, true) if ty.params().all(is_i32) => {
                    Ok(Self::Export { name, with_arguments: true, gives_code })
                }
                _ => Err(Error::config(format!(
                    "the export `{name}` has type {ty}; an entry point takes nothing, or two i32 \
                     as C's main does, and returns nothing or an i32"
                ))),
            };
        }
        if has_start {
            return Ok(Self::Start);
        }
        Err(Error::config("the module exports neither `_start` nor `main`, so nothing can be run"))
    }
}
