//! N4–N9: a network that is a list of hosts, on real guests.
#![cfg(all(target_os = "linux", not(neuroflow_portable)))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use kernel::sandbox::{NamespaceIsolator, Outcome, ProcessIsolator, SandboxConfig};
use neuroflow_tests::need;

/// A service of the host that answers every connection with its name.
fn service(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, name);
        }
    });
    address
}

fn answer(mut stream: TcpStream, name: &str) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = stream.read(&mut [0; 4096]);
    let length = name.len();
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
}

/// Runs Python in a namespace sandbox that lets `hosts` through.
fn run(hosts: &[&str], script: &str) -> Outcome {
    run_with(hosts, script, |config, args| {
        NamespaceIsolator::new(config).execute("python3", args).unwrap()
    })
}

fn run_with(
    hosts: &[&str],
    script: &str,
    execute: impl FnOnce(SandboxConfig, &[&str]) -> Outcome,
) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let config = SandboxConfig {
        work_dir: dir.path().canonicalize().unwrap(),
        timeout: Some(Duration::from_secs(60)),
        enable_network: !hosts.is_empty(),
        allowed_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ..SandboxConfig::default()
    };
    let script = format!("{PRELUDE}\n{script}");
    execute(config, &["-c", &script])
}

fn stdout(outcome: &Outcome) -> &str {
    assert!(outcome.success(), "{:?}\n{}", outcome.exit, String::from_utf8_lossy(&outcome.stderr));
    std::str::from_utf8(&outcome.stdout).unwrap()
}

/// `get` tells what a URL gives; `ask` what the proxy answers to a line; `reach`
/// what a connection past the proxy comes to.
const PRELUDE: &str = "
import errno, socket, urllib.error, urllib.request
def get(url):
    try: print(urllib.request.urlopen(url, timeout=20).read().decode())
    except urllib.error.HTTPError as e: print(e.code)
    except OSError as e: print('unreachable')
def ask(line):
    with socket.create_connection(('127.0.0.1', 3128), 20) as s:
        s.sendall(line.encode() + b'\\r\\nHost: trusted.com\\r\\n\\r\\n')
        print(s.recv(4096).split(b' ')[1].decode())
def reach(family, kind, address):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(20); s.connect(address); s.send(b'x'); print('reached')
    except OSError as e: print(errno.errorcode[e.errno])
";

#[test]
fn n4_a_listed_host_is_reached_and_another_is_not() {
    need!(UserNamespaces);
    let (listed, other) = (service("listed"), service("other"));
    let script = format!("get('http://{listed}/'); get('http://{other}/')");

    let outcome = run(&[&listed.to_string()], &script);
    assert_eq!(stdout(&outcome), "listed\n403\n");
    assert_eq!(outcome.violations.len(), 1, "{:?}", outcome.violations);
    assert_eq!(outcome.violations[0].fix, format!("add `{other}` to `allowed_hosts`"));

    let both = run(&[&listed.to_string(), &other.to_string()], &script);
    assert_eq!(stdout(&both), "listed\nother\n");
    assert_eq!(both.violations, []);
}

#[test]
fn n4_the_process_sandbox_keeps_to_the_list_as_well() {
    need!(UserNamespaces);
    let (listed, other) = (service("listed"), service("other"));
    let script = format!(
        "get('http://{listed}/'); get('http://{other}/')
reach(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', {}))",
        other.port(),
    );
    let process =
        |config, args: &[&str]| ProcessIsolator::new(config).execute("python3", args).unwrap();

    let outcome = run_with(&[&listed.to_string()], &script, process);
    assert_eq!(stdout(&outcome), "listed\n403\nECONNREFUSED\n");
    assert_eq!(outcome.violations.len(), 1, "{:?}", outcome.violations);

    let open = run_with(&["*"], &script, process);
    assert_eq!(stdout(&open), "listed\nother\nreached\n");
}

#[test]
fn n4_no_spelling_of_a_host_that_is_not_listed_gets_through() {
    need!(UserNamespaces);
    let (listed, other) = (service("listed"), service("other"));
    let port = other.port();
    let spellings = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "0",
        "127.0.0.1.",
        "127.9.9.9",
        "trusted.com@127.0.0.1",
        "127.0.0.1%00.trusted.com",
    ];
    let asks: String = spellings
        .iter()
        .map(|host| {
            format!(
                "ask('CONNECT {host}:{port} HTTP/1.1'); ask('GET http://{host}:{port}/ HTTP/1.1')\n"
            )
        })
        .collect();

    let outcome = run(&["trusted.com", &listed.to_string()], &asks);
    for (index, status) in stdout(&outcome).lines().enumerate() {
        assert!(matches!(status, "400" | "403"), "{}: {status}", spellings[index / 2]);
    }
    assert_eq!(stdout(&outcome).lines().count(), spellings.len() * 2);

    let open = run(&[&other.to_string()], &format!("ask('CONNECT {other} HTTP/1.1')"));
    assert_eq!(stdout(&open), "200\n");
}

#[test]
fn n5_the_hosts_loopback_is_reached_only_where_it_is_listed() {
    need!(UserNamespaces);
    let other = service("other");
    let port = other.port();
    let script =
        format!("get('http://localhost:{port}/'); ask('CONNECT localhost:{port} HTTP/1.1')");

    // Past the proxy: the guest's own loopback, where nothing listens.
    assert_eq!(stdout(&run(&["trusted.com"], &script)), "unreachable\n403\n");
    assert_eq!(stdout(&run(&[&format!("localhost:{port}")], &script)), "other\n200\n");
}

#[test]
fn n6_what_ignores_the_proxy_reaches_nothing() {
    need!(UserNamespaces);
    let tcp = service("other");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let script = format!(
        "reach(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', {}))
reach(socket.AF_INET, socket.SOCK_STREAM, ('192.0.2.1', 80))
reach(socket.AF_INET6, socket.SOCK_STREAM, ('2001:db8::1', 80))
reach(socket.AF_INET, socket.SOCK_DGRAM, ('192.0.2.1', 53))
reach(socket.AF_INET, socket.SOCK_DGRAM, ('169.254.169.254', 80))",
        tcp.port(),
    );

    let outcome = run(&[&tcp.to_string(), &udp.to_string()], &script);
    let unreachable = "ENETUNREACH\n".repeat(4);
    assert_eq!(stdout(&outcome), format!("ECONNREFUSED\n{unreachable}"));

    // With the whole network open the same call gets there.
    let open = run(&["*"], script.lines().next().unwrap());
    assert_eq!(stdout(&open), "reached\n");
}

#[test]
fn n7_the_guest_asks_no_name_server() {
    need!(UserNamespaces);
    let script = "
try: socket.getaddrinfo('trusted.com', 80); print('resolved')
except socket.gaierror as e: print('no answer')";

    assert_eq!(stdout(&run(&["trusted.com"], script)), "no answer\n");
}

#[test]
fn n9_the_way_out_of_one_run_is_of_no_use_to_another() {
    need!(UserNamespaces);
    let listed = service("listed");
    let knock = "reach(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', 3128))";
    let listening_here = TcpStream::connect("127.0.0.1:3128").is_ok();
    let (told, tell) = (TcpListener::bind("127.0.0.1:0").unwrap(), "print('knock', flush=True)");
    let door = told.local_addr().unwrap();

    thread::scope(|scope| {
        let first = scope.spawn(|| {
            let script = format!("{tell}\nget('http://{door}/')\nget('http://{listed}/')");
            run(&[&listed.to_string(), &door.to_string()], &script)
        });
        // While the first guest waits at our door, its proxy is there.
        let (waiting, _) = told.accept().unwrap();
        assert_eq!(stdout(&run(&[], knock)), "ECONNREFUSED\n");
        assert_eq!(TcpStream::connect("127.0.0.1:3128").is_ok(), listening_here);
        answer(waiting, "door");
        assert_eq!(stdout(&first.join().unwrap()), "knock\ndoor\nlisted\n");
    });
}

#[test]
fn the_guests_own_loopback_needs_no_proxy() {
    need!(UserNamespaces);
    let script = "
import http.server, threading
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'own')
    def log_message(self, *args): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Hello)
threading.Thread(target=server.serve_forever, daemon=True).start()
get(f'http://127.0.0.1:{server.server_port}/')
get(f'http://localhost:{server.server_port}/')";

    let outcome = run(&["trusted.com"], script);

    assert_eq!(stdout(&outcome), "own\nown\n");
    assert_eq!(outcome.violations, []);
}

#[test]
fn a_guest_that_fills_the_proxy_is_no_trouble_for_the_next() {
    need!(UserNamespaces);
    let listed = service("listed");
    let script = format!(
        "idle = [socket.create_connection(('127.0.0.1', 3128)) for _ in range(150)]
for s in idle: s.close()
get('http://{listed}/')",
    );

    assert_eq!(stdout(&run(&[&listed.to_string()], &script)), "listed\n");
    assert_eq!(
        stdout(&run(&[&listed.to_string()], &format!("get('http://{listed}/')"))),
        "listed\n"
    );
}
