//! Reads any text as a config file, and as variables.

#![no_main]

use kernel::sandbox::config::ConfigFile;
use kernel::sandbox::config::keys::SANDBOX;
use kernel::sandbox::{Error, SandboxConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match ConfigFile::from_yaml(text, "fuzz.yaml") {
        Ok(file) => {
            let default = SandboxConfig::default();
            let named = SANDBOX.iter().any(|key| file.sandbox.named.contains(key.name));
            assert!(named || file.sandbox == default, "a value was set that nobody named");
        }
        Err(Error::Config { problems }) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.starts_with("fuzz.yaml:"), "{problem}");
                assert!(!problem.contains(['\n', '\u{1b}', '\0']), "{problem:?}");
            }
        }
        Err(other) => panic!("{other}"),
    }
    // Each line as one variable.
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(name, value)| (format!("NEUROFLOW_{name}"), value.to_owned()));
    let _ = SandboxConfig::default().apply_env(pairs);
});
