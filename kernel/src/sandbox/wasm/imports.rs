//! The allow-list of imports: compared by module, name and kind before
//! anything of the guest runs, whether it uses the import or not.

use super::intake::{Import, Kind};
use crate::sandbox::outcome::Violation;

/// An import that is not satisfied, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) import: Import,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    /// `allowed_imports` does not list it.
    NotAllowed,
    /// Listed, but this sandbox has nothing of that name.
    Unknown,
    /// Listed and known, but as something else; the sentence says as what.
    Differs(String),
}

/// Which of `imports` are not satisfied by the `allowed` ones that `provided`
/// knows. Everything provided is a function.
pub(super) fn check(
    imports: &[Import],
    allowed: &[String],
    provided: impl Fn(&str, &str) -> bool,
) -> Vec<Refused> {
    let mut refused = Vec::new();
    for import in imports {
        let reason = if !is_allowed(import, allowed) {
            Reason::NotAllowed
        } else if !provided(&import.module, &import.name) {
            Reason::Unknown
        } else if import.kind != Kind::Function {
            Reason::Differs(format!("a function, not a {}", import.kind.name()))
        } else {
            continue;
        };
        let one = Refused { import: import.clone(), reason };
        if !refused.contains(&one) {
            refused.push(one);
        }
    }
    refused
}

fn is_allowed(import: &Import, allowed: &[String]) -> bool {
    allowed.iter().any(|entry| match entry.strip_prefix(import.module.as_str()) {
        Some(rest) => match rest.strip_prefix('.') {
            Some(name) => name == "*" || name == import.name,
            None => false,
        },
        None => false,
    })
}

impl Refused {
    /// An import whose kind is right and whose type is not.
    pub(super) fn of_type(import: Import, provided: &str) -> Self {
        Self { import, reason: Reason::Differs(provided.to_owned()) }
    }

    /// `module.name`, as the ending lists it.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.import.module, self.import.name)
    }

    /// What was refused, why, and what would allow it; no config would where
    /// nobody provides the import, or not of that kind and type.
    pub(super) fn violation(&self) -> Violation {
        let path = self.path();
        let kind = self.import.kind.name();
        let (what, fix) = match &self.reason {
            Reason::NotAllowed => (format!("{kind} {path}"), format!("allowed_imports: [{path}]")),
            Reason::Unknown => (
                format!(
                    "{kind} {path}, which is allowed and which nobody provides: there are the \
                     functions of wasi_snapshot_preview1 and the host functions of the \
                     application"
                ),
                String::new(),
            ),
            Reason::Differs(provided) => {
                (format!("{kind} {path}, which here is {provided}"), String::new())
            }
        };
        Violation { kind: "import".to_owned(), what, rule: "allowed_imports".to_owned(), fix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(module: &str, name: &str, kind: Kind) -> Import {
        Import { module: module.into(), name: name.into(), kind }
    }

    fn refused(imports: &[Import], allowed: &[&str]) -> Vec<String> {
        let allowed: Vec<_> = allowed.iter().map(|entry| (*entry).to_owned()).collect();
        check(imports, &allowed, |module, _| module == "wasi")
            .into_iter()
            .map(|refused| refused.path())
            .collect()
    }

    #[test]
    fn an_import_is_compared_whole_and_not_by_its_beginning() {
        let imports = [import("wasi", "fd_write", Kind::Function)];

        assert_eq!(refused(&imports, &["wasi.fd_write"]), [""; 0]);
        assert_eq!(refused(&imports, &["wasi.*"]), [""; 0]);
        for other in ["wasi.fd", "wasi.fd_write2", "wasi2.*", "was.*", "wasi.fd_*", "WASI.*"] {
            assert_eq!(refused(&imports, &[other]), ["wasi.fd_write"], "{other}");
        }
        assert_eq!(refused(&imports, &[]), ["wasi.fd_write"]);
    }

    #[test]
    fn another_kind_of_the_same_name_is_refused() {
        let imports = [import("wasi", "fd_write", Kind::Memory)];

        let refused = check(&imports, &["wasi.*".to_owned()], |_, _| true);

        assert!(refused[0].violation().what.contains("a function, not a memory"));
    }

    #[test]
    fn the_fix_names_the_entry_to_add() {
        let imports = [import("env", "log", Kind::Function)];

        let refused = check(&imports, &[], |_, _| true);

        assert_eq!(refused[0].violation().fix, "allowed_imports: [env.log]");
    }
}
