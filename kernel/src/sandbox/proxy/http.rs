//! HTTP as a proxy hears it: `CONNECT host:port`, and `GET http://host/path`.
//!
//! One request a connection. What is passed on is written anew from what was
//! understood: a request that we and the server read differently is how others
//! were walked around.

use std::io::Write;

use super::Fault;
use super::relay::Body;
use crate::sandbox::policy::hosts::Destination;

/// The longest head of a request that is read.
pub(super) const LONGEST_HEAD: usize = 32 << 10;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Where to.
    pub(super) destination: Destination,
    /// What the server is sent first; empty for a tunnel.
    pub(super) head: Vec<u8>,
    /// What it is sent after that.
    pub(super) body: Body,
}

/// Fields between the guest and us (RFC 9110, 7.6.1), and the one we write.
const NOT_PASSED_ON: [&str; 10] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// Where the head of a request ends, with its empty line.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads a head that ends in an empty line.
pub(super) fn parse(head: &[u8]) -> Result<Request, Fault> {
    let head = std::str::from_utf8(head).map_err(|_| bad("the head is not UTF-8"))?;
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let line = lines.next().unwrap_or_default();
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err(bad("the request line is not `METHOD TARGET VERSION`"));
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(bad("the method is no word"));
    }
    if version != "HTTP/1.1" && version != "HTTP/1.0" {
        return Err(bad("the version is neither HTTP/1.1 nor HTTP/1.0"));
    }
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    if method == "CONNECT" {
        let destination = target.parse().map_err(|error| bad(&format!("{error}")))?;
        return Ok(Request { destination, head: Vec::new(), body: Body::Everything });
    }
    let (destination, authority, path) = split_target(target)?;
    let body = body(&fields)?;
    let mut head = Vec::new();
    // Writing to a vector does not fail.
    let _ = write!(head, "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for (name, value) in passed_on(&fields) {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Ok(Request { destination, head, body })
}

/// `http://host:port/path` in its parts; the authority as a server expects it.
fn split_target(target: &str) -> Result<(Destination, String, &str), Fault> {
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if scheme.is_none() {
        return Err(bad("the target is no `http://` address; this is a proxy"));
    }
    let rest = &target[7..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // Printable ASCII alone; `#` never goes to a server.
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(bad("the path has characters that must be escaped"));
    }
    let destination = authority
        .parse::<Destination>()
        .or_else(|error| {
            let with_port = format!("{authority}:80");
            // The first error is about what was written.
            with_port.parse().map_err(|_| error)
        })
        .map_err(|error| bad(&format!("{error}")))?;
    let authority = match destination.to_string() {
        text if destination.port == 80 => text.trim_end_matches(":80").to_owned(),
        text => text,
    };
    match path {
        "" => Ok((destination, authority, "/")),
        path if path.starts_with('/') => Ok((destination, authority, path)),
        _ => Err(bad("the path does not begin with `/`")),
    }
}

fn field(line: &str) -> Result<(&str, &str), Fault> {
    let (name, value) = line.split_once(':').ok_or_else(|| bad("a field has no `:`"))?;
    // A name with a blank before its colon, and a line that goes on the one
    // before it, are read differently by different servers.
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(bad("a field's name is no word"));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(bad("a field has control characters in it"));
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

fn passed_on<'f>(fields: &'f [(&str, &str)]) -> impl Iterator<Item = &'f (&'f str, &'f str)> {
    let named: Vec<String> = fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        // These tell how long the request is; nobody may take that away.
        .filter(|name| name != "content-length" && name != "transfer-encoding")
        .collect();
    fields.iter().filter(move |(name, _)| {
        let name = name.to_ascii_lowercase();
        !NOT_PASSED_ON.contains(&name.as_str()) && !named.contains(&name)
    })
}

fn body(fields: &[(&str, &str)]) -> Result<Body, Fault> {
    let values = |wanted: &str| -> Vec<&str> {
        let same = |name: &str| name.eq_ignore_ascii_case(wanted);
        fields.iter().filter(|(name, _)| same(name)).map(|(_, value)| *value).collect()
    };
    match (values("content-length")[..].as_ref(), values("transfer-encoding")[..].as_ref()) {
        ([], []) => Ok(Body::Length(0)),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Body::Length).map_err(|_| bad("the length is no number"))
        }
        _ => Err(bad("the length of the request is not told in one way")),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn bad(reason: &str) -> Fault {
    Fault { status: 400, reason: reason.to_owned() }
}

/// The answer to a request that goes no further.
pub(super) fn answer(fault: &Fault) -> Vec<u8> {
    let words = match fault.status {
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        _ => "Bad Gateway",
    };
    let text = format!("neuroflow: {}\n", fault.reason);
    format!(
        "HTTP/1.1 {} {words}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        fault.status,
        text.len(),
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(lines: &[&str]) -> Result<Request, Fault> {
        parse(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())
    }

    fn head(request: &Request) -> &str {
        std::str::from_utf8(&request.head).unwrap()
    }

    #[test]
    fn a_tunnel_is_asked_for_by_host_and_port() {
        let request = ask(&["CONNECT API.Trusted.com.:443 HTTP/1.1", "Host: evil.org"]).unwrap();

        assert_eq!(request.destination.to_string(), "api.trusted.com:443");
        assert_eq!(request.body, Body::Everything);
        assert!(request.head.is_empty());
    }

    #[test]
    fn the_server_is_told_the_host_of_the_target_and_not_of_the_field() {
        let request = ask(&[
            "POST http://Trusted.com:8080/a?b=c HTTP/1.1",
            "Host: evil.org",
            "Content-Length: 3",
            "Connection: keep-alive, X-Secret, Content-Length",
            "X-Secret: 1",
            "Proxy-Authorization: Basic x",
            "Accept: */*",
        ])
        .unwrap();

        assert_eq!(request.destination.to_string(), "trusted.com:8080");
        assert_eq!(request.body, Body::Length(3));
        assert_eq!(
            head(&request),
            "POST /a?b=c HTTP/1.1\r\nHost: trusted.com:8080\r\nConnection: close\r\n\
             Content-Length: 3\r\nAccept: */*\r\n\r\n",
        );
    }

    #[test]
    fn a_target_without_port_or_path_means_port_80_and_the_root() {
        for target in ["http://trusted.com", "HTTP://trusted.com/", "http://trusted.com:80/"] {
            let request = ask(&[&format!("GET {target} HTTP/1.0")]).unwrap();
            assert_eq!(request.destination.to_string(), "trusted.com:80");
            assert!(head(&request).starts_with("GET / HTTP/1.1\r\nHost: trusted.com\r\n"));
        }
        let address = ask(&["GET http://[2001:db8::1]/ HTTP/1.1"]).unwrap();
        assert_eq!(address.destination.to_string(), "[2001:db8::1]:80");
    }

    #[test]
    fn a_request_that_could_be_read_in_two_ways_is_refused() {
        let get = "GET http://trusted.com/ HTTP/1.1";
        for lines in [
            &["GET / HTTP/1.1", "Host: trusted.com"][..],
            &["GET https://trusted.com/ HTTP/1.1"],
            &["GET http://user@trusted.com/ HTTP/1.1"],
            &["GET http://trusted.com@evil.org/ HTTP/1.1"],
            &["GET http://trusted.com\\@evil.org/ HTTP/1.1"],
            &["GET http://trusted.com#@evil.org/ HTTP/1.1"],
            &["GET http://trusted.com?x HTTP/1.1"],
            &["GET http://trusted.com/a\tb HTTP/1.1"],
            &["GET http://trusted.com/\u{e4} HTTP/1.1"],
            &["GET http://0x7f.1/ HTTP/1.1"],
            &["GET  http://trusted.com/ HTTP/1.1"],
            &["GET http://trusted.com/ HTTP/2"],
            &["GET http://trusted.com/"],
            &["G\u{1}T http://trusted.com/ HTTP/1.1"],
            &["CONNECT trusted.com HTTP/1.1"],
            &["CONNECT http://trusted.com:443 HTTP/1.1"],
            &["CONNECT trusted.com:443:80 HTTP/1.1"],
            &[get, "Name : value"],
            &[get, "Name: a", " folded"],
            &[get, "no colon"],
            &[get, "Name: a\nHost: evil.org"],
            &[get, "Name: a\rb"],
            &[get, "Name: a\0"],
            &[get, "Content-Length: 1", "Content-Length: 2"],
            &[get, "Content-Length: 1", "Transfer-Encoding: chunked"],
            &[get, "Content-Length: +1"],
            &[get, "Content-Length: 99999999999999999999"],
            &[get, "Transfer-Encoding: gzip, chunked"],
            &[get, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ] {
            assert_eq!(ask(lines).unwrap_err().status, 400, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_passed_on_names_one_host_and_one_length(
            target in "http://([a-z.:@]|trusted\\.com|:80|/){0,6}",
            fields in prop::collection::vec(
                "(Host|Connection|Content-Length|Transfer-Encoding|X)( |):[ \t]?(a|1|chunked|close, x|\r|\n|\0|ä)?", 0..5,
            ),
        ) {
            let head = format!("GET {target} HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"));
            let Ok(request) = parse(head.as_bytes()) else { return Ok(()) };

            let head = String::from_utf8(request.head).unwrap();
            let names: Vec<_> = head.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
            let count = |wanted: &str| names.iter().filter(|name| **name == wanted).count();
            prop_assert_eq!(count("Host"), 1);
            prop_assert_eq!(count("Connection"), 1);
            prop_assert!(count("Content-Length") + count("Transfer-Encoding") <= 1, "{}", head);
            let authority = head.lines().nth(1).unwrap().strip_prefix("Host: ").unwrap();
            let with_port = format!("{authority}:80");
            let told: Destination = authority.parse().or_else(|_| with_port.parse()).unwrap();
            prop_assert_eq!(told, request.destination);
            prop_assert_eq!(head.matches("\r\n").count(), head.matches('\n').count());
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn the_head_ends_at_the_first_empty_line() {
        assert_eq!(end_of_head(b"GET / HTTP/1.1\r\n\r\nbody\r\n\r\n"), Some(18));
        assert_eq!(end_of_head(b"GET / HTTP/1.1\r\nHost: x\r\n"), None);
    }
}
