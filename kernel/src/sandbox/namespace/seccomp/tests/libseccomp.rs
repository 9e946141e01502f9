//! libseccomp by `dlopen`, so that it need not be installed to build.
#![expect(unsafe_code, reason = "calls into a C library, for tests alone")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;

use super::super::compile::Instruction;
use super::super::rule::{Action, Comparison, Condition, Rule};

/// `struct scmp_arg_cmp` of `seccomp.h`.
#[repr(C)]
struct Compared {
    argument: c_uint,
    operator: c_int,
    a: u64,
    b: u64,
}

type Init = unsafe extern "C" fn(u32) -> *mut c_void;
type Release = unsafe extern "C" fn(*mut c_void);
type AddRule = unsafe extern "C" fn(*mut c_void, u32, c_int, c_uint, *const Compared) -> c_int;
type Export = unsafe extern "C" fn(*const c_void, c_int) -> c_int;

/// The functions we need.
pub(super) struct Library {
    init: Init,
    release: Release,
    add_rule: AddRule,
    export: Export,
}

impl Library {
    /// # Errors
    ///
    /// Why the library cannot be used here.
    pub(super) fn open() -> Result<Self, String> {
        // SAFETY: the name is a C string, and the library's initialiser does
        // nothing but fill tables of its own.
        let handle = unsafe { libc::dlopen(c"libseccomp.so.2".as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            return Err("libseccomp.so.2 is not installed (apt-get install libseccomp2)".into());
        }
        let symbol = |name: &CStr| {
            // SAFETY: `handle` is an open library, which is never closed.
            let found = unsafe { libc::dlsym(handle, name.as_ptr().cast::<c_char>()) };
            if found.is_null() { Err(format!("libseccomp lacks {name:?}")) } else { Ok(found) }
        };
        let (init, release) = (symbol(c"seccomp_init")?, symbol(c"seccomp_release")?);
        let (add_rule, export) =
            (symbol(c"seccomp_rule_add_array")?, symbol(c"seccomp_export_bpf")?);
        Ok(Self {
            // SAFETY: the address is that of the function of this type in seccomp.h.
            init: unsafe { std::mem::transmute::<*mut c_void, Init>(init) },
            // SAFETY: as above.
            release: unsafe { std::mem::transmute::<*mut c_void, Release>(release) },
            // SAFETY: as above.
            add_rule: unsafe { std::mem::transmute::<*mut c_void, AddRule>(add_rule) },
            // SAFETY: as above.
            export: unsafe { std::mem::transmute::<*mut c_void, Export>(export) },
        })
    }

    /// The program for the native architecture.
    pub(super) fn compile(
        &self,
        otherwise: Action,
        rules: &BTreeMap<u32, Vec<Rule>>,
    ) -> Vec<Instruction> {
        // SAFETY: `SCMP_ACT_*` are the kernel's values, and any of them is one to start with.
        let context = unsafe { (self.init)(otherwise.code()) };
        assert!(!context.is_null());
        for (number, rules) in rules {
            // A rule with the default's action is an error to libseccomp, and
            // runtimes leave it out.
            for rule in rules.iter().filter(|rule| rule.action != otherwise) {
                let compared: Vec<Compared> = rule.conditions.iter().map(compared).collect();
                let number = c_int::try_from(*number).unwrap();
                let count = c_uint::try_from(compared.len()).unwrap();
                // SAFETY: the context is live and the array has `count` elements.
                let result = unsafe {
                    (self.add_rule)(context, rule.action.code(), number, count, compared.as_ptr())
                };
                // One rule may make another needless (-EEXIST).
                assert!(result == 0 || result == -libc::EEXIST, "rule for {number}: {result}");
            }
        }
        let mut file = tempfile::tempfile().unwrap();
        // SAFETY: the context is live and the descriptor is open for writing.
        let result = unsafe { (self.export)(context, file.as_raw_fd()) };
        assert_eq!(result, 0);
        // SAFETY: the context is live and not used again.
        unsafe { (self.release)(context) };
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
            .chunks_exact(8)
            .map(|record| Instruction {
                code: u16::from_ne_bytes([record[0], record[1]]),
                jt: record[2],
                jf: record[3],
                k: u32::from_ne_bytes([record[4], record[5], record[6], record[7]]),
            })
            .collect()
    }
}

fn compared(condition: &Condition) -> Compared {
    let (operator, a, b) = match condition.comparison {
        Comparison::NotEqual(value) => (1, value, 0),
        Comparison::Less(value) => (2, value, 0),
        Comparison::AtMost(value) => (3, value, 0),
        Comparison::Equal(value) => (4, value, 0),
        Comparison::AtLeast(value) => (5, value, 0),
        Comparison::Greater(value) => (6, value, 0),
        Comparison::Masked { mask, value } => (7, mask, value),
    };
    Compared { argument: condition.argument.into(), operator, a, b }
}
