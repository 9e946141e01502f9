//! Puts the application's functions behind the imports of a module.
//!
//! A function is the application's code, called with numbers that a stranger
//! chose: a panic in it must not pass through the guest's frames, and neither
//! what it returns nor how it fails may leave the run without a typed ending.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{
    AsContextMut, Caller, Engine, Extern, ExternType, FuncType, Linker, Memory, Module, Val,
    ValType,
};

use super::drive::Stop;
use super::guest::{Guest, charge};
use super::host_functions::{
    AccessError, Body, HostCall, HostFunctions, Hosted, Returned, Side, Signature, Value, ValueType,
};
use super::served;

/// Characters of a function's own words that the ending keeps: it may quote what
/// the guest handed it.
const MOST_WORDS: usize = 2000;

/// Adds to `linker` those of `functions` that `module` imports, each with the type
/// that it imports it with. What does not fit is left out, and is refused by name
/// when the module is linked.
pub(super) fn add(
    linker: &mut Linker<Guest>,
    functions: &HostFunctions,
    engine: &Engine,
    module: &Module,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    for import in module.imports() {
        let Some(hosted) = functions.get(import.module(), import.name()) else { continue };
        let ExternType::Func(wanted) = import.ty() else { continue };
        let Some(signature) = signature_of(&wanted) else { continue };
        if hosted.signature.as_ref().is_some_and(|ours| *ours != signature) {
            continue;
        }
        let path = format!("{}.{}", import.module(), import.name());
        let ty = type_of(engine, &signature);
        define(linker, import.module(), import.name(), ty, path, Arc::clone(hosted), signature)?;
    }
    Ok(())
}

/// How the type of a function differs from the one that `wanted` asks for, if so.
pub(super) fn difference(engine: &Engine, hosted: &Hosted, wanted: &FuncType) -> Option<String> {
    let Some(asked) = signature_of(wanted) else {
        return Some("a function over numbers, which this type is not".to_owned());
    };
    let ours = hosted.signature.as_ref().filter(|ours| **ours != asked)?;
    Some(format!("a function of type {}", type_of(engine, ours)))
}

fn define(
    linker: &mut Linker<Guest>,
    module: &str,
    name: &str,
    ty: FuncType,
    path: String,
    hosted: Arc<Hosted>,
    signature: Signature,
) -> wasmtime::Result<()> {
    match &hosted.body {
        Body::Inline(_) => {
            linker.func_new(module, name, ty, move |mut caller, arguments, results| {
                let Body::Inline(body) = &hosted.body else { return Ok(()) };
                let arguments = values_of(arguments)?;
                let returned = {
                    let mut call = HostCall::new(Direct::of(&mut caller));
                    guarded(|| body(&mut call, &arguments))
                };
                finish(&mut caller, &path, &signature, returned, results)
            })?;
        }
        Body::Blocking(body) => {
            let body = Arc::clone(body);
            let place = Arc::new((path, signature));
            linker.func_new_async(module, name, ty, move |mut caller, arguments, results| {
                let body = Arc::clone(&body);
                let place = Arc::clone(&place);
                Box::new(async move {
                    let arguments = values_of(arguments)?;
                    let time = caller.data().watch.clone();
                    let work = move |call| guarded(|| body(call, arguments));
                    let returned = served::call(Direct::of(&mut caller), time, work).await;
                    finish(&mut caller, &place.0, &place.1, returned, results)
                })
            })?;
        }
    }
    Ok(())
}

/// Calls the application's code; a panic becomes an error.
fn guarded(body: impl FnOnce() -> Returned) -> Returned {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|panic| Err(format!("it panicked: {}", words(&*panic))))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}

/// Hands `returned` to the guest, or ends the run.
fn finish(
    caller: &mut Caller<'_, Guest>,
    path: &str,
    signature: &Signature,
    returned: Returned,
    results: &mut [Val],
) -> wasmtime::Result<()> {
    // A limit that was reached in between ends the run, whatever was made of it.
    if let Some(stop) = caller.data().stop.clone().or_else(|| caller.data().watch.stop()) {
        return Err(caller.data_mut().end(stop));
    }
    let failed = |words: &str| {
        let end = words.char_indices().nth(MOST_WORDS).map_or(words.len(), |(at, _)| at);
        wasmtime::Error::msg(format!("the host function `{path}` failed: {}", &words[..end]))
    };
    let values = returned.map_err(|words| failed(&words))?;
    if !values.iter().map(|value| value.ty()).eq(signature.results.iter().copied()) {
        return Err(failed(&format!(
            "it returned {values:?}, where the module takes {:?}",
            signature.results
        )));
    }
    for (result, value) in results.iter_mut().zip(values) {
        *result = match value {
            Value::I32(value) => Val::I32(value),
            Value::I64(value) => Val::I64(value),
            Value::F32(value) => Val::F32(value.to_bits()),
            Value::F64(value) => Val::F64(value.to_bits()),
        };
    }
    Ok(())
}

fn values_of(values: &[Val]) -> wasmtime::Result<Vec<Value>> {
    values
        .iter()
        .map(|value| match value {
            Val::I32(value) => Ok(Value::I32(*value)),
            Val::I64(value) => Ok(Value::I64(*value)),
            Val::F32(bits) => Ok(Value::F32(f32::from_bits(*bits))),
            Val::F64(bits) => Ok(Value::F64(f64::from_bits(*bits))),
            // The type was compared: there are numbers alone.
            other => Err(wasmtime::Error::msg(format!("{other:?} is no number"))),
        })
        .collect()
}

/// The type as the application writes it; none for one with vectors or references.
fn signature_of(ty: &FuncType) -> Option<Signature> {
    let number = |ty: ValType| match ty {
        ValType::I32 => Some(ValueType::I32),
        ValType::I64 => Some(ValueType::I64),
        ValType::F32 => Some(ValueType::F32),
        ValType::F64 => Some(ValueType::F64),
        ValType::V128 | ValType::Ref(_) => None,
    };
    Some(Signature {
        params: ty.params().map(number).collect::<Option<_>>()?,
        results: ty.results().map(number).collect::<Option<_>>()?,
    })
}

fn type_of(engine: &Engine, signature: &Signature) -> FuncType {
    let number = |ty: &ValueType| match ty {
        ValueType::I32 => ValType::I32,
        ValueType::I64 => ValType::I64,
        ValueType::F32 => ValType::F32,
        ValueType::F64 => ValType::F64,
    };
    FuncType::new(engine, signature.params.iter().map(number), signature.results.iter().map(number))
}

/// The guest's side, on the guest's own thread.
pub(super) struct Direct<'a, 'b> {
    caller: &'a mut Caller<'b, Guest>,
    memory: Option<Memory>,
}

impl<'a, 'b> Direct<'a, 'b> {
    fn of(caller: &'a mut Caller<'b, Guest>) -> Self {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        Self { caller, memory }
    }

    fn memory(&self) -> Result<Memory, AccessError> {
        self.memory.ok_or(AccessError::NoMemory)
    }

    /// What lies at `at`: checked here again, since nothing else stands between
    /// the guest's numbers and the host's memory.
    fn range(&mut self, at: u32, len: usize) -> Result<&mut [u8], AccessError> {
        let memory = self.memory()?;
        let data = memory.data_mut(&mut *self.caller);
        let size = data.len() as u64;
        let start = at as usize;
        start
            .checked_add(len)
            .and_then(|end| data.get_mut(start..end))
            .ok_or(AccessError::OutOfBounds { at, len: len as u64, size })
    }
}

impl Side for Direct<'_, '_> {
    fn size(&mut self) -> Result<u64, AccessError> {
        Ok(self.memory()?.data_size(&*self.caller) as u64)
    }

    fn charge(&mut self, units: u64) -> Result<(), AccessError> {
        charge(&mut self.caller.as_context_mut(), units).map_err(|_| {
            // `charge` has said so; where it is the engine that failed, the run
            // must not go on either.
            self.caller.data_mut().stop.get_or_insert(Stop::Fuel);
            AccessError::OutOfFuel
        })
    }

    fn read(&mut self, at: u32, buffer: &mut [u8]) -> Result<(), AccessError> {
        buffer.copy_from_slice(self.range(at, buffer.len())?);
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), AccessError> {
        self.range(at, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn time_left(&mut self) -> Duration {
        self.caller.data().watch.left()
    }
}
