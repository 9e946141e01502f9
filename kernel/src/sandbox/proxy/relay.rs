//! Carries bytes between a guest and the host it was let through to.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

/// What a guest sends on to the host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Whatever it sends: a tunnel.
    Everything,
    /// This many bytes of one request.
    Length(u64),
    /// Chunks of one request (RFC 9112, 7.1).
    Chunked,
}

/// Connects both until both have ended. `first` was read from the guest already.
///
/// # Errors
///
/// There is no thread for the second direction.
pub(super) fn relay(
    guest: &TcpStream,
    host: &TcpStream,
    first: &[u8],
    body: &Body,
) -> io::Result<()> {
    thread::scope(|scope| {
        let up = || carry_up(&mut first.chain(guest), host, body);
        thread::Builder::new().name("neuroflow-proxy".into()).spawn_scoped(scope, up)?;
        carry_down(host, guest, body);
        Ok(())
    })
}

/// What the guest sends, and then its end.
fn carry_up(from_guest: &mut impl Read, host: &TcpStream, body: &Body) {
    let sent = send(from_guest, host, body);
    let how = match sent {
        Ok(()) if *body == Body::Everything => Shutdown::Write,
        Ok(()) => {
            // One request is sent. A second one on this connection would reach
            // the same server under another name: it is read, so that we see the
            // guest close, and goes nowhere.
            let _ = io::copy(from_guest, &mut io::sink());
            Shutdown::Both
        }
        Err(_) => Shutdown::Both,
    };
    // It may be closed already.
    let _ = host.shutdown(how);
}

/// What the host answers, and then its end.
fn carry_down(mut host: &TcpStream, mut guest: &TcpStream, body: &Body) {
    let how = match (io::copy(&mut host, &mut guest), body) {
        (Ok(_), Body::Everything) => Shutdown::Write,
        // The answer to one request is complete, so the guest's end is over too.
        _ => Shutdown::Both,
    };
    let _ = guest.shutdown(how);
}

fn send(from: &mut impl Read, mut to: &TcpStream, body: &Body) -> io::Result<()> {
    match body {
        Body::Everything => io::copy(from, &mut to).map(|_| ()),
        Body::Length(length) => {
            if io::copy(&mut from.take(*length), &mut to)? == *length {
                Ok(())
            } else {
                Err(ErrorKind::UnexpectedEof.into())
            }
        }
        Body::Chunked => send_chunks(from, to),
    }
}

/// Sends chunks up to and with the last one. Extensions and trailers are dropped;
/// every size is written anew, so that there is one way to read it.
fn send_chunks(from: &mut impl Read, mut to: impl Write) -> io::Result<()> {
    loop {
        let line = read_line(from)?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size)
            .ok()
            .filter(|size| size.len() <= 8 && size.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|size| u64::from_str_radix(size, 16).ok())
            .ok_or(ErrorKind::InvalidData)?;
        if size == 0 {
            while !read_line(from)?.is_empty() {}
            return to.write_all(b"0\r\n\r\n");
        }
        write!(to, "{size:x}\r\n")?;
        if io::copy(&mut from.take(size), &mut to)? != size {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if !read_line(from)?.is_empty() {
            return Err(ErrorKind::InvalidData.into());
        }
        to.write_all(b"\r\n")?;
    }
}

/// One line without its CRLF, of at most 1 KiB.
fn read_line(from: &mut impl Read) -> io::Result<Vec<u8>> {
    const LONGEST: usize = 1024;
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        from.read_exact(&mut byte)?;
        match (line.last(), byte[0]) {
            (Some(b'\r'), b'\n') => {
                line.pop();
                return Ok(line);
            }
            (Some(b'\r'), _) | (_, b'\n') => return Err(ErrorKind::InvalidData.into()),
            _ if line.len() == LONGEST => return Err(ErrorKind::InvalidData.into()),
            (_, byte) => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut rest = text;
        let mut sent = Vec::new();
        send_chunks(&mut rest, &mut sent)?;
        Ok((sent, rest.to_vec()))
    }

    #[test]
    fn chunks_end_with_the_last_one_and_are_written_anew() {
        let (sent, rest) =
            chunks(b"04;ext=1\r\nabcd\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET / HTTP/1.1")
                .unwrap();

        assert_eq!(sent, b"4\r\nabcd\r\na\r\n0123456789\r\n0\r\n\r\n");
        assert_eq!(rest, b"GET / HTTP/1.1");
    }

    #[test]
    fn chunks_that_could_be_read_in_two_ways_are_refused() {
        for text in [
            &b"4\nabcd\r\n0\r\n\r\n"[..],
            b"+4\r\nabcd\r\n0\r\n\r\n",
            b"0x4\r\nabcd\r\n0\r\n\r\n",
            b"-1\r\n",
            b"\r\n",
            b"4\r\nabcdef\r\n0\r\n\r\n",
            b"123456789\r\n",
            b"4\r\nab",
            b"4\r\rn",
        ] {
            assert!(chunks(text).is_err(), "{}", text.escape_ascii());
        }
    }
}
