//! Prints the JSON Schema of the config file, for editors;
//! `docs/reference/config.schema.json` (`cargo xtask gen`).

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use kernel::sandbox::config::keys::{Key, Kind, SANDBOX, WASM};
use serde_json::{Map, Value, json};

fn main() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Config of NeuroFlow Sandbox",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "sandbox": section("The process and the namespace sandbox.", SANDBOX),
            "wasm": section("The WASM sandbox.", WASM),
        },
    });
    println!("{schema:#}");
}

fn section<C>(description: &str, keys: &[Key<C>]) -> Value {
    let property = |key: &Key<C>| {
        let mut property = Map::new();
        property.insert("description".into(), key.meaning.into());
        let value = value(key.kind);
        if key.optional {
            property.insert("anyOf".into(), json!([value, { "enum": ["none", null] }]));
        } else {
            property.extend(value.as_object().cloned().unwrap_or_default());
        }
        (key.name.to_owned(), Value::Object(property))
    };
    json!({
        "description": description,
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": keys.iter().map(property).collect::<Map<_, _>>(),
    })
}

/// What may be written. Narrower than what is read: an editor should offer one
/// spelling, not all.
fn value(kind: Kind) -> Value {
    match kind {
        Kind::Size => json!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": r"^[0-9]+(\.[0-9]+)? ?([kKmMgGtTpP]([iI]?[bB])?|[bB])?$",
        }),
        Kind::Time => json!({
            "type": ["number", "string"],
            "minimum": 0,
            "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)?$",
        }),
        Kind::Count => json!({ "type": "integer", "minimum": 0 }),
        Kind::Decimal => json!({ "type": "number", "minimum": 0 }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::Profile => json!({ "type": ["string", "object"] }),
        Kind::List => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Pairs => json!({
            "type": "object",
            "additionalProperties": { "type": ["string", "number", "boolean"] },
        }),
        // A kind of a later version is not narrowed down.
        Kind::Word | _ => json!({ "type": "string" }),
    }
}
