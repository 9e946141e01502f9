//! The namespace back end on real programs.
#![cfg(all(target_os = "linux", not(neuroflow_portable)))]

use kernel::sandbox::{Exit, NamespaceIsolator, SandboxConfig};

fn isolator(work_dir: &std::path::Path) -> NamespaceIsolator {
    NamespaceIsolator::new(SandboxConfig { work_dir: work_dir.into(), ..SandboxConfig::default() })
}

#[test]
fn hello_from_python() {
    let dir = tempfile::tempdir().unwrap();

    let outcome = isolator(dir.path()).execute("python3", &["-c", "print('hello')"]).unwrap();

    assert_eq!(outcome.exit, Exit::Exited(0), "{}", String::from_utf8_lossy(&outcome.stderr));
    assert_eq!(outcome.stdout, b"hello\n");
}
