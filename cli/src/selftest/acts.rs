//! What a guest of the self-test does: our own program, started inside the
//! sandbox, with the name of one act.
//!
//! It answers with one line: `done TEXT`, or `errno N`.

use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::sys;

/// Does the act and prints the answer; returns the exit code.
pub fn act(words: &[OsString]) -> u8 {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let answer = match done(&words) {
        Ok(text) => format!("done {text}\n"),
        Err(error) => format!("errno {}\n", error.raw_os_error().unwrap_or(0)),
    };
    match io::stdout().write_all(answer.as_bytes()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn done(words: &[&str]) -> io::Result<String> {
    match words {
        ["read", path] => fs::read(path).map(|bytes| format!("{} bytes", bytes.len())),
        ["create", path] => File::create_new(path).map(nothing),
        ["open-to-write", path] => OpenOptions::new().write(true).open(path).map(nothing),
        ["chmod", path] => fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map(nothing),
        ["device", path] => sys::make_device(&CString::new(*path)?).map(nothing),
        ["call", name] => sys::call(name).map(nothing),
        ["socket", family, kind, protocol] => {
            sys::socket(number(family)?, number(kind)?, number(protocol)?).map(nothing)
        }
        ["signal", process] => sys::could_signal(number(process)?).map(nothing),
        ["connect", address] => connect(address).map(nothing),
        ["connect-abstract", name] => {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            UnixStream::connect_addr(&address).map(nothing)
        }
        ["own-loopback"] => {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            TcpStream::connect(listener.local_addr()?).map(nothing)
        }
        ["descriptors"] => Ok(open_descriptors()),
        ["stdin"] => io::copy(&mut io::stdin(), &mut io::sink()).map(|n| format!("{n} bytes")),
        ["environment"] => {
            let mut names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
            names.sort();
            Ok(names.join(" "))
        }
        ["status", keys @ ..] => status(keys),
        ["host-user"] => host_user(),
        ["pid-is-one"] => Ok((std::process::id() == 1).to_string()),
        ["arguments", arguments @ ..] => Ok(format!("{arguments:?}")),
        _ => not_an_answer(words),
    }
}

/// The acts of which it is the end that counts.
fn not_an_answer(words: &[&str]) -> io::Result<String> {
    match words {
        ["take-memory"] => take_memory(),
        ["threads", most] => Ok(threads(number(most)?).to_string()),
        ["fill", path] => {
            let mut file = File::create(path)?;
            loop {
                file.write_all(&[0; 1 << 16])?;
            }
        }
        ["spin"] => loop {
            std::hint::spin_loop();
        },
        ["print"] => loop {
            io::stdout().write_all(&[b'x'; 1 << 16])?;
        },
        ["stay"] => {
            sys::ignore_signals();
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        ["crash"] => std::process::abort(),
        ["linger", _mark] => {
            std::thread::sleep(Duration::from_secs(600));
            Ok(String::new())
        }
        // A daemon: the one in the middle leaves the session, and ends.
        ["daemon", mark] => {
            sys::new_session()?;
            start(&["linger", mark]).map(nothing)
        }
        ["leave", mark] => start(&["daemon", mark])?.wait().map(nothing),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

fn nothing<T>(_: T) -> String {
    String::new()
}

fn number(word: &str) -> io::Result<i32> {
    word.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let address: SocketAddr =
        address.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    TcpStream::connect_timeout(&address, Duration::from_secs(2))
}

fn open_descriptors() -> String {
    let open = (0..1024).filter(|descriptor| sys::is_open(*descriptor));
    open.map(|descriptor| descriptor.to_string()).collect::<Vec<_>>().join(" ")
}

/// The values of these lines of our own status, e.g. `NoNewPrivs`.
fn status(keys: &[&str]) -> io::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let value = |key: &&str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or("?").trim().to_owned()
    };
    Ok(keys.iter().map(value).collect::<Vec<_>>().join(" "))
}

/// Who we are for the host: `root`, or `a user`.
fn host_user() -> io::Result<String> {
    let own = status(&["Uid"])?;
    let own: u64 = own.split_whitespace().next().and_then(|id| id.parse().ok()).unwrap_or(0);
    let mut map = String::new();
    File::open("/proc/self/uid_map")?.read_to_string(&mut map)?;
    let host = map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
        let (inside, outside, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let offset = own.checked_sub(inside).filter(|offset| *offset < count)?;
        Some(outside + offset)
    });
    Ok(if host == Some(0) { "root" } else { "a user" }.to_owned())
}

/// Takes memory and writes to it until something ends that.
fn take_memory() -> io::Result<String> {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(1 << 20).is_err() {
            // A fence a single process can see; so that the tree is tried as well.
            std::thread::sleep(Duration::from_secs(600));
        }
        block.resize(1 << 20, 1);
        taken.push(block);
    }
}

/// How many threads can be alive at once, up to `most`.
fn threads(most: i32) -> usize {
    let mut alive = Vec::new();
    for _ in 0..most {
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        match thread.spawn(|| std::thread::sleep(Duration::from_secs(600))) {
            Ok(thread) => alive.push(thread),
            Err(_) => break,
        }
    }
    alive.len()
}

#[allow(clippy::disallowed_methods, reason = "this is the guest, which may start what it likes")]
fn start(act: &[&str]) -> io::Result<std::process::Child> {
    std::process::Command::new(std::env::current_exe()?).arg(super::GUEST).args(act).spawn()
}
