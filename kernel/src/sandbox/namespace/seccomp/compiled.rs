//! The filters that most runs have, compiled beforehand.
//!
//! Compiling one takes some 130 µs, as much as starting a small program; a
//! `neuroflow run` would pay for it each time. The tables are what the compiler
//! makes of `default.rs`, which a test compares; `NEUROFLOW_REGENERATE=1` has it
//! write them anew.

#[path = "compiled/aarch64.rs"]
mod aarch64;
#[path = "compiled/x86_64.rs"]
mod x86_64;

use super::base::{Base, Sockets};
use super::compile::Instruction;
use super::names::Arch;

/// The program of `base`, where there is one.
pub(super) fn program(base: Base, arch: Arch) -> Option<&'static [Instruction]> {
    match (base, arch) {
        (Base::Namespace(Sockets::Internet), Arch::X86_64) => Some(x86_64::NAMESPACE),
        (Base::Namespace(Sockets::Internet), Arch::Aarch64) => Some(aarch64::NAMESPACE),
        (Base::Process(Sockets::Internet), Arch::X86_64) => Some(x86_64::PROCESS),
        (Base::Process(Sockets::Internet), Arch::Aarch64) => Some(aarch64::PROCESS),
        _ => None,
    }
}

const fn i(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}
