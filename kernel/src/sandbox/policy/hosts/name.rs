//! Names of hosts, in the one spelling in which they are compared.

use std::fmt;

/// A host name: ASCII, lower case, no dot at its end.
///
/// Two names are the same host for us when their labels are the same; a name is
/// never compared by its end or its beginning. What could be read as an address
/// in some spelling is no name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

impl HostName {
    /// The longest name the DNS can carry, without the last dot (RFC 1035, 2.3.4).
    const LONGEST: usize = 253;
    const LONGEST_LABEL: usize = 63;

    /// Reads `text`; upper case and one dot at the end make no difference.
    ///
    /// # Errors
    ///
    /// What is wrong with it, to be put behind the text: `is empty`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err("is empty");
        }
        if !name.is_ascii() {
            return Err("is not ASCII; write the form that begins with `xn--`");
        }
        if name.len() > Self::LONGEST {
            return Err("is longer than a host name can be");
        }
        for label in name.split('.') {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if label.is_empty() || label.len() > Self::LONGEST_LABEL {
                return Err("has a part between its dots that is empty or too long");
            }
            if !label.bytes().all(inner) || label.starts_with('-') || label.ends_with('-') {
                return Err("is not a host name; write `host`, `*.host` or an address, with or \
                            without a `:port`");
            }
        }
        if ends_in_a_number(name) {
            return Err("is an odd spelling of an address; write four decimal numbers, as in \
                        `192.0.2.1`");
        }
        Ok(Self(name.to_ascii_lowercase()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `other` with at least one label more in front.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_suffix(&other.0).is_some_and(|labels| labels.ends_with('.'))
    }

    /// Whether this is `localhost`, or below it: the host's own loopback, by
    /// whatever means it is resolved (RFC 6761, 6.3).
    #[must_use]
    pub fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether some resolver would take the name for an IPv4 address: `2130706433`,
/// `127.1`, `0177.0.0.1`, `0x7f.0.0.1` (inet_aton(3); the WHATWG URL rule).
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hex = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
