//! SOCKS version 5 (RFC 1928): CONNECT by name or address, and nothing else.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::connect::Refusal;
use crate::sandbox::policy::hosts::{Destination, Host};

/// The first byte of every message of this version.
pub(super) const VERSION: u8 = 5;

const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// The codes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Granted = 0,
    NotAllowed = 2,
    HostUnreachable = 4,
    CommandNotSupported = 7,
    AddressNotSupported = 8,
}

impl From<&Refusal> for Code {
    fn from(refusal: &Refusal) -> Self {
        if refusal.is_policy() { Self::NotAllowed } else { Self::HostUnreachable }
    }
}

/// Hears what is asked for, up to but without our answer. `Ok(Err)` is a code to
/// answer with; what cannot even be answered is an `Err`.
pub(super) fn hear<S>(stream: &mut S) -> io::Result<Result<Destination, Code>>
where
    S: Read + Write,
{
    let [version, methods] = read(stream)?;
    let mut offered = vec![0; usize::from(methods)];
    stream.read_exact(&mut offered)?;
    if version != VERSION || !offered.contains(&NO_AUTHENTICATION) {
        stream.write_all(&[VERSION, NO_METHOD])?;
        return Err(io::ErrorKind::InvalidData.into());
    }
    stream.write_all(&[VERSION, NO_AUTHENTICATION])?;

    let [version, command, _reserved, kind] = read(stream)?;
    if version != VERSION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let host = match kind {
        IPV4 => Some(Host::Address(Ipv4Addr::from(read::<4>(stream)?).into())),
        IPV6 => Some(Host::Address(Ipv6Addr::from(read::<16>(stream)?).into())),
        NAME => {
            let [length] = read(stream)?;
            let mut name = vec![0; usize::from(length)];
            stream.read_exact(&mut name)?;
            std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok())
        }
        _ => return Ok(Err(Code::AddressNotSupported)),
    };
    let port = u16::from_be_bytes(read(stream)?);
    Ok(match host {
        _ if command != CONNECT => Err(Code::CommandNotSupported),
        Some(host) if port != 0 => Ok(Destination { host, port }),
        _ => Err(Code::NotAllowed),
    })
}

/// Our answer; the address in it, ours on the outside, is nobody's business.
pub(super) fn answer(code: Code) -> [u8; 10] {
    [VERSION, code as u8, 0, IPV4, 0, 0, 0, 0, 0, 0]
}

fn read<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a guest sends, and what it is answered.
    struct Guest<'a> {
        sends: &'a [u8],
        hears: Vec<u8>,
    }

    impl Read for Guest<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.sends.read(buffer)
        }
    }

    impl Write for Guest<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.hears.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ask(sends: &[u8]) -> io::Result<Result<String, Code>> {
        let mut guest = Guest { sends, hears: Vec::new() };
        hear(&mut guest).map(|asked| asked.map(|destination| destination.to_string()))
    }

    #[test]
    fn a_name_or_an_address_is_asked_for() {
        let mut by_name = b"\x05\x02\x02\x00\x05\x01\x00\x03\x0bTrusted.Com\x01\xbb".to_vec();

        assert_eq!(ask(&by_name).unwrap(), Ok("trusted.com:443".into()));
        by_name[8..].fill(b' ');
        assert!(ask(&by_name).is_err(), "a length that goes past the end");
        assert_eq!(
            ask(b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50").unwrap(),
            Ok("192.0.2.1:80".into())
        );
        let mapped =
            b"\x05\x01\x00\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01\x00\x50";
        assert_eq!(ask(mapped).unwrap(), Ok("[::ffff:127.0.0.1]:80".into()));
    }

    #[test]
    fn everything_else_is_refused() {
        // BIND, UDP ASSOCIATE, a kind of address that does not exist, port 0, an
        // odd spelling, a name that is not UTF-8.
        for (sends, code) in [
            (
                &b"\x05\x01\x00\x05\x02\x00\x01\xc0\x00\x02\x01\x00\x50"[..],
                Code::CommandNotSupported,
            ),
            (b"\x05\x01\x00\x05\x03\x00\x01\xc0\x00\x02\x01\x00\x50", Code::CommandNotSupported),
            (b"\x05\x01\x00\x05\x01\x00\x02\xc0\x00\x02\x01\x00\x50", Code::AddressNotSupported),
            (b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x00", Code::NotAllowed),
            (b"\x05\x01\x00\x05\x01\x00\x03\x05127.1\x00\x50", Code::NotAllowed),
            (b"\x05\x01\x00\x05\x01\x00\x03\x03a\xffb\x00\x50", Code::NotAllowed),
            (b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", Code::NotAllowed),
        ] {
            assert_eq!(ask(sends).unwrap(), Err(code), "{}", sends.escape_ascii());
        }
    }

    #[test]
    fn a_guest_that_wants_to_log_in_is_told_that_it_cannot() {
        let mut guest = Guest { sends: b"\x05\x01\x02", hears: Vec::new() };

        assert!(hear(&mut guest).is_err());
        assert_eq!(guest.hears, [VERSION, NO_METHOD]);
        assert!(ask(b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00").is_err(), "version 4");
    }
}
