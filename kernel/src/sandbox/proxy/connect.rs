//! From a destination that a guest asked for to a connection, or to a refusal.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use crate::sandbox::policy::hosts::{Destination, Host, HostName, HostRules, fold};

/// How long one address may take to answer.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// A name with more addresses than this is not tried to its end.
const MOST_ADDRESSES: usize = 4;

/// Turns a name into addresses; the system's resolver, but for tests.
pub(super) type Resolve = fn(&HostName) -> io::Result<Vec<IpAddr>>;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The list does not have it.
    NotListed,
    /// The name is listed, and leads where no name may lead.
    LeadsInside(IpAddr),
    /// The name has no address.
    Unresolved(io::Error),
    /// Nobody answers there.
    Unreachable(io::Error),
}

impl Refusal {
    /// Whether the policy refused, rather than the network.
    pub(super) fn is_policy(&self) -> bool {
        matches!(self, Self::NotListed | Self::LeadsInside(_))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed => f.write_str("is not in `allowed_hosts`"),
            Self::LeadsInside(address) => {
                write!(f, "leads to {address}, which only `allowed_hosts: [\"{address}\"]` opens")
            }
            Self::Unresolved(error) => write!(f, "cannot be resolved: {error}"),
            Self::Unreachable(error) => write!(f, "cannot be reached: {error}"),
        }
    }
}

/// Resolves once, checks every answer, and connects to a checked address: never
/// to the name again, which may lead elsewhere by then.
pub(super) fn connect(
    rules: &HostRules,
    resolve: Resolve,
    stopped: &dyn Fn() -> bool,
    destination: &Destination,
) -> Result<TcpStream, Refusal> {
    if !rules.allows(destination) {
        return Err(Refusal::NotListed);
    }
    let addresses = match &destination.host {
        Host::Address(address) => vec![*address],
        // Not asked of a resolver, which may never have heard of it.
        Host::Name(name) if name.is_localhost() => {
            vec![[127, 0, 0, 1].into(), [0, 0, 0, 0, 0, 0, 0, 1_u16].into()]
        }
        Host::Name(name) => resolve(name).map_err(Refusal::Unresolved)?,
    };
    // One answer that leads inside spoils them all: who controls the name mixes
    // them on purpose.
    for address in &addresses {
        if !rules.allows_resolved(destination, *address, is_own) {
            return Err(Refusal::LeadsInside(fold(*address)));
        }
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses.into_iter().take(MOST_ADDRESSES) {
        // The run may have ended while we resolved, or tried the one before.
        if stopped() {
            last = io::ErrorKind::NotConnected.into();
            break;
        }
        let address = SocketAddr::new(fold(address), destination.port);
        match TcpStream::connect_timeout(&address, CONNECT_TIME) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Refusal::Unreachable(last))
}

/// Asks the system's resolver.
pub(super) fn system_resolver(name: &HostName) -> io::Result<Vec<IpAddr>> {
    let addresses = (name.as_str(), 0_u16).to_socket_addrs()?;
    Ok(addresses.map(|address| address.ip()).collect())
}

/// Whether an interface of this host has the address. Only one's own address can
/// be bound (but for the sysctl `ip_nonlocal_bind`, under which every address
/// counts as own and only literal rules connect: closed, not open).
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}
