//! Which sandbox a run gets.

use kernel::sandbox::config::Isolation;
use kernel::sandbox::executor::SandboxExecutor;
use kernel::sandbox::host::Host;
use kernel::sandbox::{Error, Result, SandboxConfig};

use crate::args::{BackendChoice, SandboxArgs};

/// The sandbox that was chosen.
#[derive(Debug)]
pub struct Chosen {
    /// Runs the command.
    pub executor: SandboxExecutor,
    /// One sentence if it is weaker than the one that `auto` stands for.
    pub warning: Option<String>,
}

/// Chooses by name. `auto` is the namespace sandbox, or a refusal; with
/// `--allow-weaker` it is the process sandbox where `host` has no namespaces.
///
/// The host is looked at only then: finding out what it can do takes as long as
/// a run, and a run finds out by itself.
///
/// # Errors
///
/// [`Error::Unsupported`] for modules, which this program cannot run.
pub fn choose(
    flags: &SandboxArgs,
    config: SandboxConfig,
    host: impl FnOnce() -> &'static Host,
) -> Result<Chosen> {
    let strong = |executor| Ok(Chosen { executor, warning: None });
    match flags.backend {
        BackendChoice::Process => strong(SandboxExecutor::new_process(config)),
        BackendChoice::Auto if flags.allow_weaker && config.isolation == Isolation::Strict => {
            Ok(match &host().namespaces {
                Ok(()) => {
                    Chosen { executor: SandboxExecutor::new_namespace(config), warning: None }
                }
                Err(gate) => Chosen {
                    executor: SandboxExecutor::new_process(config),
                    warning: Some(format!(
                        "running in the weaker process sandbox, as `--allow-weaker` allows: {}",
                        gate.reason
                    )),
                },
            })
        }
        BackendChoice::Auto | BackendChoice::Namespace => {
            strong(SandboxExecutor::new_namespace(config))
        }
        BackendChoice::Wasm => Err(Error::Unsupported {
            feature: "the wasm sandbox".to_owned(),
            reason: "this program has no WASM engine in it".to_owned(),
            fix: "use `neuroflow wasm FILE.wasm`".to_owned(),
        }),
    }
}

/// Adds to a refusal for want of namespaces what `auto` could do instead.
#[must_use]
pub fn with_way_out(flags: &SandboxArgs, error: Error) -> Error {
    match error {
        Error::Unsupported { feature, reason, fix }
            if flags.backend == BackendChoice::Auto && feature == NAMESPACES =>
        {
            let instead = "`--allow-weaker` takes the process sandbox instead";
            let fix = if fix.is_empty() { instead.to_owned() } else { format!("{fix}; {instead}") };
            Error::Unsupported { feature, reason, fix }
        }
        error => error,
    }
}

/// The feature that a host without namespaces lacks.
const NAMESPACES: &str = "namespaces";

#[cfg(test)]
mod tests {
    use kernel::sandbox::Backend;
    use kernel::sandbox::host::Gate;

    use super::*;

    fn bare_host() -> &'static Host {
        Box::leak(Box::new(Host {
            namespaces: Err(Gate { reason: "closed in this test".into(), fix: "open it".into() }),
            cgroup2: Err(Gate::default()),
            landlock_abi: 0,
            seccomp: false,
            root: false,
        }))
    }

    fn flags(backend: BackendChoice, allow_weaker: bool) -> SandboxArgs {
        SandboxArgs { backend, allow_weaker, ..SandboxArgs::default() }
    }

    #[test]
    fn auto_takes_nothing_weaker_unless_it_is_allowed() {
        let refusing = flags(BackendChoice::Auto, false);
        let weaker = flags(BackendChoice::Auto, true);

        let strict = choose(&refusing, SandboxConfig::default(), bare_host).unwrap();
        let fallen = choose(&weaker, SandboxConfig::default(), bare_host).unwrap();

        assert_eq!(strict.executor.backend(), Backend::Namespace);
        assert_eq!(strict.warning, None);
        assert_eq!(fallen.executor.backend(), Backend::Process);
        assert!(fallen.warning.unwrap().contains("closed in this test"));
    }

    #[test]
    fn refusal_of_auto_names_the_way_out_and_that_of_a_named_back_end_does_not() {
        let refusal = || Error::Unsupported {
            feature: NAMESPACES.into(),
            reason: "closed".into(),
            fix: "open it".into(),
        };

        let auto = with_way_out(&flags(BackendChoice::Auto, false), refusal());
        let named = with_way_out(&flags(BackendChoice::Namespace, false), refusal());

        let way_out = "open it; `--allow-weaker` takes the process sandbox instead";
        assert_eq!(auto.fix(), Some(way_out));
        assert_eq!(named.fix(), Some("open it"));
    }
}
