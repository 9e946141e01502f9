//! `cargo xtask docs`: what the pages show is what happens.
//!
//! Runs the blocks tagged `sh`, `console` and `python` of the README and of
//! `docs/`; the blocks of one page share a folder, in their order. Rust blocks
//! are run by rustdoc, through `kernel/src/pages.rs`. Links between files of the
//! tree are followed.

mod blocks;
mod links;
mod session;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::python;
use crate::step::{Result, Workspace, show};
use crate::tally::Tally;
use blocks::{Block, Note};

const RUN_BLOCK: &str = include_str!("docs/run_block.py");

/// Languages that are there to be read.
const SHOWN: &[&str] = &["text", "yaml", "json", "toml", "c", "wat", "typescript", "dockerfile"];

/// `docs [FILE…]`: all pages, or these.
pub(crate) fn run(workspace: &Workspace, files: &[&str]) -> Result<ExitCode> {
    let mut tally = Tally::default();
    check(workspace, files, &mut tally)?;
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    Ok(ExitCode::SUCCESS)
}

/// Builds the programs that the pages use and runs every block.
///
/// # Errors
///
/// Tells how many blocks failed; each was shown as it did.
pub(crate) fn check(workspace: &Workspace, files: &[&str], tally: &mut Tally) -> Result<()> {
    let pages = if files.is_empty() {
        pages(&workspace.root)?
    } else {
        files.iter().map(|file| workspace.root.join(file)).collect()
    };
    // One after the other: together they would share their features, and the
    // first would have the WASM engine in it.
    for package in ["neuroflow-cli", "neuroflow-wasm"] {
        show(&mut workspace.cargo(&["build", "--quiet", "--package", package]), tally)?;
    }

    let before = tally.failed;
    for page in &pages {
        run_page(workspace, page, tally)?;
    }
    match tally.failed - before {
        0 => Ok(()),
        failed => Err(format!("{failed} blocks or links do not hold").into()),
    }
}

/// Every Markdown page that is committed or about to be.
fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                pages.push(path);
            }
        }
    }
    for entry in std::fs::read_dir(root)? {
        pages.push(entry?.path());
    }
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    Ok(pages)
}

fn run_page(workspace: &Workspace, page: &Path, tally: &mut Tally) -> Result<()> {
    let name = page.strip_prefix(&workspace.root).unwrap_or(page).display();
    let text = std::fs::read_to_string(page)?;
    let folder = Scratch::new(workspace)?;
    let blocks = blocks::parse(&text).map_err(|problem| format!("{name}: {problem}"))?;

    for link in links::broken(&workspace.root, page, &text) {
        println!("{name}: FAILED: the link `{link}` leads nowhere");
        tally.failed += 1;
    }
    for (number, block) in blocks.iter().enumerate() {
        let place = format!("{name}:{}", block.line);
        match run_block(workspace, &blocks[..number], block, &folder.0) {
            Ok(Ran::Passed) => {
                println!("{place}: {} ok", block.language);
                tally.passed += 1;
            }
            Ok(Ran::Shown) => {}
            Ok(Ran::Skipped(why)) => {
                println!("{place}: {} SKIPPED: {why}", block.language);
                tally.skipped += 1;
            }
            Err(problem) => {
                println!("{place}: {} FAILED: {problem}\n{}", block.language, block.text);
                tally.failed += 1;
            }
        }
    }
    Ok(())
}

/// How a block ended, if it did not fail.
enum Ran {
    Passed,
    Shown,
    Skipped(String),
}

/// `before` are the blocks above it on the page.
fn run_block(workspace: &Workspace, before: &[Block], block: &Block, folder: &Path) -> Result<Ran> {
    match &block.note {
        Some(Note::NotRun(why)) => return Ok(Ran::Skipped(why.clone())),
        Some(Note::File(name)) => {
            std::fs::write(folder.join(name), &block.text)?;
            return Ok(Ran::Shown);
        }
        Some(Note::Needs(command)) if !on_path(command) => {
            return Ok(Ran::Skipped(format!("`{command}` is not installed")));
        }
        Some(Note::Needs(_)) | None => {}
    }
    match block.language.as_str() {
        "sh" => {
            printed(reader_shell(workspace, folder)?.args(["-eu", "-c", &block.text]), true)?;
            Ok(Ran::Passed)
        }
        "console" => {
            let exchanges = session::parse(&block.text);
            let script = session::script(&exchanges);
            let output = printed(reader_shell(workspace, folder)?.args(["-c", &script]), false)?;
            session::compare(&exchanges, &output)?;
            Ok(Ran::Passed)
        }
        "python" => {
            let Some(python) = python::with_sdk(workspace) else {
                return Ok(Ran::Skipped("the SDK is not built; run the step `sdk` first".into()));
            };
            std::fs::write(folder.join(".run_block.py"), RUN_BLOCK)?;
            let mut command = workspace.command(python);
            command.current_dir(folder).arg(".run_block.py");
            // A reader has typed what stands above it, but not whole programs.
            let typed = before.iter().filter(|above| above.language == "python");
            let typed = typed.filter(|above| !above.text.contains("asyncio.run("));
            for (number, above) in typed.chain([block]).enumerate() {
                let file = format!(".block-{number}.py");
                std::fs::write(folder.join(&file), &above.text)?;
                command.arg(file);
            }
            printed(&mut command, true)?;
            Ok(Ran::Passed)
        }
        "rust" => Ok(Ran::Shown),
        language if SHOWN.contains(&language) => Ok(Ran::Shown),
        unknown => Err(format!("nobody runs `{unknown}`; tag it or say `not run: REASON`").into()),
    }
}

/// A shell in `folder` that finds our programs as an installed user would.
fn reader_shell(workspace: &Workspace, folder: &Path) -> Result<Command> {
    let mut path = vec![workspace.target.join("debug")];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut bash = workspace.command("bash");
    bash.current_dir(folder).env("PATH", std::env::join_paths(path)?);
    // Whether a default memory limit is enforced or degraded is the host's affair;
    // without this, what a page shows would depend on it.
    bash.env("NEUROFLOW_ALLOW_DEGRADED", "memory");
    Ok(bash)
}

/// What `command` prints on both streams; an error if it must succeed and does not.
fn printed(command: &mut Command, must_succeed: bool) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if must_succeed && !output.status.success() {
        return Err(format!("ended with {}\n{text}", output.status).into());
    }
    Ok(text)
}

fn on_path(command: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(command).is_file())
}

/// A folder for one page's blocks, removed afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("docs-scratch");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind at worst; `new` removes it next time and says why it cannot.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
