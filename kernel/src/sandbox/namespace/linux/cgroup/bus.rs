//! As much of D-Bus as it takes to ask the user's service manager for a scope: one
//! call over a unix socket, and its answer.
//!
//! The manager listens itself, without a bus between, in `systemd/private` of the
//! user's runtime directory, which is where `systemctl --user` turns to; else
//! there is the user's bus. The format: <https://dbus.freedesktop.org/doc/dbus-specification.html>.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long a manager may be silent.
const PATIENCE: Duration = Duration::from_secs(3);

/// Longest message that is read; an answer has some hundred bytes.
const LONGEST: usize = 1 << 16;

/// Why there was no scope.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no manager to ask.
    NoManager,
    /// It did not do what it said it would.
    Silent,
    /// It is not one of ours: another user's, or in another PID namespace, where
    /// our numbers mean other processes.
    Foreign,
    /// The conversation broke off.
    Io(io::Error),
    /// It said no: the error's name and its text.
    Refused(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoManager => f.write_str("no manager listens in the user's runtime directory"),
            Self::Silent => f.write_str("the process was not moved in time"),
            Self::Foreign => f.write_str("the manager that listens there is not of this user here"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

/// A connection to the manager, authenticated.
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
}

impl Bus {
    /// Connects to the manager of the user we are.
    pub(super) fn of_the_manager() -> Result<Self, Failure> {
        let uid = rustix::process::getuid().as_raw();
        let directory = std::env::var_os("XDG_RUNTIME_DIR")
            .map_or_else(|| PathBuf::from(format!("/run/user/{uid}")), PathBuf::from);
        let mut first = None;
        for (socket, is_bus) in [("systemd/private", false), ("bus", true)] {
            match Self::connect(&directory.join(socket), uid, is_bus) {
                Ok(bus) => return Ok(bus),
                Err(failure) => drop(first.get_or_insert(failure)),
            }
        }
        match first {
            Some(Failure::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(Failure::NoManager)
            }
            Some(failure) => Err(failure),
            None => Err(Failure::NoManager),
        }
    }

    fn connect(path: &std::path::Path, uid: u32, is_bus: bool) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // The kernel tells a peer outside of our PID namespace as 0, which is no
        // process, so that it cannot be told at all.
        let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(|_| Failure::Foreign)?;
        if peer.uid.as_raw() != uid {
            return Err(Failure::Foreign);
        }
        let mut bus = Self { stream, serial: 0 };
        bus.authenticate(uid)?;
        if is_bus {
            bus.call(
                "org.freedesktop.DBus",
                "/org/freedesktop/DBus",
                "Hello",
                "",
                &Body::default(),
            )?;
        }
        Ok(bus)
    }

    /// `EXTERNAL`: who we are the kernel tells; the number is said in the hex of its
    /// digits.
    fn authenticate(&mut self, uid: u32) -> Result<(), Failure> {
        let hex: String = uid.to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n") && answer.len() < 512 {
            self.stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"OK ") {
            let answer = String::from_utf8_lossy(&answer).trim().to_owned();
            return Err(Failure::Refused(format!("authentication: {answer}")));
        }
        self.stream.write_all(b"BEGIN\r\n")?;
        Ok(())
    }

    /// Has a delegated scope made around the process `pid`. Returns when that has
    /// begun.
    pub(super) fn start_scope(&mut self, unit: &str, about: &str, pid: u32) -> Result<(), Failure> {
        let mut body = Body::default();
        body.string(unit);
        body.string("fail");
        body.array(8, |properties| {
            properties.property("Description", "s", |value| value.string(about));
            properties.property("Delegate", "b", |value| value.u32(1));
            // One that failed is of no use to anybody.
            properties.property("CollectMode", "s", |value| value.string("inactive-or-failed"));
            properties.property("PIDs", "au", |value| value.array(4, |pids| pids.u32(pid)));
        });
        body.array(8, |_auxiliary_units| {});
        self.call(
            "org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
            "StartTransientUnit",
            "ssa(sv)a(sa(sv))",
            &body,
        )
    }

    /// Calls a method of an interface that is called like its service, or like the
    /// manager's, and waits for the answer.
    fn call(
        &mut self,
        service: &str,
        path: &str,
        method: &str,
        signature: &str,
        body: &Body,
    ) -> Result<(), Failure> {
        self.serial += 1;
        let interface = match service {
            "org.freedesktop.systemd1" => "org.freedesktop.systemd1.Manager",
            other => other,
        };
        let mut message = Body::default();
        // Little-endian, a method call without flags, protocol version 1.
        message.bytes.extend([b'l', METHOD_CALL, 0, 1]);
        message.u32(u32::try_from(body.bytes.len()).unwrap_or(u32::MAX));
        message.u32(self.serial);
        message.array(8, |fields| {
            fields.field(1, "o", |value| value.string(path));
            fields.field(2, "s", |value| value.string(interface));
            fields.field(3, "s", |value| value.string(method));
            fields.field(6, "s", |value| value.string(service));
            if !signature.is_empty() {
                fields.field(8, "g", |value| value.signature(signature));
            }
        });
        message.align(8);
        message.bytes.extend_from_slice(&body.bytes);
        self.stream.write_all(&message.bytes)?;
        self.answer()
    }

    /// Reads until the answer to the last call: signals may come between.
    fn answer(&mut self) -> Result<(), Failure> {
        loop {
            let (kind, reply_to, body) = self.receive()?;
            match kind {
                METHOD_RETURN if reply_to == Some(self.serial) => return Ok(()),
                ERROR if reply_to == Some(self.serial) => {
                    return Err(Failure::Refused(text_at(&body, 0).unwrap_or_default()));
                }
                _ => {}
            }
        }
    }

    /// One message: its type, what it answers, its body.
    fn receive(&mut self) -> Result<(u8, Option<u32>, Vec<u8>), Failure> {
        let odd = || Failure::Refused("an answer that is no D-Bus message".into());
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        if head[0] != b'l' {
            return Err(odd());
        }
        let body = number_at(&head, 4).ok_or_else(odd)? as usize;
        let fields = number_at(&head, 12).ok_or_else(odd)? as usize;
        let padded = fields.checked_next_multiple_of(8).ok_or_else(odd)?;
        if padded.saturating_add(body) > LONGEST {
            return Err(odd());
        }
        let mut rest = vec![0; padded + body];
        self.stream.read_exact(&mut rest)?;
        Ok((head[1], reply_serial(&rest[..fields]), rest.split_off(padded)))
    }
}

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// The field `REPLY_SERIAL` among header fields: each begins at a multiple of 8
/// with its code and the signature of its value.
fn reply_serial(fields: &[u8]) -> Option<u32> {
    const REPLY_SERIAL: u8 = 5;
    let mut at = 0_usize;
    while at + 4 <= fields.len() {
        let (code, kind) = (fields[at], fields[at + 2]);
        let value = at + 4;
        match kind {
            b'u' if code == REPLY_SERIAL => return number_at(fields, value),
            b'u' => at = value + 4,
            b's' | b'o' => at = value + 4 + number_at(fields, value)? as usize + 1,
            b'g' => at = value + 1 + usize::from(*fields.get(value)?) + 1,
            _ => return None,
        }
        at = at.next_multiple_of(8);
    }
    None
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn text_at(bytes: &[u8], at: usize) -> Option<String> {
    let length = number_at(bytes, at)? as usize;
    let text = bytes.get(at + 4..(at + 4).checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Values in D-Bus's format, each at a multiple of its size.
#[derive(Debug, Default)]
struct Body {
    bytes: Vec<u8>,
}

impl Body {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A string, or a path: length, text, a zero.
    fn string(&mut self, value: &str) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// Likewise, with a length of one byte. Ours are short.
    fn signature(&mut self, value: &str) {
        self.bytes.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// An array of elements that begin at a multiple of `to`: its length in bytes,
    /// which does not count the padding before the first.
    fn array(&mut self, to: usize, fill: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.bytes.len() - 4;
        self.align(to);
        let begin = self.bytes.len();
        fill(self);
        let length = u32::try_from(self.bytes.len() - begin).unwrap_or(u32::MAX);
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// A pair of a name and a variant: `(sv)`.
    fn property(&mut self, name: &str, kind: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.string(name);
        self.signature(kind);
        value(self);
    }

    /// A header field: a pair of a code and a variant, `(yv)`.
    fn field(&mut self, code: u8, kind: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.bytes.push(code);
        self.signature(kind);
        value(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_where_the_format_has_them() {
        let mut body = Body::default();
        body.string("ab");
        body.array(8, |array| array.property("n", "u", |value| value.u32(7)));

        assert_eq!(
            body.bytes,
            [
                2, 0, 0, 0, b'a', b'b', 0, 0, // a string, and up to the array's length
                16, 0, 0, 0, 0, 0, 0, 0, // its length, and up to the first pair
                1, 0, 0, 0, b'n', 0, 1, b'u', 0, 0, 0, 0, 7, 0, 0, 0,
            ]
        );
    }

    /// A peer that says no, in a thread of its own.
    #[test]
    fn an_error_is_told_and_a_signal_before_it_is_not_taken_for_it() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let message = |kind: u8, reply_to: Option<u32>, text: &str| {
            let mut body = Body::default();
            body.string(text);
            let mut message = Body::default();
            message.bytes.extend([b'l', kind, 0, 1]);
            message.u32(u32::try_from(body.bytes.len()).unwrap());
            message.u32(9);
            message.array(8, |fields| {
                fields.field(6, "s", |value| value.string(":1.2"));
                if let Some(serial) = reply_to {
                    fields.field(5, "u", |value| value.u32(serial));
                }
                fields.field(8, "g", |value| value.signature("s"));
            });
            message.align(8);
            message.bytes.extend(body.bytes);
            message.bytes
        };
        theirs.write_all(&message(4, None, "a signal")).unwrap();
        theirs.write_all(&message(METHOD_RETURN, Some(0), "to another call")).unwrap();
        theirs.write_all(&message(ERROR, Some(1), "no such unit")).unwrap();
        let mut bus = Bus { stream: ours, serial: 0 };

        let failure = bus.start_scope("x.scope", "x", 1).unwrap_err();

        assert_eq!(failure.to_string(), "no such unit");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs
            .write_all(&[b'l', 2, 0, 1, 255, 255, 255, 127, 0, 0, 0, 0, 255, 255, 255, 127])
            .unwrap();
        let mut bus = Bus { stream: ours, serial: 1 };

        assert!(matches!(bus.answer(), Err(Failure::Refused(_))));
        drop(theirs);
        assert!(matches!(bus.answer(), Err(Failure::Io(_))));
    }
}
