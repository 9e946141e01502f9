//! Addresses: which IPv4 address an IPv6 one stands for, and where one leads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The host itself.
    Loopback,
    /// The host's own link, where clouds keep their metadata services; also those
    /// services where they have an address from elsewhere.
    LinkLocal,
    /// No host in particular; Linux takes it for loopback.
    Unspecified,
    /// Many hosts, or none: multicast, broadcast, reserved.
    Several,
    /// A private network.
    Private,
    /// Everything else.
    Global,
}

impl Reach {
    /// Whether a name must never lead there: only a rule that spells the address
    /// opens it.
    #[must_use]
    pub fn is_literal_only(self) -> bool {
        matches!(self, Self::Loopback | Self::LinkLocal | Self::Unspecified | Self::Several)
    }
}

/// Metadata services outside of the link-local ranges, as their clouds document
/// them: Alibaba, Azure, Oracle; AWS and Google over IPv6.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// The IPv4 address that `address` stands for, or `address` itself.
///
/// Mapped, compatible, NAT64, 6to4 and Teredo addresses all end at an IPv4 host:
/// whoever compares the one spelling is walked around by the other.
#[must_use]
pub fn fold(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => embedded(v6).map_or(address, IpAddr::V4),
    }
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        // `::` and `::1` have names of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // Mapped (RFC 4291), translated (RFC 2765), compatible (RFC 4291).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0, 0, 0, 0, 0, 0, high, low]
        // NAT64, the well-known prefix (RFC 6052).
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // 6to4 (RFC 3056).
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        // NAT64 for local use (RFC 8215), as it is written with a /96.
        [0x64, 0xff9b, 1, _, _, _, high, low] => Some(v4(high, low)),
        // Teredo (RFC 4380): the client's address, inverted.
        [0x2001, 0, _, _, _, _, high, low] => Some(v4(!high, !low)),
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(v4(high, low)),
        _ => None,
    }
}

/// Where `address` leads, after [`fold`].
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match fold(address) {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        _ if METADATA_V4.contains(&address) => Reach::LinkLocal,
        [0, ..] => Reach::Unspecified,
        [127, ..] => Reach::Loopback,
        [169, 254, ..] => Reach::LinkLocal,
        [224..=255, ..] => Reach::Several,
        // RFC 1918; the shared space of RFC 6598; RFC 6890; the benchmarks of RFC 2544.
        [10, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [100, 64..=127, ..]
        | [192, 0, 0, _]
        | [198, 18..=19, ..] => Reach::Private,
        _ => Reach::Global,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        _ if METADATA_V6.contains(&address) => Reach::LinkLocal,
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        [0xff00..=0xffff, ..] => Reach::Several,
        // Unique local (RFC 4193) and what was site-local before (RFC 3879).
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Reach::Private,
        // The rest of ::/8 and of NAT64's local prefix is given to nobody.
        [0..=0xff, ..] => Reach::Several,
        _ => Reach::Global,
    }
}
