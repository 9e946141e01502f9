//! The config file: `config/neuroflow.yaml`.

use std::path::Path;

use super::keys::{self, Key};
use super::value::{Fault, Node, Value};
use super::{Named, SandboxConfig, SeccompProfile, WasmSandboxConfig, yaml};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::names::nearest;
use crate::sandbox::text_file;
use crate::sandbox::units::{ByteSize, quoted};

/// The two sections of a file; what a file leaves out is the default.
///
/// ```
/// use kernel::sandbox::config::ConfigFile;
///
/// let file = ConfigFile::from_yaml("sandbox: {memory_limit: 512MB}", "example.yaml")?;
/// assert_eq!(file.sandbox.memory_limit, Some(512 << 20));
/// assert!(file.sandbox.named.contains("memory_limit"));
/// assert_eq!(file.wasm.max_fuel, Some(1_000_000));
/// # Ok::<(), kernel::sandbox::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ConfigFile {
    /// The section `sandbox`.
    pub sandbox: SandboxConfig,
    /// The section `wasm`.
    pub wasm: WasmSandboxConfig,
}

impl ConfigFile {
    /// Reads the text of a config file. `origin` is its name in messages.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with every fault, each with its line and column: unknown
    /// keys with the nearest known one, keys given twice, values of the wrong
    /// kind with what to write instead. A fault of YAML's own ends the reading.
    pub fn from_yaml(text: &str, origin: &str) -> Result<Self> {
        let mut file = Self::default();
        let mut faults = Vec::new();
        match yaml::parse(text) {
            Ok(Some(root)) => file.read(&root, &mut faults),
            Ok(None) => {}
            Err(found) => faults = found,
        }
        if faults.is_empty() {
            return Ok(file);
        }
        let problem = |fault: Fault| format!("{origin}:{}{}", fault.at, fault.problem);
        Err(Error::Config { problems: faults.into_iter().map(problem).collect() })
    }

    /// Reads a config file of at most 1 MiB. A relative `seccomp_profile` lies
    /// beside it.
    ///
    /// # Errors
    ///
    /// Those of [`ConfigFile::from_yaml`], and [`Error::Config`] if the file
    /// cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let origin = path.to_string_lossy();
        let text = text_file::read(path, ByteSize::MEBIBYTE).map_err(|error| {
            Error::config(format!("config file {} cannot be read: {error}", quoted(&origin)))
        })?;
        let mut file = Self::from_yaml(&text, &origin)?;
        if let (Some(SeccompProfile::Path(profile)), Some(dir)) =
            (&mut file.sandbox.seccomp_profile, path.parent())
        {
            *profile = dir.join(&*profile);
        }
        Ok(file)
    }

    fn read(&mut self, root: &Node, faults: &mut Vec<Fault>) {
        let Value::Map(sections) = &root.value else {
            faults.push(root.fault("is not a mapping; a config begins with `sandbox:`"));
            return;
        };
        for section in sections {
            match section.key.as_str() {
                "sandbox" => {
                    let named =
                        read_section(keys::SANDBOX, &mut self.sandbox, &section.node, faults);
                    self.sandbox.named = named;
                }
                "wasm" => {
                    read_section(keys::WASM, &mut self.wasm, &section.node, faults);
                }
                unknown => faults.push(Fault { at: section.at, problem: no_section(unknown) }),
            }
        }
    }
}

/// Sets what `section` holds and tells which keys that were.
fn read_section<C>(
    keys: &[Key<C>],
    config: &mut C,
    section: &Node,
    faults: &mut Vec<Fault>,
) -> Named {
    let mut named = Named::default();
    let entries = match &section.value {
        Value::Map(entries) => entries,
        // `sandbox:` with every key commented out.
        Value::Text { text, plain: true } if text.is_empty() => return named,
        _ => {
            faults.push(section.fault("is not a mapping; write `key: value` lines"));
            return named;
        }
    };
    for entry in entries {
        let Some(key) = keys.iter().find(|key| key.name == entry.key) else {
            let near = nearest(&entry.key, keys.iter().map(|key| key.name));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let problem = format!("unknown key {}{hint}", quoted(&entry.key));
            faults.push(Fault { at: entry.at, problem });
            continue;
        };
        match (key.set)(config, &entry.node) {
            Ok(()) => named.insert(key.name),
            Err(fault) => faults.push(Fault {
                at: fault.at,
                problem: format!("`{}`: {}", key.name, fault.problem),
            }),
        }
    }
    named
}

fn no_section(name: &str) -> String {
    let quoted = quoted(name);
    if keys::SANDBOX.iter().any(|key| key.name == name) {
        return format!("unknown section {quoted}; it is a key of `sandbox:`, write it below that");
    }
    let near = nearest(name, ["sandbox", "wasm"]);
    let hint = near.map_or_else(
        || "; there are `sandbox` and `wasm`".to_owned(),
        |near| format!("; did you mean `{near}`?"),
    );
    format!("unknown section {quoted}{hint}")
}

impl SandboxConfig {
    /// Reads the section `sandbox` of a config; see [`ConfigFile::from_yaml`].
    ///
    /// # Errors
    ///
    /// Those of [`ConfigFile::from_yaml`], for both sections.
    pub fn from_yaml(text: &str, origin: &str) -> Result<Self> {
        ConfigFile::from_yaml(text, origin).map(|file| file.sandbox)
    }

    /// Reads the section `sandbox` of a file; see [`ConfigFile::from_file`].
    ///
    /// # Errors
    ///
    /// Those of [`ConfigFile::from_file`], for both sections.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        ConfigFile::from_file(path).map(|file| file.sandbox)
    }
}

impl WasmSandboxConfig {
    /// Reads the section `wasm` of a config; see [`ConfigFile::from_yaml`].
    ///
    /// # Errors
    ///
    /// Those of [`ConfigFile::from_yaml`], for both sections.
    pub fn from_yaml(text: &str, origin: &str) -> Result<Self> {
        ConfigFile::from_yaml(text, origin).map(|file| file.wasm)
    }

    /// Reads the section `wasm` of a file; see [`ConfigFile::from_file`].
    ///
    /// # Errors
    ///
    /// Those of [`ConfigFile::from_file`], for both sections.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        ConfigFile::from_file(path).map(|file| file.wasm)
    }
}
