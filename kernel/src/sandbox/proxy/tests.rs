use std::io::BufRead;
use std::io::BufReader;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;

use super::*;
use crate::sandbox::policy::hosts::HostName;

/// `inside.test` and `rebound.test` lead to loopback; nothing else exists.
fn resolve(name: &HostName) -> io::Result<Vec<IpAddr>> {
    match name.as_str() {
        "inside.test" | "listed.test" => Ok(vec![[127, 0, 0, 1].into()]),
        "mixed.test" => Ok(vec![[192, 0, 2, 1].into(), [127, 0, 0, 1].into()]),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
    }
}

/// A server that answers each connection with `answer`, and tells what it read up
/// to the end or an empty line and `body` bytes more.
fn server(answer: &'static str, body: usize) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut heard = String::new();
            while reader.read_line(&mut heard).unwrap() > 2 {}
            let mut rest = vec![0; body];
            reader.read_exact(&mut rest).unwrap();
            heard.push_str(std::str::from_utf8(&rest).unwrap());
            stream.write_all(answer.as_bytes()).unwrap();
            // Ends when the test does.
            if tell.send(heard).is_err() {
                return;
            }
        }
    });
    (address, told)
}

struct Inside {
    proxy: Option<Proxy>,
    address: SocketAddr,
}

impl Inside {
    fn new(rules: &[&str]) -> Self {
        let rules = rules
            .iter()
            .map(|rule| rule.parse::<crate::sandbox::policy::hosts::HostRule>().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Proxy::start_with(rules.collect(), resolve, || Ok(listener)).unwrap();
        Self { proxy: Some(proxy), address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Everything that comes back for `request`, up to the end.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn refused(&self) -> Vec<Violation> {
        self.proxy.as_ref().unwrap().refused()
    }
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_listed_host_is_reached_and_another_is_not() {
    let (address, told) = server(ANSWER, 0);
    let inside = Inside::new(&[&address.to_string()]);

    let answer = inside.ask(&format!("GET http://{address}/a HTTP/1.1\r\nHost: evil.org\r\n\r\n"));
    assert_eq!(answer, ANSWER);
    let heard = told.recv().unwrap();
    assert_eq!(heard, format!("GET /a HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));

    let refused = inside.ask("GET http://evil.org/ HTTP/1.1\r\nHost: trusted.com\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{refused}");
    assert!(refused.ends_with("neuroflow: `evil.org:80` is not in `allowed_hosts`\n"), "{refused}");
    let violations = inside.refused();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].rule, "allowed_hosts");
    assert_eq!(violations[0].fix, "add `evil.org:80` to `allowed_hosts`");
}

#[test]
fn another_port_of_a_listed_host_is_refused() {
    let (listed, _) = server(ANSWER, 0);
    let (other, told) = server(ANSWER, 0);
    let inside = Inside::new(&[&listed.to_string()]);

    let answer = inside.ask(&format!("CONNECT {other} HTTP/1.1\r\n\r\n"));

    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(told.try_recv().is_err());
}

#[test]
fn a_tunnel_carries_bytes_both_ways_until_both_have_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        stream.write_all(&heard).unwrap();
    });
    let inside = Inside::new(&[&address.to_string()]);
    let mut stream = inside.connect();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();

    write!(stream, "CONNECT {address} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut established = [0; 39];
    stream.read_exact(&mut established).unwrap();
    let writer = stream.try_clone().unwrap();
    let mut heard = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&writer).write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        stream.read_to_end(&mut heard).unwrap();
    });

    assert_eq!(&established, b"HTTP/1.1 200 Connection established\r\n\r\n");
    assert!(heard == sent, "{} of {} bytes came back", heard.len(), sent.len());
    echo.join().unwrap();
}

#[test]
fn a_second_request_on_a_connection_goes_nowhere() {
    let (address, told) = server(ANSWER, 3);
    let inside = Inside::new(&[&address.to_string()]);

    let first = format!("POST http://{address}/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
    let answer = inside.ask(&format!("{first}GET http://{address}/secret HTTP/1.1\r\n\r\n"));

    assert_eq!(answer, ANSWER);
    let heard = told.recv().unwrap();
    assert!(heard.ends_with("\r\n\r\nabc"), "{heard}");
    assert!(told.try_recv().is_err());
}

#[test]
fn a_name_that_leads_inside_is_refused_whatever_it_is_mixed_with() {
    let (address, told) = server(ANSWER, 0);
    let port = address.port();
    let inside = Inside::new(&["inside.test", "mixed.test"]);

    for name in ["inside.test", "mixed.test"] {
        let answer = inside.ask(&format!("CONNECT {name}:{port} HTTP/1.1\r\n\r\n"));
        assert!(answer.contains("leads to 127.0.0.1"), "{answer}");
    }
    assert!(told.try_recv().is_err());

    // The same name, with the address listed as well.
    let inside = Inside::new(&["listed.test", &address.to_string()]);
    assert_eq!(inside.ask(&format!("GET http://listed.test:{port}/ HTTP/1.1\r\n\r\n")), ANSWER);
}

#[test]
fn the_hosts_own_addresses_are_refused_in_every_spelling() {
    let (address, told) = server(ANSWER, 0);
    let port = address.port();
    let inside = Inside::new(&["trusted.com", "*.test"]);

    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "trusted.com@127.0.0.1",
        "127.0.0.1.",
        "LOCALHOST.",
    ] {
        let answer = inside.ask(&format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 40"), "{host}: {answer}");
    }
    assert!(told.try_recv().is_err());
}

#[test]
fn localhost_is_the_hosts_loopback_where_it_is_listed() {
    let (address, _told) = server(ANSWER, 0);
    let inside = Inside::new(&[&format!("localhost:{}", address.port())]);

    let answer = inside.ask(&format!("GET http://LocalHost:{}/ HTTP/1.1\r\n\r\n", address.port()));

    assert_eq!(answer, ANSWER);
}

#[test]
fn socks_goes_through_the_same_list() {
    let (address, _told) = server(ANSWER, 0);
    let inside = Inside::new(&[&address.to_string()]);
    let ask = |ip: [u8; 4]| {
        let mut stream = inside.connect();
        let mut request = vec![5, 1, 0, 5, 1, 0, 1];
        request.extend(ip);
        request.extend(address.port().to_be_bytes());
        stream.write_all(&request).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        (answer[3], stream)
    };

    let (code, mut stream) = ask([127, 0, 0, 1]);
    assert_eq!(code, 0);
    stream.write_all(b"x\r\n\r\n").unwrap();
    let mut heard = vec![0; ANSWER.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, ANSWER.as_bytes());

    let (code, _) = ask([127, 0, 0, 2]);
    assert_eq!(code, 2);
    assert_eq!(inside.refused().len(), 1);
}

#[test]
fn what_is_no_request_is_answered_and_closed() {
    let inside = Inside::new(&["trusted.com"]);

    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("\x16\x03\x01\r\n\r\n".to_owned(), "400"),
        (format!("GET http://trusted.com/ HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000)), "431"),
        ("CONNECT unknown.trusted.com:1 HTTP/1.1\r\n\r\n".to_owned(), "403"),
        ("CONNECT trusted.com:1 HTTP/1.1\r\n\r\n".to_owned(), "502"),
    ] {
        // A connection that is reset has told its answer before.
        let mut stream = inside.connect();
        let _ = stream.write_all(request.as_bytes());
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes());
    }
    let mut cut = inside.connect();
    cut.write_all(b"GET http://trusted.com/").unwrap();
    cut.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    cut.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("cut short"), "{answer}");
}

#[test]
fn a_proxy_that_ends_takes_its_connections_along() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut inside = Inside::new(&[&address.to_string()]);
    let mut stream = inside.connect();
    write!(stream, "CONNECT {address} HTTP/1.1\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 39]).unwrap();
    let (mut host, _) = listener.accept().unwrap();

    inside.proxy = None;

    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "the guest's end");
    assert_eq!(host.read(&mut [0; 1]).unwrap_or(0), 0, "the host's end");
    let gone = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(10));
        TcpStream::connect(inside.address).is_err()
    });
    assert!(gone, "the listener is still there");
}

#[test]
fn more_connections_than_are_served_at_once_wait() {
    let (address, _told) = server(ANSWER, 0);
    let inside = Inside::new(&[&address.to_string()]);
    let idle: Vec<_> = (0..MOST_CONNECTIONS).map(|_| inside.connect()).collect();

    let mut waiting = inside.connect();
    write!(waiting, "GET http://{address}/ HTTP/1.1\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(50));
    drop(idle);

    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, ANSWER);
}
