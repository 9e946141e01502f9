//! Compiles in a child process, which can be killed.
//!
//! # Theory of operation
//!
//! The **parent** starts the program that the embedder named, with the one word
//! [`WORD`] and an empty environment. It writes the module into the child's
//! stdin and reads machine code from its stdout. At the deadline, or when the
//! run is killed, it kills the child.
//!
//! The **child** limits its own memory and CPU time before it reads the first
//! byte. It exits with 0, or with [`REFUSED`] and a sentence on stderr. If the
//! parent dies first it ends by its CPU limit or by writing into a closed pipe.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use super::drive::{Stop, Watch};
use super::{engine, intake};
use crate::sandbox::error::{Error, Result};

/// The first argument of a program that is to compile.
pub(super) const WORD: &str = "compile-module";

/// The exit code for a module that is none.
pub(super) const REFUSED: u8 = 3;

/// Bytes of memory that the child may use. The caps on modules keep honest ones
/// far below it.
const MEMORY: u64 = 4 << 30;

/// Seconds of CPU time that the child may use, should nobody kill it.
const CPU_SECONDS: u64 = 120;

/// Bytes of machine code that are taken from the child.
const MOST_CODE: u64 = 1 << 30;

/// Bytes of the child's complaint that are read.
const MOST_WORDS: u64 = 16 << 10;

/// Compiles `bytes` by `program`; the machine code, or the run's ending.
///
/// # Errors
///
/// [`Error::Config`] for a module that does not validate, or that the child's
/// limits did not suffice for; [`Error::Setup`] for a program that cannot be
/// started.
pub(super) fn compile(
    program: &Path,
    bytes: &[u8],
    watch: &Watch,
) -> Result<std::result::Result<Vec<u8>, Stop>> {
    #[expect(clippy::disallowed_methods, reason = "a part of ours, not a guest")]
    let mut child = Command::new(program)
        .arg(WORD)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Error::setup(format!("start {} to compile", program.display()), error))?;

    let answered = exchange(&mut child, bytes, watch);
    let killed = child.kill();
    let status = child.wait().map_err(|error| Error::internal("wait for the compiler", error))?;
    // Killing a child that has ended is no error; it is what `wait` is told of.
    drop(killed);
    let Answer { code, words, ended } = match answered? {
        Ok(answer) => answer,
        Err(stop) => return Ok(Err(stop)),
    };
    if ended && !code.is_empty() {
        return Ok(Ok(code));
    }
    match status.code() {
        Some(code) if code == i32::from(REFUSED) => {
            Err(Error::config(String::from_utf8_lossy(&words).trim().to_owned()))
        }
        _ => Err(Error::config(format!(
            "the module could not be compiled within {MEMORY} bytes of memory and \
             {CPU_SECONDS} s ({status})"
        ))),
    }
}

struct Answer {
    code: Vec<u8>,
    words: Vec<u8>,
    /// The last piece came: what there is of the code is all of it.
    ended: bool,
}

/// What ends the machine code, so that a child that died in the middle of it is
/// not believed.
const END: &[u8] = b"neuroflow: end of code";

fn exchange(
    child: &mut Child,
    bytes: &[u8],
    watch: &Watch,
) -> Result<std::result::Result<Answer, Stop>> {
    let gone = || Error::internal("talk to the compiler", io::Error::other("a pipe is missing"));
    let mut stdin = child.stdin.take().ok_or_else(gone)?;
    let stdout = child.stdout.take().ok_or_else(gone)?;
    let stderr = child.stderr.take().ok_or_else(gone)?;
    let module = bytes.to_vec();
    let (done, answer) = mpsc::channel();
    // None of these threads outlives the child by more than a moment.
    thread::spawn(move || {
        // A child that refuses early closes its end.
        let _ = stdin.write_all(&module);
    });
    thread::spawn(move || {
        let words = thread::spawn(move || {
            let mut words = Vec::new();
            let _ = stderr.take(MOST_WORDS).read_to_end(&mut words);
            words
        });
        let mut code = Vec::new();
        let read = stdout.take(MOST_CODE + END.len() as u64).read_to_end(&mut code);
        let ended = read.is_ok() && code.ends_with(END);
        if ended {
            code.truncate(code.len() - END.len());
        }
        let words = words.join().unwrap_or_default();
        let _ = done.send(Answer { code, words, ended });
    });
    loop {
        match answer.recv_timeout(watch.left().min(super::compile::GLANCE)) {
            Ok(answer) => return Ok(Ok(answer)),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let Some(stop) = watch.stop() {
                    return Ok(Err(stop));
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(gone()),
        }
    }
}

/// What the child does: a module on `input` becomes machine code on `output`.
///
/// # Errors
///
/// [`Error::Config`] for a module that is none; [`Error::Setup`] for limits that
/// cannot be set and for pipes that are gone.
pub(super) fn work(mut input: impl Read, mut output: impl Write) -> Result<()> {
    limit_self().map_err(|error| Error::setup("limit the compiler", error))?;
    let mut bytes = Vec::new();
    input
        .by_ref()
        .take(super::MAX_MODULE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::setup("read the module", error))?;
    intake::inspect(&bytes)?;
    let code = engine::shared()?
        .precompile_module(&bytes)
        .map_err(|error| super::compile::invalid(&error))?;
    output
        .write_all(&code)
        .and_then(|()| output.write_all(END))
        .and_then(|()| output.flush())
        .map_err(|error| Error::setup("hand the machine code over", error))
}

#[cfg(unix)]
fn limit_self() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    for (resource, most) in [
        (Resource::As, MEMORY),
        (Resource::Cpu, CPU_SECONDS),
        (Resource::Core, 0),
        // It writes into pipes and opens nothing.
        (Resource::Fsize, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// The parent's deadline is all there is.
#[cfg(not(unix))]
fn limit_self() -> io::Result<()> {
    Ok(())
}
