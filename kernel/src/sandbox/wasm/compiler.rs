//! Where modules are compiled, and whether the result is kept on disk.

use std::path::{Path, PathBuf};

/// Where modules are compiled, and whether the result is kept for later runs.
///
/// By default a module is compiled on a thread of this process. That thread
/// cannot be stopped: where the time of a run is up, it is left behind and goes
/// on until it is done, with two such threads at most on a machine of two
/// processors. A program that embeds this crate and takes modules from strangers
/// should name a [`program`](Self::program).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiler {
    program: Option<PathBuf>,
    cache: Option<PathBuf>,
}

impl Compiler {
    /// Compiles in a process of its own, which is killed when the time of the run
    /// is up and which has limits on memory and CPU time. `program` is a
    /// `neuroflow-wasm` of the same version.
    ///
    /// A small module is still compiled on a thread: it takes less time than the
    /// start of a process.
    #[must_use]
    pub fn program(mut self, program: impl AsRef<Path>) -> Self {
        self.program = Some(program.as_ref().to_owned());
        self
    }

    /// Keeps what was compiled in this directory, which is made if it is missing.
    /// It holds machine code that will be run as it is, so it must belong to
    /// this user and be closed to all others; one that is not is refused.
    #[must_use]
    pub fn cache(mut self, directory: impl AsRef<Path>) -> Self {
        self.cache = Some(directory.as_ref().to_owned());
        self
    }

    /// The program that compiles, if there is one.
    #[must_use]
    pub fn get_program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// The directory of what was compiled, if there is one.
    #[must_use]
    pub fn get_cache(&self) -> Option<&Path> {
        self.cache.as_deref()
    }
}
