//! A guest that runs while the test looks at it.

use std::fs;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kernel::sandbox::{Command, Killer, NamespaceIsolator, Outcome, Result};

/// A running guest, watched over by a thread of its own.
pub(crate) struct Live {
    killer: Killer,
    waiter: JoinHandle<Result<Outcome>>,
    said: Receiver<Vec<u8>>,
    heard: String,
}

impl Live {
    pub(crate) fn start(isolator: &NamespaceIsolator, command: Command) -> Self {
        let running = isolator.start(command).unwrap();
        let killer = running.killer();
        let (say, said) = channel();
        let waiter = std::thread::spawn(move || {
            // The test may no longer listen.
            running.wait_streaming(&mut |_, bytes| drop(say.send(bytes.to_vec())))
        });
        Self { killer, waiter, said, heard: String::new() }
    }

    /// Waits until the guest has said `text`; all it said so far.
    #[track_caller]
    pub(crate) fn hear(&mut self, text: &str) -> &str {
        while !self.heard.contains(text) {
            match self.said.recv_timeout(Duration::from_secs(20)) {
                Ok(bytes) => self.heard.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("`{text}` was not said, but:\n{}", self.heard),
            }
        }
        &self.heard
    }

    /// Waits for the guest's own end.
    pub(crate) fn wait(self) -> Result<Outcome> {
        self.waiter.join().unwrap()
    }

    /// Ends the guest.
    pub(crate) fn end(self) -> Outcome {
        self.killer.kill();
        self.wait().unwrap()
    }
}

/// The processes whose command line has `mark` in it.
pub(crate) fn processes_with(mark: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(mark.len()).any(|window| window == mark.as_bytes())
        })
        .collect()
}

/// A field of /proc/pid/status, without the blanks around it.
pub(crate) fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let prefix = format!("{field}:");
    let line = status.lines().find_map(|line| line.strip_prefix(prefix.as_str()));
    line.unwrap_or_else(|| panic!("no {field} of {pid}")).trim().to_owned()
}

/// Waits up to two seconds until `done`.
#[track_caller]
pub(crate) fn soon(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(2);
    while !done() {
        assert!(Instant::now() < deadline, "not within two seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A text that stands in no command line but those it is put in.
pub(crate) fn mark() -> String {
    // As a number of seconds it is also an argument of sleep.
    format!("86400.{}", std::process::id())
}
