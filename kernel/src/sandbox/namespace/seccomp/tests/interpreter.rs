//! Classic BPF as the kernel's seccomp runs it, no faster than it must be.

use super::super::compile::{
    AND, Instruction, JUMP, JUMP_ANY_OF, JUMP_AT_LEAST, JUMP_EQUAL, JUMP_GREATER, LOAD,
    MOST_INSTRUCTIONS, RETURN,
};
use super::super::rule::Action;
use super::super::tree::Call;

/// The verdict of `program` on `call`.
///
/// Panics on a program that the kernel would not take: one that is too long,
/// jumps past its end or reads beside `seccomp_data`.
pub(super) fn run(program: &[Instruction], call: &Call) -> Action {
    interpret(program, call).0
}

/// How many instructions lead to it.
pub(super) fn steps(program: &[Instruction], call: &Call) -> usize {
    interpret(program, call).1
}

fn interpret(program: &[Instruction], call: &Call) -> (Action, usize) {
    assert!(!program.is_empty() && program.len() <= MOST_INSTRUCTIONS);
    let data = seccomp_data(call);
    let mut accumulator = 0;
    let mut at = 0;
    let mut steps = 0;
    loop {
        steps += 1;
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let mut skip = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            LOAD => accumulator = data[k as usize / 4],
            AND => accumulator &= k,
            JUMP => at += k as usize,
            JUMP_EQUAL => skip(accumulator == k),
            JUMP_GREATER => skip(accumulator > k),
            JUMP_AT_LEAST => skip(accumulator >= k),
            JUMP_ANY_OF => skip(accumulator & k != 0),
            RETURN => return (action(k), steps),
            other => panic!("operation {other:#x}"),
        }
    }
}

/// `struct seccomp_data` on a little-endian machine, word by word.
fn seccomp_data(call: &Call) -> [u32; 16] {
    let mut data = [0; 16];
    data[0] = call.number;
    data[1] = call.arch;
    for (index, argument) in call.arguments.iter().enumerate() {
        data[4 + 2 * index] = u32::try_from(argument & 0xffff_ffff).unwrap();
        data[5 + 2 * index] = u32::try_from(argument >> 32).unwrap();
    }
    data
}

fn action(value: u32) -> Action {
    match (value & 0xffff_0000, u16::try_from(value & 0xffff).unwrap()) {
        (0x7fff_0000, 0) => Action::Allow,
        (0x7ffc_0000, 0) => Action::Log,
        (0x0005_0000, errno) => Action::Errno(errno),
        (0x0003_0000, 0) => Action::Trap,
        (0, 0) => Action::KillThread,
        (0x8000_0000, 0) => Action::KillProcess,
        other => panic!("return value {other:x?}"),
    }
}
