//! The default profile in the OCI format, as `config/seccomp/default.json` has it.

use std::fmt::Write as _;

use super::default::{ENTRIES, Entry};
use super::rule::{Action, Comparison, Condition, EPERM};

const WIDTH: usize = 100;

/// The default profile of the namespace sandbox in the OCI format.
///
/// Of two entries that match, the stricter holds. Container runtimes read some
/// of its entries otherwise: for them an entry without `args` silences the others
/// for the same call, so that they would let all of `ioctl` through.
#[must_use]
pub fn default_json() -> String {
    let entries: Vec<String> = ENTRIES.iter().map(entry).collect();
    format!(
        "{{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": {EPERM},\n  \
         \"syscalls\": [\n{}\n  ]\n}}\n",
        entries.join(",\n")
    )
}

/// A profile that allows these calls and refuses every other.
pub(super) fn profile_json(calls: &[&str]) -> String {
    format!(
        "{{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": {EPERM},\n  \
         \"syscalls\": [\n    {{\n      \"names\": [{}],\n      \"action\": \
         \"SCMP_ACT_ALLOW\"\n    }}\n  ]\n}}\n",
        names(calls)
    )
}

fn entry(entry: &Entry) -> String {
    let mut text = format!("    {{\n      \"comment\": {},\n", quoted(entry.why));
    let _ = writeln!(text, "      \"names\": [{}],", names(entry.names));
    match entry.action {
        Action::Errno(errno) => {
            let _ = write!(text, "      \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": {errno}");
        }
        _ => text.push_str("      \"action\": \"SCMP_ACT_ALLOW\""),
    }
    if !entry.when.is_empty() {
        let arguments: Vec<String> = entry.when.iter().map(argument).collect();
        let _ = write!(text, ",\n      \"args\": [\n{}\n      ]", arguments.join(",\n"));
    }
    text.push_str("\n    }");
    text
}

/// A few names on the line of the bracket, many on lines of their own.
fn names(names: &[&str]) -> String {
    let mut lines = vec![String::new()];
    for name in names {
        let name = quoted(name);
        let line = lines.last().map_or(0, String::len);
        if line > 0 && line + name.len() + 12 > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            let comma = if line.is_empty() { "" } else { ", " };
            let _ = write!(line, "{comma}{name}");
        }
    }
    if lines.len() == 1 {
        return lines.concat();
    }
    format!("\n        {}\n      ", lines.join(",\n        "))
}

fn argument(condition: &Condition) -> String {
    let index = condition.argument;
    match condition.comparison {
        Comparison::Masked { mask, value } => format!(
            "        {{ \"index\": {index}, \"value\": {mask}, \"valueTwo\": {value}, \"op\": \
             \"SCMP_CMP_MASKED_EQ\" }}"
        ),
        other => unreachable!("the default profile compares bits, not {other:?}"),
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
