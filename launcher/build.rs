//! Builds `src/program/main.rs`, which runs without libc and without std, and
//! leaves it in `OUT_DIR` for `include_bytes!`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

#[allow(clippy::disallowed_methods, reason = "a build script runs the compiler, not a guest")]
fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let program = out.join("neuroflow-launcher");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        std::fs::write(program, []).expect("write an empty program where there is no Linux");
        return;
    }
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-name", "neuroflow_launcher", "--target", &target]);
    // Always optimised, whatever the profile: debug code of `core` calls into
    // the unwinder, which is not there.
    command.args(["-Copt-level=2", "-Cpanic=abort", "-Ccodegen-units=1", "-Cstrip=symbols"]);
    command.args(["-Crelocation-model=static", "-Ctarget-feature=+crt-static"]);
    command.args(["-Cforce-unwind-tables=no", "-Coverflow-checks=off"]);
    for flag in
        ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-z,noexecstack"]
    {
        command.arg(format!("-Clink-arg={flag}"));
    }
    command.arg("src/program/main.rs").arg("-o").arg(&program);
    let status = command.status().expect("run rustc");
    assert!(status.success(), "rustc could not build the launcher: {status}");
}
