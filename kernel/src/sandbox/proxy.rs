//! The one way out of a sandbox whose network is a list of hosts.
//!
//! # Theory of operation
//!
//! The guest's network namespace has a loopback interface and nothing else: no
//! route, no address, no name server. On that loopback listens a socket which
//! init made before the guest began, and whose descriptor init sent out to the
//! **host**. The host accepts there, hears where the guest wants to go (HTTP or
//! SOCKS, told apart by the first byte), and connects from its own network to
//! what `allowed_hosts` lets through. So
//!
//! * a program that ignores the proxy's variables reaches nothing, and so does
//!   every protocol that no proxy carries;
//! * names are resolved out here, once, and the address that was checked is the
//!   one that is connected to;
//! * the way out belongs to one run: its socket is in that run's namespace, where
//!   no other run and no other user can get;
//! * when the proxy ends, the listener is closed, and there is no way out.
//!
//! One thread accepts, and each connection has one of its own, with a second one
//! for the other direction. They end when the [`Proxy`] is dropped: every socket
//! is shut down, and none is opened any more.

mod connect;
mod http;
mod relay;
mod socks;

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::outcome::Violation;
use super::policy::hosts::{Destination, HostRules};
use connect::{Refusal, Resolve, connect};
use relay::Body;

/// Connections at once; more wait in the listener's queue. Each takes two
/// descriptors of whoever embeds us.
const MOST_CONNECTIONS: usize = 64;
/// How long a guest may take to say where it wants to go.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// Refused destinations that are told; a guest may try any number.
const MOST_REFUSALS: usize = 64;

/// A proxy at work. Dropping it closes every connection through it.
#[derive(Debug)]
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    /// Its other end is watched; closing this one stops the acceptor.
    _stop: PipeWriter,
}

#[derive(Debug)]
struct Shared {
    rules: HostRules,
    resolve: Resolve,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// Both ends of every connection, to be shut down at the end.
    open: BTreeMap<u64, Vec<Arc<TcpStream>>>,
    next: u64,
    refused: Vec<Violation>,
}

impl Proxy {
    /// Starts to serve what `listener` gives, once it has given the socket:
    /// whoever makes it may still be at work.
    ///
    /// # Errors
    ///
    /// What kept the thread from starting.
    pub(crate) fn start<F>(rules: HostRules, listener: F) -> io::Result<Self>
    where
        F: FnOnce() -> io::Result<TcpListener> + Send + 'static,
    {
        Self::start_with(rules, connect::system_resolver, listener)
    }

    fn start_with<F>(rules: HostRules, resolve: Resolve, listener: F) -> io::Result<Self>
    where
        F: FnOnce() -> io::Result<TcpListener> + Send + 'static,
    {
        let (watched, stop) = io::pipe()?;
        let shared = Arc::new(Shared { rules, resolve, state: Mutex::default() });
        let served = Arc::clone(&shared);
        thread::Builder::new().name("neuroflow-proxy".into()).spawn(move || {
            // Without a listener there is no way out, which is safe: the set-up
            // that was to make it has failed and says so itself.
            if let Ok(listener) = listener() {
                let _ = accept(&served, &listener, &watched);
            }
        })?;
        Ok(Self { shared, _stop: stop })
    }

    /// The destinations that were refused, each once.
    pub(crate) fn refused(&self) -> Vec<Violation> {
        self.shared.state().refused.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.stopped = true;
        for stream in state.open.values().flatten() {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a stream of connection `id`; `Err` once the proxy has stopped.
    fn keep(&self, id: u64, stream: TcpStream) -> io::Result<Arc<TcpStream>> {
        let stream = Arc::new(stream);
        let mut state = self.state();
        if state.stopped {
            return Err(io::ErrorKind::NotConnected.into());
        }
        state.open.entry(id).or_default().push(Arc::clone(&stream));
        Ok(stream)
    }

    fn connect(&self, destination: &Destination) -> Result<TcpStream, Refusal> {
        let stopped = || self.state().stopped;
        connect(&self.rules, self.resolve, &stopped, destination).inspect_err(|refusal| {
            if refusal.is_policy() {
                self.note(destination, refusal);
            }
        })
    }

    fn note(&self, destination: &Destination, refusal: &Refusal) {
        let what = format!("connect to {destination}: it {refusal}");
        let opens = match refusal {
            Refusal::LeadsInside(address) => address.to_string(),
            _ => destination.to_string(),
        };
        let refused = &mut self.state().refused;
        if refused.len() < MOST_REFUSALS && !refused.iter().any(|known| known.what == what) {
            refused.push(Violation {
                kind: "network".into(),
                what,
                rule: "allowed_hosts".into(),
                fix: format!("add `{opens}` to `allowed_hosts`"),
            });
        }
    }
}

/// Accepts until the other end of `stop` is closed.
fn accept(shared: &Arc<Shared>, listener: &TcpListener, stop: &PipeReader) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    loop {
        let full = shared.state().open.len() >= MOST_CONNECTIONS;
        let mut watched = vec![PollFd::new(stop, PollFlags::IN)];
        if !full {
            watched.push(PollFd::new(listener, PollFlags::IN));
        }
        // A connection that ends wakes nobody; look again soon.
        let soon = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        match poll(&mut watched, full.then_some(&soon)) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if !watched[0].revents().is_empty() {
            return Ok(());
        }
        match listener.accept() {
            Ok((guest, _)) => serve(shared, guest),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, or the guest was gone again: not for good.
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Serves one connection in a thread of its own.
fn serve(shared: &Arc<Shared>, guest: TcpStream) {
    let id = {
        let mut state = shared.state();
        state.next += 1;
        state.next
    };
    let kept = guest.set_nonblocking(false).and_then(|()| shared.keep(id, guest));
    let Ok(guest) = kept else { return };
    let served = Arc::clone(shared);
    let thread = thread::Builder::new().name("neuroflow-proxy".into()).spawn(move || {
        let forget = Forget { shared: &served, id };
        // What goes wrong from here on ends this connection and is no one else's.
        let _ = talk(&served, id, &guest);
        let _ = guest.shutdown(Shutdown::Both);
        drop(forget);
    });
    if thread.is_err() {
        shared.state().open.remove(&id);
    }
}

/// Takes a connection off the list, also when its thread panics.
struct Forget<'s> {
    shared: &'s Shared,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.state().open.remove(&self.id);
    }
}

fn talk(shared: &Shared, id: u64, guest: &TcpStream) -> io::Result<()> {
    guest.set_read_timeout(Some(HEAD_TIME))?;
    let mut first = [0];
    if guest.peek(&mut first)? == 0 {
        return Ok(());
    }
    if first[0] == socks::VERSION {
        talk_socks(shared, id, guest)
    } else {
        talk_http(shared, id, guest)
    }
}

fn talk_socks(shared: &Shared, id: u64, mut guest: &TcpStream) -> io::Result<()> {
    let host = match socks::hear(&mut guest)? {
        Ok(destination) => shared.connect(&destination).map_err(|refusal| (&refusal).into()),
        Err(code) => Err(code),
    };
    let host = match host {
        Ok(host) => host,
        Err(code) => return guest.write_all(&socks::answer(code)),
    };
    let host = shared.keep(id, host)?;
    guest.set_read_timeout(None)?;
    guest.write_all(&socks::answer(socks::Code::Granted))?;
    relay::relay(guest, &host, &[], &Body::Everything)
}

/// A request that goes no further: what the guest is answered.
#[derive(Debug)]
struct Fault {
    /// The status code of HTTP.
    status: u16,
    reason: String,
}

fn talk_http(shared: &Shared, id: u64, mut guest: &TcpStream) -> io::Result<()> {
    let (request, rest, host) = match hear_http(shared, guest) {
        Ok(heard) => heard,
        Err(fault) => return guest.write_all(&http::answer(&fault)),
    };
    let host = shared.keep(id, host)?;
    guest.set_read_timeout(None)?;
    if request.body == Body::Everything {
        guest.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    }
    (&*host).write_all(&request.head)?;
    relay::relay(guest, &host, &rest, &request.body)
}

fn hear_http(
    shared: &Shared,
    guest: &TcpStream,
) -> Result<(http::Request, Vec<u8>, TcpStream), Fault> {
    let (head, rest) = read_head(guest)?;
    let request = http::parse(&head)?;
    let host = shared.connect(&request.destination).map_err(|refusal| Fault {
        status: if refusal.is_policy() { 403 } else { 502 },
        reason: format!("`{}` {refusal}", request.destination),
    })?;
    Ok((request, rest, host))
}

/// Reads up to the empty line, and what came with it.
fn read_head(mut guest: &TcpStream) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let late = || Fault { status: 408, reason: "the request took too long".into() };
    let until = Instant::now() + HEAD_TIME;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = http::end_of_head(&bytes) {
            let rest = bytes.split_off(end);
            return Ok((bytes, rest));
        }
        if bytes.len() > http::LONGEST_HEAD {
            return Err(Fault { status: 431, reason: "the request's head is too long".into() });
        }
        if Instant::now() >= until {
            return Err(late());
        }
        match guest.read(&mut buffer) {
            Ok(0) => return Err(Fault { status: 400, reason: "the request is cut short".into() }),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(_) => return Err(late()),
        }
    }
}

#[cfg(test)]
mod tests;
