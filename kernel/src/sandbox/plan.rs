//! What will be done, as data: print it, test it, diff it.

use std::fmt;

use super::outcome::Enforcement;

/// Which sandbox runs the guest: a closed set, dispatched by `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A process with limits.
    Process,
    /// Linux namespaces.
    Namespace,
    /// A WASM engine.
    Wasm,
}

impl Backend {
    /// The name in flags and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Namespace => "namespace",
            Self::Wasm => "wasm",
        }
    }
}

/// What will be done for one run.
///
/// Its `Display` is what `neuroflow explain` prints: one step a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Who does it.
    pub backend: Backend,
    /// The executable that was found, and its arguments.
    pub argv: Vec<String>,
    /// The steps in words, in their order, by the process that takes them.
    pub steps: Vec<PlannedStep>,
    /// The receipt this plan will come to.
    pub enforcement: Enforcement,
    /// One sentence for each default that is degraded on this host.
    pub warnings: Vec<String>,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// `host`, `launcher`, `init` or `guest`.
    pub process: &'static str,
    /// What it does: `mount proc on /proc`.
    pub action: String,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "run {:?} in the {} sandbox", self.argv, self.backend.name())?;
        writeln!(f, "\nsteps:")?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:4}  {:8}  {}", number + 1, step.process, step.action)?;
        }
        writeln!(f, "\nprotections:")?;
        for (protection, held) in self.enforcement.iter() {
            let state = format!("{:?}", held.state).to_lowercase();
            write!(f, "  {:16}  {state:8}", protection.name())?;
            if !held.by.is_empty() {
                write!(f, "  by {}", held.by)?;
            }
            if !held.why.is_empty() {
                write!(f, "  ({})", held.why)?;
            }
            writeln!(f)?;
        }
        for warning in &self.warnings {
            writeln!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}
