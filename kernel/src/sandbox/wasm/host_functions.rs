//! Functions of the application that a module may import.
//!
//! Here is what an application writes: names, types, closures. [`call`] is what a
//! closure sees of its guest, [`typed`] makes closures of Rust's own types fit,
//! and `hosted` puts them behind the imports of a module.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

mod call;
mod typed;

#[cfg(feature = "wasm")]
pub(super) use call::Side;
pub use call::{AccessError, HostCall};
pub use typed::{HostFunction, HostResults, HostValue};

use super::WASI_MODULES;

/// The type of one value that goes over the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// 32 bits; whether they have a sign is up to those who read them.
    I32,
    /// 64 bits.
    I64,
    /// A float of 32 bits.
    F32,
    /// A float of 64 bits.
    F64,
}

/// One value that goes over the boundary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// 32 bits, read as a signed number.
    I32(i32),
    /// 64 bits, read as a signed number.
    I64(i64),
    /// A float of 32 bits.
    F32(f32),
    /// A float of 64 bits.
    F64(f64),
}

impl Value {
    /// Its type.
    #[must_use]
    pub fn ty(self) -> ValueType {
        match self {
            Self::I32(_) => ValueType::I32,
            Self::I64(_) => ValueType::I64,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
        }
    }
}

/// The type of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// What it takes.
    pub params: Vec<ValueType>,
    /// What it gives back.
    pub results: Vec<ValueType>,
}

/// What a function gives back, or the sentence that ends the run.
pub type Returned = std::result::Result<Vec<Value>, String>;

/// Functions of the application, by the names under which modules import them.
///
/// Providing a function does not allow it: it has to be on `allowed_imports` as
/// well, and it has to be a function of the type that the module asks for. All
/// of that is compared before anything of the module runs.
///
/// - An error that a function returns, and a panic, end the run with
///   [`Exit::Trap`](crate::sandbox::Exit::Trap), whose text names the import and
///   says what the error says.
/// - The time inside counts: a run whose deadline passes in a function is
///   [`Exit::TimedOut`](crate::sandbox::Exit::TimedOut) as soon as the function
///   returns. For one that may take long, see [`blocking`](Self::blocking).
/// - A call costs fuel as every host call does, and each byte that it reads or
///   writes in the guest's memory costs a unit.
///
/// ```
/// # #[cfg(feature = "wasm")] {
/// use kernel::sandbox::wasm::{HostCall, HostFunctions};
/// use kernel::sandbox::{Exit, WasmSandbox, WasmSandboxConfig};
///
/// let functions = HostFunctions::new()
///     .function("env", "add", |_: &mut HostCall<'_>, a: i32, b: i32| a + b)
///     .function("env", "log", |call: &mut HostCall<'_>, at: u32, len: u32| {
///         call.read_text(at, len).map(|line| eprintln!("guest: {line}"))
///     });
/// let config = WasmSandboxConfig {
///     allowed_imports: vec!["env.add".into(), "env.log".into()],
///     ..WasmSandboxConfig::default()
/// };
/// let sandbox = WasmSandbox::new(config).with_host_functions(functions);
///
/// let module = wat::parse_str(
///     r#"(module (import "env" "add" (func $add (param i32 i32) (result i32)))
///          (func (export "main") (result i32) (call $add (i32.const 3) (i32.const 4))))"#,
/// )?;
/// assert_eq!(sandbox.execute(&module, b"")?.exit, Exit::Exited(7));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct HostFunctions(Arc<Table>);

/// Shared by all who run modules under the same functions.
#[derive(Clone, Default)]
struct Table {
    functions: BTreeMap<(String, String), Arc<Hosted>>,
    twice: Vec<String>,
}

/// One function of the application.
#[cfg_attr(not(feature = "wasm"), expect(dead_code, reason = "called by the engine alone"))]
pub(super) struct Hosted {
    /// Absent where it takes whatever type the module imports it with.
    pub(super) signature: Option<Signature>,
    pub(super) body: Body,
}

/// What is called, and where.
#[cfg_attr(not(feature = "wasm"), expect(dead_code, reason = "called by the engine alone"))]
pub(super) enum Body {
    /// On the thread of the guest.
    Inline(Box<Inline>),
    /// On a thread of its own.
    Blocking(Arc<Blocking>),
}

type Inline = dyn Fn(&mut HostCall<'_>, &[Value]) -> Returned + Send + Sync;
type Blocking = dyn Fn(HostCall<'static>, Vec<Value>) -> Returned + Send + Sync;

impl HostFunctions {
    /// No function at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a closure over `i32`, `u32`, `i64`, `u64`, `f32` and `f64`: it takes a
    /// [`HostCall`] and up to eight of these, and returns nothing, one, or a tuple
    /// of these, or a `Result` of that with any error that can be displayed.
    ///
    /// It runs on the guest's thread, and while it does nobody looks at the clock.
    #[must_use]
    pub fn function<Params, Results>(
        self,
        module: impl Into<String>,
        name: impl Into<String>,
        function: impl HostFunction<Params, Results>,
    ) -> Self {
        let signature = Some(function.signature());
        let body = Body::Inline(Box::new(move |call, arguments| function.call(call, arguments)));
        self.with(module.into(), name.into(), Hosted { signature, body })
    }

    /// Like [`function`](Self::function), for one that may take long: it runs on
    /// another thread. The run ends at its deadline and when it is killed,
    /// whatever the function does; one that is still at work is left behind, finds
    /// that the guest is gone, and what it returns is thrown away. Such a thread
    /// ends when the function does: one that never returns is never freed.
    ///
    /// A call costs two changes of thread, some ten microseconds.
    #[must_use]
    pub fn blocking<Params, Results>(
        self,
        module: impl Into<String>,
        name: impl Into<String>,
        function: impl HostFunction<Params, Results>,
    ) -> Self {
        let signature = Some(function.signature());
        self.blocking_any(module, name, signature, move |mut call, arguments| {
            function.call(&mut call, &arguments)
        })
    }

    /// Adds a function whose type is known only when the program runs. Without a
    /// `signature` it takes whatever the module imports it as.
    #[must_use]
    pub fn any(
        self,
        module: impl Into<String>,
        name: impl Into<String>,
        signature: Option<Signature>,
        function: impl Fn(&mut HostCall<'_>, &[Value]) -> Returned + Send + Sync + 'static,
    ) -> Self {
        let body = Body::Inline(Box::new(function));
        self.with(module.into(), name.into(), Hosted { signature, body })
    }

    /// Like [`any`](Self::any), on another thread, as for
    /// [`blocking`](Self::blocking). The call may be kept: once it is over, it
    /// reaches nothing.
    #[must_use]
    pub fn blocking_any(
        self,
        module: impl Into<String>,
        name: impl Into<String>,
        signature: Option<Signature>,
        function: impl Fn(HostCall<'static>, Vec<Value>) -> Returned + Send + Sync + 'static,
    ) -> Self {
        let body = Body::Blocking(Arc::new(function));
        self.with(module.into(), name.into(), Hosted { signature, body })
    }

    /// The names of all functions, as `allowed_imports` writes them.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.functions.keys().map(|(module, name)| format!("{module}.{name}"))
    }

    fn with(mut self, module: String, name: String, hosted: Hosted) -> Self {
        let key = (module, name);
        let table = Arc::make_mut(&mut self.0);
        if table.functions.contains_key(&key) {
            table.twice.push(format!("{}.{}", key.0, key.1));
        }
        table.functions.insert(key, Arc::new(hosted));
        self
    }

    /// One sentence for each function that cannot be provided.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self
            .0
            .twice
            .iter()
            .map(|path| format!("the host function `{path}` is defined twice"))
            .collect();
        for (module, name) in self.0.functions.keys() {
            if WASI_MODULES.contains(&module.as_str()) {
                problems.push(format!(
                    "the host function `{module}.{name}` would take the place of WASI's; \
                     give it a module name of its own"
                ));
            }
        }
        problems
    }
}

#[cfg(feature = "wasm")]
impl HostFunctions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.functions.is_empty()
    }

    pub(super) fn get(&self, module: &str, name: &str) -> Option<&Arc<Hosted>> {
        // A map of pairs of strings cannot be asked with a pair of slices.
        self.0.functions.get(&(module.to_owned(), name.to_owned()))
    }
}

impl fmt::Debug for HostFunctions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_in_the_place_of_wasi_or_of_another_is_told() {
        let functions = HostFunctions::new()
            .function("env", "f", |_: &mut HostCall<'_>| {})
            .function("env", "f", |_: &mut HostCall<'_>| {})
            .function("wasi_snapshot_preview1", "fd_write", |_: &mut HostCall<'_>| {});

        let problems = functions.problems();

        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("twice") && problems[1].contains("WASI"), "{problems:?}");
    }

    #[test]
    fn the_type_of_a_closure_is_that_of_the_function() {
        let functions = HostFunctions::new().function(
            "env",
            "f",
            |_: &mut HostCall<'_>, _: u32, _: f64| -> Result<(i64, f32), String> { Ok((1, 2.0)) },
        );

        let signature = functions.0.functions.values().next().unwrap().signature.clone().unwrap();

        assert_eq!(signature.params, [ValueType::I32, ValueType::F64]);
        assert_eq!(signature.results, [ValueType::I64, ValueType::F32]);
    }
}
