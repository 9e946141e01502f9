//! The guest's three standard streams, as the host holds them.
//!
//! All are pipes of our own. The guest is never given a descriptor of the
//! host's: neither its terminal nor its standard input.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use super::super::command::Stdin;
use super::sys;

/// One of the two streams a guest writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The ends of the pipes that become the guest's descriptors 0, 1 and 2. Dropped
/// once the guest holds them, or their ends would never come.
#[derive(Debug)]
pub(crate) struct GuestEnds {
    /// Becomes descriptor 0.
    pub(crate) stdin: OwnedFd,
    /// Becomes descriptor 1.
    pub(crate) stdout: OwnedFd,
    /// Becomes descriptor 2.
    pub(crate) stderr: OwnedFd,
}

/// The ends that the host keeps.
#[derive(Debug)]
pub(crate) struct HostEnds {
    pub(super) feeder: Option<Feeder>,
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
}

/// Opens the pipes of one run. All ends are close-on-exec.
///
/// `keep` is how many bytes of each stream the guest writes are kept.
pub(crate) fn open(stdin: Stdin, keep: u64) -> io::Result<(GuestEnds, HostEnds)> {
    let (guest_stdin, writer) = io::pipe()?;
    let (stdout, guest_stdout) = io::pipe()?;
    let (stderr, guest_stderr) = io::pipe()?;
    let guest = GuestEnds {
        stdin: guest_stdin.into(),
        stdout: guest_stdout.into(),
        stderr: guest_stderr.into(),
    };
    let host = HostEnds {
        feeder: Feeder::new(writer, stdin)?,
        stdout: Capture::new(stdout, keep)?,
        stderr: Capture::new(stderr, keep)?,
    };
    Ok((guest, host))
}

/// One read takes at most this much: the size of a pipe, unless the guest made
/// it larger.
const CHUNK: usize = 64 << 10;

/// A stream the guest writes: the beginning is kept, the rest only counted.
#[derive(Debug)]
pub(super) struct Capture {
    /// `None` after its end.
    reader: Option<PipeReader>,
    keep: u64,
    bytes: u64,
    kept: Vec<u8>,
}

impl Capture {
    fn new(reader: PipeReader, keep: u64) -> io::Result<Self> {
        sys::set_nonblocking(reader.as_fd())?;
        Ok(Self { reader: Some(reader), keep, bytes: 0, kept: Vec::new() })
    }

    /// What to wait on, until the stream's end.
    pub(super) fn reader(&self) -> Option<&PipeReader> {
        self.reader.as_ref()
    }

    /// Bytes the guest wrote so far, kept or not.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether something was thrown away.
    pub(super) fn truncated(&self) -> bool {
        self.bytes > self.keep
    }

    /// Gives up what was kept.
    pub(super) fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }

    /// Reads once, without blocking. What is kept goes to `sink`, and into the
    /// buffer if `capture` says so.
    pub(super) fn read(&mut self, capture: bool, sink: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let mut chunk = [0; CHUNK];
        match reader.read(&mut chunk) {
            Ok(0) => {
                self.reader = None;
                Ok(0)
            }
            Ok(count) => {
                let room = self.keep.saturating_sub(self.bytes);
                let kept = count.min(usize::try_from(room).unwrap_or(usize::MAX));
                self.bytes += count as u64;
                if kept > 0 {
                    sink(&chunk[..kept]);
                    if capture {
                        self.kept.extend_from_slice(&chunk[..kept]);
                    }
                }
                Ok(count)
            }
            Err(error) if would_block(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Reads what lies in the pipe now and no more: somebody may hold the other
    /// end and go on writing.
    pub(super) fn drain(&mut self, capture: bool, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut left = match &self.reader {
            Some(reader) => sys::unread(reader.as_fd())?,
            None => 0,
        };
        while left > 0 {
            match self.read(capture, sink)? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    }
}

/// Fills the guest's standard input without ever waiting for the guest.
#[derive(Debug)]
pub(super) struct Feeder {
    writer: PipeWriter,
    /// Where more comes from, until its end: the host's own standard input.
    source: Option<File>,
    /// What was read and is not yet written, from `written` on.
    pending: Vec<u8>,
    written: usize,
}

impl Feeder {
    /// `None` where the guest's input is at its end from the start.
    fn new(writer: PipeWriter, stdin: Stdin) -> io::Result<Option<Self>> {
        let (pending, source) = match stdin {
            Stdin::Empty => return Ok(None),
            Stdin::Bytes(bytes) => (bytes, None),
            // A duplicate, closed with the run. Its flags stay as they are: they
            // are shared with whoever gave the host its standard input.
            Stdin::Host => match io::stdin().as_fd().try_clone_to_owned() {
                Ok(fd) => (Vec::new(), Some(File::from(fd))),
                // Descriptor 0 is closed: nothing to pass on.
                Err(_) => return Ok(None),
            },
        };
        if pending.is_empty() && source.is_none() {
            return Ok(None);
        }
        sys::set_nonblocking(writer.as_fd())?;
        Ok(Some(Self { writer, source, pending, written: 0 }))
    }

    /// The guest's end is to be waited for: for room while something is pending,
    /// else only for the guest closing it.
    pub(super) fn writer(&self) -> (&PipeWriter, sys::Interest) {
        let interest =
            if self.has_pending() { sys::Interest::Write } else { sys::Interest::HangUp };
        (&self.writer, interest)
    }

    /// The host's input is to be waited for, when the last of it has gone out.
    pub(super) fn source(&self) -> Option<&File> {
        if self.has_pending() { None } else { self.source.as_ref() }
    }

    fn has_pending(&self) -> bool {
        self.written < self.pending.len()
    }

    /// Reads once from the host's input, which is ready.
    pub(super) fn fetch(&mut self) {
        let Some(source) = &mut self.source else { return };
        self.pending.resize(CHUNK, 0);
        let count = loop {
            match source.read(&mut self.pending) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else set it non-blocking and took what was there.
                Err(error) if would_block(&error) => break None,
                // An input that fails is at its end.
                Err(_) => break Some(0),
                Ok(count) => break Some(count),
            }
        };
        self.pending.truncate(count.unwrap_or(0));
        self.written = 0;
        if count == Some(0) {
            self.source = None;
        }
    }

    /// Writes what fits. False when all is written, or nobody reads any more: a
    /// guest that does not want its input is no error.
    pub(super) fn feed(&mut self) -> bool {
        while self.has_pending() {
            match self.writer.write(&self.pending[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if would_block(&error) => return true,
                Err(_) => return false,
            }
        }
        self.source.is_some()
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_keeps_the_beginning_and_counts_the_rest() {
        let (guest, mut host) = open(Stdin::Empty, 4).unwrap();
        File::from(guest.stdout).write_all(b"123456").unwrap();

        let mut seen = Vec::new();
        host.stdout.drain(true, &mut |bytes| seen.extend_from_slice(bytes)).unwrap();

        assert_eq!(host.stdout.bytes(), 6);
        assert!(host.stdout.truncated());
        assert_eq!(seen, b"1234");
        assert_eq!(host.stdout.take_kept(), b"1234");
    }

    #[test]
    fn drain_returns_though_somebody_still_holds_the_pipe() {
        let (guest, mut host) = open(Stdin::Empty, 100).unwrap();
        let mut writer = File::from(guest.stdout);
        writer.write_all(b"so far").unwrap();

        host.stdout.drain(true, &mut |_| {}).unwrap();

        assert_eq!(host.stdout.take_kept(), b"so far");
    }

    #[test]
    fn stdin_is_at_its_end_when_nothing_is_given() {
        for stdin in [Stdin::Empty, Stdin::Bytes(Vec::new())] {
            let (guest, _host) = open(stdin, 0).unwrap();

            let mut read = Vec::new();
            File::from(guest.stdin).read_to_end(&mut read).unwrap();

            assert_eq!(read, b"");
        }
    }

    #[test]
    fn feeder_never_waits_and_stops_when_nobody_reads() {
        let (guest, host) = open(Stdin::Bytes(vec![1; 3 << 20]), 0).unwrap();
        let mut feeder = host.feeder.unwrap();

        assert!(feeder.feed(), "3 MiB do not fit into a pipe: more is pending");
        drop(guest.stdin);
        assert!(!feeder.feed(), "nobody reads");
    }
}
