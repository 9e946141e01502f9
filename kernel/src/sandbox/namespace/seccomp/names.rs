//! System-call names and numbers of the architectures we compile filters for.

#[path = "tables/aarch64.rs"]
mod aarch64;
#[path = "tables/elsewhere.rs"]
mod elsewhere;
#[path = "tables/x86_64.rs"]
mod x86_64;

use crate::sandbox::error::{Error, Result};

/// An architecture a filter can be compiled for, whatever machine compiles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// 64-bit x86; its 32-bit and x32 interfaces are closed.
    X86_64,
    /// 64-bit ARM; its 32-bit interface is closed.
    Aarch64,
}

impl Arch {
    /// Every architecture there is a table for.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The architecture this program was compiled for.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where we have no table of its system calls.
    pub fn native() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" if cfg!(target_pointer_width = "64") => Ok(Self::X86_64),
            "aarch64" if cfg!(target_endian = "little") => Ok(Self::Aarch64),
            other => Err(Error::unsupported(
                "enable_seccomp",
                format!("there is no table of the system calls of {other}"),
                "run on x86_64 or aarch64, or set `enable_seccomp: false`",
            )),
        }
    }

    /// What the kernel puts into `seccomp_data.arch` for a call through this
    /// architecture's own interface: `AUDIT_ARCH_*` of `linux/audit.h`.
    #[must_use]
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    /// The name in a profile's `architectures` and `archMap`.
    #[must_use]
    pub fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
        }
    }

    /// The name in a profile's `includes.arches` and `excludes.arches`, which
    /// are Go's names.
    #[must_use]
    pub fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// All calls of this architecture with their numbers, sorted by name.
    #[must_use]
    pub fn calls(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::X86_64 => x86_64::CALLS,
            Self::Aarch64 => aarch64::CALLS,
        }
    }

    /// The number of the call `name`.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        let calls = self.calls();
        calls.binary_search_by_key(&name, |(name, _)| name).ok().map(|at| calls[at].1)
    }

    /// The name of the call `number`.
    #[must_use]
    pub fn name(self, number: u32) -> Option<&'static str> {
        self.calls().iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
    }
}

/// Whether any architecture has, or had, a system call `name`.
#[must_use]
pub(super) fn exists_anywhere(name: &str) -> bool {
    Arch::ALL.iter().any(|arch| arch.number(name).is_some())
        || elsewhere::NAMES.binary_search(&name).is_ok()
}

/// The known name that `name` is most likely a misspelling of, if any is close.
#[must_use]
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // A long name is no slip of a known one, and comparing costs its length squared.
    const LONGEST: usize = 40;
    if name.len() > LONGEST {
        return None;
    }
    Arch::ALL
        .iter()
        .flat_map(|arch| arch.calls().iter().map(|(name, _)| *name))
        .chain(elsewhere::NAMES.iter().copied())
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_so_that_a_binary_search_finds_every_name() {
        for arch in Arch::ALL {
            assert!(arch.calls().is_sorted());
            for (name, number) in arch.calls() {
                assert_eq!(arch.number(name), Some(*number));
                assert_eq!(arch.name(*number), Some(*name), "two calls have one number");
            }
        }
        assert!(elsewhere::NAMES.is_sorted());
    }

    #[test]
    fn a_misspelt_name_is_told_its_nearest_neighbour() {
        assert_eq!(nearest("opennat"), Some("openat"));
        assert_eq!(nearest("getpidd"), Some("getpid"));
        assert_eq!(nearest("frobnicate_the_widget"), None);
    }

    #[test]
    fn calls_of_other_architectures_are_known_but_have_no_number_here() {
        for name in ["_llseek", "socketcall", "mmap2", "breakpoint", "s390_pci_mmio_read"] {
            assert!(exists_anywhere(name), "{name}");
            assert_eq!(Arch::X86_64.number(name), None, "{name}");
        }
        assert!(!exists_anywhere("frobnicate"));
    }
}
