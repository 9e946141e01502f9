//! Prints every key of the config as Markdown tables, for
//! `docs/reference/configuration.md` (`cargo xtask gen`).

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use kernel::sandbox::config::keys::{Key, SANDBOX, WASM};

fn main() {
    println!("### `sandbox`\n\n{}", table(SANDBOX, "NEUROFLOW_", ""));
    println!("### `wasm`\n\n{}", table(WASM, "NEUROFLOW_WASM_", "wasm "));
}

fn table<C>(keys: &[Key<C>], prefix: &str, command: &str) -> String {
    let mut table = String::from(
        "| key | flag | variable | value | default | meaning |\n|---|---|---|---|---|---|\n",
    );
    for key in keys {
        let flag = key.flag.map_or("–".into(), |flag| format!("`{command}{flag}`"));
        let none = if key.optional { " or `none`" } else { "" };
        table.push_str(&format!(
            "| `{name}` | {flag} | `{prefix}{variable}` | {kind}{none} | `{default}` | {meaning} |\n",
            name = key.name,
            variable = key.name.to_uppercase(),
            kind = key.kind,
            default = key.default,
            meaning = key.meaning.replace('|', r"\|"),
        ));
    }
    table
}
