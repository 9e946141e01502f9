//! What a test needs of the host, said first.

use std::fs::OpenOptions;
use std::io::Write as _;

use kernel::sandbox::host::Host;

/// Something a host may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// All namespaces, with a mount inside them.
    UserNamespaces,
    /// System-call filters.
    Seccomp,
    /// Landlock of any revision.
    Landlock,
    /// A delegated cgroup v2 subtree with memory and pids.
    Cgroup2,
    /// That the tests run as root.
    Root,
    /// A program on the PATH.
    Program(&'static str),
}

impl Need {
    /// The name in `NEUROFLOW_REQUIRE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserNamespaces => "userns",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::Cgroup2 => "cgroup2",
            Self::Root => "root",
            Self::Program(name) => name,
        }
    }

    /// Why this host does not have it, or `None` where it has.
    fn missing(self, host: &Host) -> Option<String> {
        match self {
            Self::UserNamespaces => host.namespaces.as_ref().err().map(|gate| gate.reason.clone()),
            Self::Cgroup2 => host.cgroup2.as_ref().err().map(|gate| gate.reason.clone()),
            Self::Seccomp => (!host.seccomp).then(|| "no filter can be installed".into()),
            Self::Landlock => (host.landlock_abi == 0).then(|| "the kernel has none".into()),
            Self::Root => (!host.root).then(|| "run by an ordinary user".into()),
            Self::Program(name) => (!on_path(name)).then(|| "not on the PATH".into()),
        }
    }
}

fn on_path(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).is_file())
}

/// Whether this host has `need`; a test that gets `false` returns at once.
///
/// The skip is told on stderr and, for a test run that collects them, appended to
/// the file that `NEUROFLOW_SKIPS` names.
///
/// # Panics
///
/// Where `NEUROFLOW_REQUIRE`, a list with commas, says that it must be there.
#[must_use]
pub fn have(need: Need) -> bool {
    have_on(Host::get(), need, &std::env::var("NEUROFLOW_REQUIRE").unwrap_or_default())
}

fn have_on(host: &Host, need: Need, required: &str) -> bool {
    let Some(why) = need.missing(host) else { return true };
    let name = need.name();
    assert!(
        !required.split(',').any(|required| required.trim() == name),
        "NEUROFLOW_REQUIRE names `{name}`, and this host lacks it: {why}",
    );

    let thread = std::thread::current();
    let skip = format!("SKIPPED {}: needs {name}: {why}\n", thread.name().unwrap_or("a test"));
    eprint!("{skip}");
    if let Some(file) = std::env::var_os("NEUROFLOW_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
        file.write_all(skip.as_bytes()).unwrap();
    }
    false
}

/// Returns from the test, loudly, where the host lacks something.
///
/// ```text
/// need!(UserNamespaces);
/// need!(Program("gcc"));
/// ```
#[macro_export]
macro_rules! need {
    ($need:ident $(($program:expr))?) => {
        if !$crate::have($crate::Need::$need $(($program))?) {
            return;
        }
    };
}

#[cfg(test)]
mod tests {
    use kernel::sandbox::host::Gate;

    use super::*;

    fn bare_host() -> Host {
        let closed = || Err(Gate { reason: "closed in this test".into(), fix: String::new() });
        Host {
            namespaces: closed(),
            cgroup2: closed(),
            landlock_abi: 0,
            seccomp: false,
            ..*Host::get()
        }
    }

    #[test]
    fn what_the_host_lacks_is_skipped() {
        for need in [Need::UserNamespaces, Need::Seccomp, Need::Landlock, Need::Cgroup2] {
            assert!(!have_on(&bare_host(), need, ""), "{need:?}");
        }
    }

    #[test]
    #[should_panic(expected = "NEUROFLOW_REQUIRE names `userns`")]
    fn what_is_required_and_missing_fails() {
        let _ = have_on(&bare_host(), Need::UserNamespaces, "seccomp, userns");
    }

    #[test]
    fn a_program_is_looked_up_on_the_path() {
        assert!(have_on(&bare_host(), Need::Program("sh"), "sh"));
        assert!(!have_on(&bare_host(), Need::Program("no-such-program-here"), "sh"));
    }
}
