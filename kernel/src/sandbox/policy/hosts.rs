//! Whom a guest may connect to: the entries of `allowed_hosts`.
//!
//! Two questions are asked of a list, and both must be answered with yes. Is the
//! destination that the guest *asked for* on the list ([`HostRules::allows`])?
//! And may a connection really be made to each address the name *resolved to*
//! ([`HostRules::allows_resolved`])? The second is asked at every connect, of the
//! address that is then connected to; else a name that is allowed today leads to
//! the host's loopback tomorrow.
//!
//! Everything is parsed strictly. An odd spelling is refused, not guessed at:
//! what we read in one way, a resolver may read in another.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

mod address;
mod name;

pub use address::{Reach, fold, reach};
pub use name::HostName;

use crate::sandbox::units::quoted;

/// The port of the proxy on the guest's loopback, where the network is a list of
/// hosts. The guest has that interface to itself, so the number is free, and one
/// that proxies often have.
pub const PROXY_PORT: u16 = 3128;

/// What stands before the port of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// This host.
    Name(HostName),
    /// All hosts below this one, at any depth; not itself.
    Below(HostName),
    /// This address, folded.
    Address(IpAddr),
}

/// One entry of `allowed_hosts`.
///
/// `api.trusted.com`, `*.trusted.com` (at least one label more), `192.0.2.1`,
/// `2001:db8::1`, each with or without a port: `api.trusted.com:443`,
/// `[2001:db8::1]:443`. Without one, every port is meant.
///
/// ```
/// use kernel::sandbox::policy::hosts::{Destination, HostRule, HostRules};
///
/// let rules = HostRules::from_iter(["*.trusted.com:443".parse::<HostRule>()?]);
/// let allows = |text: &str| text.parse::<Destination>().is_ok_and(|it| rules.allows(&it));
///
/// assert!(allows("API.trusted.com.:443"));
/// assert!(!allows("api.trusted.com:80"));
/// assert!(!allows("trusted.com:443"));
/// assert!(!allows("untrusted.com:443"));
/// # Ok::<(), kernel::sandbox::policy::hosts::ParseHostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    pattern: Pattern,
    port: Option<u16>,
}

impl FromStr for HostRule {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| ParseHostError { text: quoted(text), problem };
        let (host, port) = split_port(text).map_err(error)?;
        let pattern = match host.strip_prefix("*.") {
            Some(host) => match Host::parse(host).map_err(error)? {
                Host::Name(name) => Pattern::Below(name),
                Host::Address(_) => return Err(error("has nothing below it, being an address")),
            },
            None => match Host::parse(host).map_err(error)? {
                Host::Name(name) => Pattern::Name(name),
                Host::Address(address) => listed(address, host).map_err(error)?,
            },
        };
        Ok(Self { pattern, port })
    }
}

/// An address as a list may have it: in its one spelling, and one host's.
fn listed(address: IpAddr, spelling: &str) -> Result<Pattern, &'static str> {
    if fold(address) != address {
        return Err("stands for an IPv4 address; write that");
    }
    if address.to_string() != spelling {
        return Err("is not the shortest spelling of the address, in lower case (RFC 5952)");
    }
    match reach(address) {
        Reach::Unspecified => Err("is no host; the host's own loopback is `127.0.0.1` or `::1`"),
        Reach::Several => Err("is not the address of one host"),
        _ => Ok(Pattern::Address(address)),
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Pattern::Name(name) => write!(f, "{name}")?,
            Pattern::Below(name) => write!(f, "*.{name}")?,
            // A colon of a port would read as part of the address.
            Pattern::Address(IpAddr::V6(address)) if self.port.is_some() => {
                write!(f, "[{address}]")?;
            }
            Pattern::Address(address) => write!(f, "{address}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The whole list; empty is nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules(Vec<HostRule>);

impl FromIterator<HostRule> for HostRules {
    fn from_iter<I: IntoIterator<Item = HostRule>>(rules: I) -> Self {
        Self(rules.into_iter().collect())
    }
}

impl HostRules {
    /// The rules, in the order written.
    pub fn iter(&self) -> impl Iterator<Item = &HostRule> {
        self.0.iter()
    }

    /// Whether a rule opens something on the host's own loopback.
    #[must_use]
    pub fn open_loopback(&self) -> bool {
        self.0.iter().any(|rule| match &rule.pattern {
            Pattern::Name(name) | Pattern::Below(name) => name.is_localhost(),
            Pattern::Address(address) => reach(*address) == Reach::Loopback,
        })
    }

    /// Whether a guest may ask for `destination`.
    ///
    /// A name that is allowed is still to be resolved, and what comes of that to
    /// be checked with [`HostRules::allows_resolved`].
    #[must_use]
    pub fn allows(&self, destination: &Destination) -> bool {
        self.0.iter().any(|rule| {
            let host = match (&rule.pattern, &destination.host) {
                (Pattern::Name(listed), Host::Name(name)) => name == listed,
                (Pattern::Below(listed), Host::Name(name)) => name.is_below(listed),
                (Pattern::Address(listed), Host::Address(address)) => fold(*address) == *listed,
                _ => false,
            };
            host && rule.port.is_none_or(|port| port == destination.port)
        })
    }

    /// Whether a connection for an allowed `destination` may be made to
    /// `address`, one of the answers to its name or itself.
    ///
    /// Loopback, link-local, unspecified and multicast addresses are reached only
    /// by a rule that spells them, loopback also by a rule for `localhost`. The
    /// addresses of the host's own interfaces, which count as loopback, are the
    /// caller's to know: `is_own`.
    #[must_use]
    pub fn allows_resolved(
        &self,
        destination: &Destination,
        address: IpAddr,
        is_own: impl Fn(IpAddr) -> bool,
    ) -> bool {
        let literal = Destination { host: Host::Address(address), port: destination.port };
        if self.allows(&literal) {
            return true;
        }
        let Host::Name(name) = &destination.host else { return false };
        if !self.allows(destination) {
            return false;
        }
        let loopback = reach(address) == Reach::Loopback;
        if name.is_localhost() {
            return loopback;
        }
        !reach(address).is_literal_only() && !is_own(fold(address))
    }
}

/// A host as a guest or a list names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// By name, still to be resolved.
    Name(HostName),
    /// By address.
    Address(IpAddr),
}

/// Reads a host without a port.
impl FromStr for Host {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).map_err(|problem| ParseHostError { text: quoted(text), problem })
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains("://") || text.contains('/') {
            return Err("is a URL; write its host alone");
        }
        if text.contains('@') {
            return Err("has a user in it; write the host alone");
        }
        if text.contains('%') {
            return Err("has a `%` in it; zones and escapes are not read");
        }
        if text.contains('*') {
            return Err("has a `*` that does not stand for whole labels; write `*.host`");
        }
        // Strict in std: four decimal numbers without leading zeros, no zone.
        match text.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => HostName::parse(text).map(Self::Name),
        }
    }
}

/// What a guest wants to connect to: a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The host, as it was asked for.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

/// Reads the `host:port` of a CONNECT line; an IPv6 address is in brackets.
impl FromStr for Destination {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| ParseHostError { text: quoted(text), problem };
        let (host, port) = split_port(text).map_err(error)?;
        let port = port.ok_or_else(|| error("has no port"))?;
        Ok(Self { host: Host::parse(host).map_err(error)?, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Address(address) => write!(f, "{address}:{}", self.port),
        }
    }
}

/// Takes the port off: `host`, `host:1`, `::1`, `[::1]`, `[::1]:1`.
fn split_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or("has a `[` without its `]`")?;
        if address.parse::<Ipv6Addr>().is_err() {
            return Err("has something else than an IPv6 address in its brackets");
        }
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':').ok_or("goes on after its `]`")?),
        };
        (address, port)
    } else if text.parse::<Ipv6Addr>().is_ok() {
        (text, None)
    } else if text.contains("://") {
        return Err("is a URL; write its host alone");
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let Some(port) = port else { return Ok((host, None)) };
    // `+80` and `080` would parse; whoever compares text would see another port.
    let number = port.parse().ok().filter(|number: &u16| *number > 0);
    let number = number.filter(|number| number.to_string() == port);
    number.map(|port| (host, Some(port))).ok_or("has a port that is not 1 to 65535")
}

/// The text names no host that could be allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} {problem}")]
pub struct ParseHostError {
    text: String,
    problem: &'static str,
}

#[cfg(test)]
mod tests;
