//! Closures over Rust's own number types, as functions that a module imports.

use std::fmt::Display;

use super::{HostCall, Returned, Signature, Value, ValueType};

/// A Rust type that goes over the boundary as one value.
pub trait HostValue: Copy + Send + Sync + 'static {
    /// The value's type.
    const TYPE: ValueType;
    /// Out of a value, if it is one of the type.
    fn from_value(value: Value) -> Option<Self>;
    /// As a value.
    fn into_value(self) -> Value;
}

macro_rules! host_value {
    ($($rust:ty: $kind:ident, $from:expr, $into:expr;)*) => {$(
        impl HostValue for $rust {
            const TYPE: ValueType = ValueType::$kind;

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$kind(value) => Some($from(value)),
                    _ => None,
                }
            }

            fn into_value(self) -> Value {
                Value::$kind($into(self))
            }
        }
    )*};
}

host_value! {
    i32: I32, std::convert::identity, std::convert::identity;
    u32: I32, i32::cast_unsigned, u32::cast_signed;
    i64: I64, std::convert::identity, std::convert::identity;
    u64: I64, i64::cast_unsigned, u64::cast_signed;
    f32: F32, std::convert::identity, std::convert::identity;
    f64: F64, std::convert::identity, std::convert::identity;
}

/// What a closure returns: nothing, a value, a tuple of values, or a `Result` of
/// these.
pub trait HostResults {
    /// The types of the values.
    fn types() -> Vec<ValueType>;
    /// The values, or the sentence of the error.
    fn into_values(self) -> Returned;
}

macro_rules! host_results {
    ($($results:ty: |$value:ident| [$($each:expr => $ty:ty),*], [$($generic:ident),*];)*) => {$(
        impl<$($generic: HostValue),*> HostResults for $results {
            fn types() -> Vec<ValueType> {
                vec![$(<$ty as HostValue>::TYPE),*]
            }

            fn into_values(self) -> Returned {
                let $value = self;
                Ok(vec![$(HostValue::into_value($each)),*])
            }
        }

        impl<$($generic: HostValue,)* Problem: Display> HostResults for Result<$results, Problem> {
            fn types() -> Vec<ValueType> {
                <$results as HostResults>::types()
            }

            fn into_values(self) -> Returned {
                self.map_err(|problem| problem.to_string())?.into_values()
            }
        }
    )*};
}

host_results! {
    (): |_value| [], [];
    i32: |value| [value => i32], [];
    u32: |value| [value => u32], [];
    i64: |value| [value => i64], [];
    u64: |value| [value => u64], [];
    f32: |value| [value => f32], [];
    f64: |value| [value => f64], [];
    (A,): |value| [value.0 => A], [A];
    (A, B): |value| [value.0 => A, value.1 => B], [A, B];
    (A, B, C): |value| [value.0 => A, value.1 => B, value.2 => C], [A, B, C];
    (A, B, C, D): |value| [value.0 => A, value.1 => B, value.2 => C, value.3 => D], [A, B, C, D];
}

/// A closure that can stand behind an import: `Fn(&mut HostCall<'_>, A, B, …) -> R`
/// with up to eight [`HostValue`]s and a [`HostResults`].
pub trait HostFunction<Params, Results>: Send + Sync + 'static {
    /// The type a module has to import it with.
    fn signature(&self) -> Signature;
    /// Calls it with values of that type.
    ///
    /// # Errors
    ///
    /// What the closure says, or that the values are not of its type.
    fn call(&self, call: &mut HostCall<'_>, arguments: &[Value]) -> Returned;
}

macro_rules! host_function {
    ($(($($param:ident),*))*) => {$(
        impl<Closure, Results, $($param),*> HostFunction<($($param,)*), Results> for Closure
        where
            Closure: Fn(&mut HostCall<'_>, $($param),*) -> Results + Send + Sync + 'static,
            Results: HostResults,
            $($param: HostValue,)*
        {
            fn signature(&self) -> Signature {
                Signature { params: vec![$($param::TYPE),*], results: Results::types() }
            }

            #[allow(
                non_snake_case, unused_mut, unused_variables,
                reason = "a variable is named after its type; without any there is nothing to take"
            )]
            fn call(&self, call: &mut HostCall<'_>, arguments: &[Value]) -> Returned {
                let mut arguments = arguments.iter();
                $(
                    let $param = arguments
                        .next()
                        .and_then(|value| $param::from_value(*value))
                        .ok_or("it was called with values of another type")?;
                )*
                self(call, $($param),*).into_values()
            }
        }
    )*};
}

host_function! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, F)
    (A, B, C, D, E, F, G)
    (A, B, C, D, E, F, G, H)
}
