//! `neuroflow wasm …`: hands everything over to `neuroflow-wasm`.

use kernel::sandbox::Result;

use crate::args::WasmArgs;
use crate::sibling;

/// Becomes `neuroflow-wasm`; returns only if that is not possible.
///
/// # Errors
///
/// Those of [`sibling::hand_over`].
pub fn wasm(args: &WasmArgs) -> Result<()> {
    match sibling::hand_over(&args.args)? {}
}
