//! Reads any text as a system-call profile, and compiles what can be read.

#![no_main]

use kernel::sandbox::Error;
use kernel::sandbox::seccomp::{
    Arch, Base, Explanation, Filter, Instruction, Kernel, Lint, Profile, Sockets, Target,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for arch in Arch::ALL {
        let target = Target { arch, kernel: Kernel::parse("6.18") };
        match Profile::read_for(text, target) {
            Ok(profile) => compile(&profile),
            Err(error) => explained(&error),
        }
    }
});

fn compile(profile: &Profile) {
    for base in [Base::Namespace(Sockets::Internet), Base::Process(Sockets::Unix)] {
        match Filter::combined(base, profile) {
            Ok(filter) => well_formed(filter.instructions()),
            Err(error) => explained(&error),
        }
        if let Ok(explanation) = Explanation::of(base, profile) {
            assert!(!explanation.to_string().is_empty());
        }
    }
    if let Ok(lint) = Lint::of(profile) {
        assert!(!lint.to_string().contains('\u{1b}'));
    }
}

/// What the kernel checks: a length, jumps that land inside, an end.
fn well_formed(program: &[Instruction]) {
    assert!((1..=4096).contains(&program.len()));
    for (at, Instruction { code, jt, jf, k }) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        match code & 0x07 {
            0x05 if *code == 0x05 => assert!((*k as usize) < left),
            0x05 => assert!(usize::from(*jt.max(jf)) < left),
            0x06 => {}
            _ => assert!(left > 0),
        }
    }
}

fn explained(error: &Error) {
    match error {
        Error::Config { problems } => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(!problem.contains(char::is_control), "{problem:?}");
            }
        }
        Error::Unsupported { .. } => assert!(!error.to_string().contains(char::is_control)),
        other => panic!("{other}"),
    }
}
