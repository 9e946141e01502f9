//! `neuroflow wasm inspect`: what a module asks for, before anybody runs it.

use std::io::{self, Write};

use kernel::sandbox::wasm::Inspection;
use kernel::sandbox::{Error, Result, WasmSandbox};

use crate::args::InspectArgs;
use crate::module_file;

/// Prints what the module is and asks for.
///
/// # Errors
///
/// Those of reading the file and of [`WasmSandbox::inspect`].
pub(crate) fn inspect(args: &InspectArgs) -> Result<u8> {
    let module = module_file::read(&args.file)?;
    let found = WasmSandbox::inspect(&module)?;

    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let printed = if args.json {
        serde_json::to_writer_pretty(&mut stdout, &found)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(stdout))
    } else {
        stdout.write_all(told(&found).as_bytes())
    };
    printed
        .and_then(|()| stdout.flush())
        .map_err(|source| Error::Setup { step: "write the output".to_owned(), source })?;
    Ok(0)
}

fn told(found: &Inspection) -> String {
    let mut text = format!("sha256   {}\nsize     {} bytes\n", found.sha256, found.bytes);
    let entry = found.entry.as_deref().unwrap_or("none: it exports neither `_start` nor `main`");
    text.push_str(&format!("entry    {entry}\n"));
    for memory in &found.memories {
        let most = memory.maximum.map_or("no maximum".to_owned(), |most| format!("at most {most}"));
        text.push_str(&format!("memory   {} bytes, {most}\n", memory.initial));
    }
    for import in &found.imports {
        let note = if import.provided { "" } else { "  (nobody provides it)" };
        text.push_str(&format!(
            "import   {} {}.{}{note}\n",
            import.kind, import.module, import.name
        ));
    }
    for export in &found.exports {
        text.push_str(&format!("export   {} {}\n", export.kind, export.name));
    }
    match &found.allow {
        Some(entries) if entries.is_empty() => text.push_str("\nIt runs without any import.\n"),
        Some(entries) => {
            let flags: String =
                entries.iter().map(|entry| format!(" \\\n    --allow-import {entry}")).collect();
            text.push_str(&format!("\nIt runs with:{flags}\n"));
        }
        None => text.push_str("\nIt cannot run here: not every import is provided.\n"),
    }
    text
}
