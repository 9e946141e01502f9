//! Lets `NEUROFLOW_PORTABLE=1` build this crate as if the machine were no Linux.
//!
//! `RUSTFLAGS=--cfg=neuroflow_portable` does the same, but makes cargo rebuild
//! every dependency too, wasmtime first of all. This reaches only our own code.

fn main() {
    println!("cargo:rerun-if-env-changed=NEUROFLOW_PORTABLE");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("NEUROFLOW_PORTABLE").is_some_and(|value| value == "1") {
        println!("cargo:rustc-cfg=neuroflow_portable");
    }
}
