//! The verdict on every number, for a reader and for a diff.

use std::fmt::Write as _;
use std::path::Path;

use super::super::*;
use super::{run_native, tree};

/// Set to write the golden files anew.
const REGENERATE: &str = "NEUROFLOW_REGENERATE";

#[test]
fn every_number_from_0_to_600_gets_the_verdict_in_the_golden_file() {
    for (arch, file) in [(Arch::X86_64, "x86_64.txt"), (Arch::Aarch64, "aarch64.txt")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/sandbox/namespace/seccomp/tests/golden")
            .join(file);
        let now = table(arch);

        if std::env::var_os(REGENERATE).is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();

        for (now, golden) in now.lines().zip(golden.lines()) {
            assert_eq!(now, golden, "{file}; {REGENERATE}=1 writes it anew");
        }
        assert_eq!(now.lines().count(), golden.lines().count(), "{file}");
    }
}

#[test]
fn the_committed_default_profile_is_the_one_in_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/seccomp/default.json");
    let now = default_json();

    if std::env::var_os(REGENERATE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &now).unwrap();
    }

    assert_eq!(now, std::fs::read_to_string(&path).unwrap(), "{REGENERATE}=1 writes it anew");
}

#[test]
fn the_page_lists_the_startup_baseline() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/seccomp.md");
    let page = std::fs::read_to_string(&page).unwrap();

    for name in STARTUP.iter().chain(PYTHON_STARTUP) {
        assert!(page.contains(&format!("\"{name}\"")), "{name} is not on the page");
    }
}

#[test]
fn the_explanation_of_the_default_profile_names_every_call_once() {
    for arch in Arch::ALL {
        let text =
            Explanation::of_base(Base::Namespace(Sockets::Internet), arch).unwrap().to_string();
        for (name, _) in arch.calls() {
            let named = text.split([' ', '\n']).filter(|word| word == name).count();
            assert_eq!(named, 1, "{name} in\n{text}");
        }
        assert!(text.contains("  clone\n    allowed when argument 0 & 0x7e020000 == 0x0\n    refused with EPERM otherwise\n"), "{text}");
        assert!(text.contains("    refused with EPERM when argument 1 == 0x5412\n"), "{text}");
        assert!(
            text.ends_with(
                "any other number: refused with ENOSYS\n\
            a call through another interface (i386, x32, ARM32): not carried out\n"
            ),
            "{text}"
        );
    }
}

fn table(arch: Arch) -> String {
    let mut tree = tree::Tree::default();
    let of_base = |tree: &mut tree::Tree, base: Base| base.decisions(arch, tree).unwrap();
    let namespace = of_base(&mut tree, Base::Namespace(Sockets::Internet));
    let process = of_base(&mut tree, Base::Process(Sockets::Internet));
    let filter = Filter::of_base(Base::Namespace(Sockets::Internet), arch).unwrap();

    let mut text = String::from("# number name: namespace sandbox | process sandbox\n");
    for number in 0..=600 {
        let name = arch.name(number).unwrap_or("-");
        let constant = |decisions: &[(u32, tree::Id)]| {
            let found = decisions.iter().find(|(known, _)| *known == number);
            match found.map(|(_, id)| tree.constant(*id)) {
                None => Some(Action::Errno(rule::ENOSYS)),
                Some(verdict) => verdict,
            }
        };
        let word = |verdict: Option<Action>| match verdict {
            None => "by its arguments".to_owned(),
            Some(Action::Allow) => "allowed".to_owned(),
            Some(Action::Errno(rule::EPERM)) => "EPERM".to_owned(),
            Some(Action::Errno(rule::ENOSYS)) => "ENOSYS".to_owned(),
            Some(other) => format!("{other:?}"),
        };
        let (in_namespace, in_process) = (constant(&namespace), constant(&process));
        // The decisions are data; what counts is the program.
        if let Some(expected) = in_namespace {
            assert_eq!(run_native(&filter, arch, number), expected, "{number}");
        }
        writeln!(text, "{number} {name}: {} | {}", word(in_namespace), word(in_process)).unwrap();
    }
    text
}
