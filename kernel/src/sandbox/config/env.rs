//! The variables `NEUROFLOW_<KEY>`, which override the file and yield to flags.

use super::keys::{self, Key, Kind};
use super::value::{Entry, Node, Position, Value};
use super::{SandboxConfig, WasmSandboxConfig};
use crate::sandbox::error::{Error, Result};
use crate::sandbox::names::nearest;
use crate::sandbox::units::quoted;

const PREFIX: &str = "NEUROFLOW_";
const WASM_PREFIX: &str = "NEUROFLOW_WASM_";

/// Variables that are read elsewhere and are no keys of a config.
const ELSEWHERE: [&str; 6] = [
    // The config file, read by the command line.
    "NEUROFLOW_CONFIG",
    // Builds and tests the other twin of every `cfg`; read by the build script.
    "NEUROFLOW_PORTABLE",
    // What a test run must not skip.
    "NEUROFLOW_REQUIRE",
    // Where a test run collects what it skipped.
    "NEUROFLOW_SKIPS",
    // What boots the machine of a test run, and how that goes about it.
    "NEUROFLOW_VM",
    "NEUROFLOW_ONE_BY_ONE",
];

impl SandboxConfig {
    /// Takes what the variables `NEUROFLOW_<KEY>` say, e.g.
    /// `NEUROFLOW_MEMORY_LIMIT=512MB`; call it after the file and before the
    /// flags.
    ///
    /// Lists and `NAME=value` pairs are separated by commas. Each variable
    /// counts as named. Variables for the WASM sandbox are left alone.
    ///
    /// ```
    /// use kernel::sandbox::SandboxConfig;
    ///
    /// let mut config = SandboxConfig::default();
    /// config.apply_env([("NEUROFLOW_ALLOWED_PATHS".into(), "/usr/share:ro,/srv".into())])?;
    /// assert_eq!(config.allowed_paths, ["/usr/share:ro", "/srv"]);
    /// # Ok::<(), kernel::sandbox::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with every variable that cannot be read, and every
    /// unknown one that begins with `NEUROFLOW_`, with the nearest known one.
    pub fn apply_env(&mut self, vars: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let mut named = std::mem::take(&mut self.named);
        let done = apply(self, keys::SANDBOX, PREFIX, vars, |name| named.insert(name));
        self.named = named;
        done
    }
}

impl WasmSandboxConfig {
    /// Takes what the variables `NEUROFLOW_WASM_<KEY>` say, e.g.
    /// `NEUROFLOW_WASM_MAX_FUEL=none`; see [`SandboxConfig::apply_env`].
    ///
    /// # Errors
    ///
    /// Those of [`SandboxConfig::apply_env`].
    pub fn apply_env(&mut self, vars: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        apply(self, keys::WASM, WASM_PREFIX, vars, |_| {})
    }
}

fn apply<C>(
    config: &mut C,
    keys: &[Key<C>],
    prefix: &str,
    vars: impl IntoIterator<Item = (String, String)>,
    mut named: impl FnMut(&'static str),
) -> Result<()> {
    let known = known();
    let mut problems = Vec::new();
    for (variable, text) in vars {
        if !variable.starts_with(PREFIX) {
            continue;
        }
        if !known.contains(&variable) {
            let near = nearest(&variable, known.iter().map(String::as_str));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            problems.push(format!("unknown variable {}{hint}", quoted(&variable)));
            continue;
        }
        let name = |key: &Key<C>| variable_name(prefix, key.name);
        let Some(key) = keys.iter().find(|key| name(key) == variable) else { continue };
        match node(key.kind, &text)
            .and_then(|node| (key.set)(config, &node).map_err(|fault| fault.problem))
        {
            Ok(()) => named(key.name),
            Err(problem) => problems.push(format!("`{variable}`: {problem}")),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Config { problems }) }
}

/// `NEUROFLOW_MEMORY_LIMIT` for `memory_limit`.
fn variable_name(prefix: &str, key: &str) -> String {
    format!("{prefix}{}", key.to_uppercase())
}

fn known() -> Vec<String> {
    let sandbox = keys::SANDBOX.iter().map(|key| variable_name(PREFIX, key.name));
    let wasm = keys::WASM.iter().map(|key| variable_name(WASM_PREFIX, key.name));
    ELSEWHERE.map(str::to_owned).into_iter().chain(sandbox).chain(wasm).collect()
}

/// The text of a variable as a value of `kind`.
fn node(kind: Kind, text: &str) -> Result<Node, String> {
    let words = || text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let value = match kind {
        Kind::List => Value::List(words().map(Node::word).collect()),
        Kind::Pairs => Value::Map(words().map(pair).collect::<Result<_, _>>()?),
        _ => return Ok(Node::word(text)),
    };
    Ok(Node { at: Position(None), value })
}

fn pair(word: &str) -> Result<Entry, String> {
    let Some((name, value)) = word.split_once('=') else {
        return Err(format!("{} has no `=`; write `NAME=value,NAME=value`", quoted(word)));
    };
    // As if in quotes: `A=` is an empty value, and `A=null` is a word.
    let node =
        Node { at: Position(None), value: Value::Text { text: value.to_owned(), plain: false } };
    Ok(Entry { key: name.to_owned(), at: Position(None), node })
}
