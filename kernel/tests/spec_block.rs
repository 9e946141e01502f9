//! The example that users of the Rust API were given, word for word.
#![cfg(all(target_os = "linux", not(neuroflow_portable)))]

use std::fs;
use std::path::Path;

use kernel::sandbox::{Exit, Outcome, Result};

fn example() -> Result<Outcome> {
    #[expect(unused_mut, clippy::let_and_return, reason = "it is not ours to change")]
    let result = {
        use kernel::sandbox::{NamespaceIsolator, SandboxConfig};
        #[rustfmt::skip]
        let config = SandboxConfig {
            work_dir: "/tmp/sandbox".into(),
            cpu_time_limit: Some(30),
            memory_limit: Some(256 * 1024 * 1024),
            file_size_limit: Some(10 * 1024 * 1024),
            enable_network: false,   // no network
            enable_seccomp: true,    // system-call filter on
            ..SandboxConfig::default()
        };
        let mut isolator = NamespaceIsolator::new(config);
        let result = isolator.execute("python3", &["script.py"])?;
        result
    };
    Ok(result)
}

#[test]
fn namespace_example_runs_a_script_of_its_work_dir() {
    let work_dir = Path::new("/tmp/sandbox");
    fs::create_dir_all(work_dir).unwrap();
    let script = work_dir.join("script.py");
    fs::write(&script, "import os; print(os.getcwd())").unwrap();

    let result = example();

    fs::remove_file(script).unwrap();
    let outcome = result.unwrap();
    assert_eq!(outcome.exit, Exit::Exited(0), "{}", String::from_utf8_lossy(&outcome.stderr));
    assert_eq!(outcome.stdout, b"/tmp/sandbox\n");
}
