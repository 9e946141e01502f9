use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn rules(entries: &[&str]) -> HostRules {
    entries.iter().map(|entry| entry.parse::<HostRule>().unwrap()).collect()
}

fn destination(text: &str) -> Destination {
    text.parse().unwrap()
}

/// Whether a guest that asks for `text` gets as far as a resolver.
fn allows(rules: &HostRules, text: &str) -> bool {
    text.parse().is_ok_and(|destination| rules.allows(&destination))
}

fn nobody(_: IpAddr) -> bool {
    false
}

#[test]
fn a_rule_prints_as_it_is_written() {
    for text in [
        "api.trusted.com",
        "api.trusted.com:443",
        "*.trusted.com",
        "*.trusted.com:8443",
        "localhost:8080",
        "xn--bcher-kva.example",
        "my_service",
        "192.0.2.1",
        "192.0.2.1:80",
        "127.0.0.1:8080",
        "169.254.169.254",
        "2001:db8::1",
        "[2001:db8::1]:443",
        "::1",
    ] {
        assert_eq!(text.parse::<HostRule>().unwrap().to_string(), text);
    }
    assert_eq!(
        "API.Trusted.COM.:443".parse::<HostRule>().unwrap().to_string(),
        "api.trusted.com:443"
    );
    assert_eq!("[::1]".parse::<HostRule>().unwrap().to_string(), "::1");
}

#[test]
fn what_could_be_read_in_two_ways_is_no_rule() {
    for (text, problem) in [
        ("", "is empty"),
        (".", "is empty"),
        ("a..b", "empty or too long"),
        ("a.com..", "empty or too long"),
        ("http://a.com", "is a URL"),
        ("a.com/path", "is a URL"),
        ("user@a.com", "has a user"),
        ("user:pw@a.com", "has a port that is not"),
        ("a.com%00.b.com", "has a `%`"),
        ("fe80::1%eth0", "has a port that is not"),
        ("[fe80::1%eth0]", "in its brackets"),
        ("a b", "is not a host name"),
        ("a.com\n", "is not a host name"),
        ("a.com\0.b", "is not a host name"),
        ("-a.com", "is not a host name"),
        ("bücher.example", "write the form that begins with `xn--`"),
        ("*", "write `*.host`"),
        ("*a.com", "write `*.host`"),
        ("a.*.com", "write `*.host`"),
        ("*.*.com", "write `*.host`"),
        ("*.", "is empty"),
        ("*.192.0.2.1", "being an address"),
        ("a.com:", "has a port that is not"),
        ("a.com:0", "has a port that is not"),
        ("a.com:080", "has a port that is not"),
        ("a.com:+80", "has a port that is not"),
        ("a.com:65536", "has a port that is not"),
        ("a.com:80:80", "has a port that is not"),
        ("2130706433", "odd spelling of an address"),
        ("127.1", "odd spelling of an address"),
        ("0177.0.0.1", "odd spelling of an address"),
        ("0x7f.0.0.0x1", "odd spelling of an address"),
        ("0x7f000001", "odd spelling of an address"),
        ("127.0.0.1.", "odd spelling of an address"),
        ("1.2.3.4.5", "odd spelling of an address"),
        ("192.0.2.256", "odd spelling of an address"),
        ("::ffff:192.0.2.1", "stands for an IPv4 address"),
        ("64:ff9b::c000:201", "stands for an IPv4 address"),
        ("2001:DB8::1", "is not the shortest spelling"),
        ("2001:db8:0:0:0:0:0:1", "is not the shortest spelling"),
        ("0.0.0.0", "is no host"),
        ("::", "is no host"),
        ("224.0.0.1", "not the address of one host"),
        ("255.255.255.255", "not the address of one host"),
        ("ff02::1", "not the address of one host"),
        ("[::1", "has a `[` without its `]`"),
        ("[::1]x", "goes on after its `]`"),
        ("[a.com]:80", "in its brackets"),
        ("[127.0.0.1]:80", "in its brackets"),
    ] {
        let error = text.parse::<HostRule>().unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    assert!(format!("{}.com", "a".repeat(64)).parse::<HostRule>().is_err());
    assert!("a.".repeat(127).parse::<HostRule>().is_ok());
    assert!("a.".repeat(128).parse::<HostRule>().is_err());
}

#[test]
fn names_are_compared_label_by_label() {
    let rules = rules(&["trusted.com", "*.wild.com", "ported.com:443"]);

    for text in
        ["trusted.com:80", "TRUSTED.com.:443", "a.wild.com:1", "a.b.WILD.com.:1", "ported.com:443"]
    {
        assert!(allows(&rules, text), "{text}");
    }
    for text in [
        "api.trusted.com:80",
        "untrusted.com:80",
        "trusted.com.evil.org:80",
        "trusted.comx:80",
        "trusted.com..:80",
        "wild.com:80",
        "awild.com:80",
        ".wild.com:80",
        "ported.com:80",
        "trusted.com",
        "trusted.com:80@evil.org:80",
        "evil.org#trusted.com:80",
        "evil.org\t.trusted.com:80",
        "192.0.2.1:80",
    ] {
        assert!(!allows(&rules, text), "{text}");
    }
}

#[test]
fn nobody_is_on_an_empty_list() {
    let rules = HostRules::default();
    let asked = destination("trusted.com:80");

    assert!(!rules.allows(&asked));
    assert!(!rules.allows_resolved(&asked, Ipv4Addr::new(192, 0, 2, 1).into(), nobody));
}

#[test]
fn a_listed_address_is_reached_in_every_form_of_it_and_no_other_is() {
    let rules = rules(&["192.0.2.1:80", "2001:db8::1"]);

    for text in [
        "192.0.2.1:80",
        "[::ffff:192.0.2.1]:80",
        "[::192.0.2.1]:80",
        "[64:ff9b::192.0.2.1]:80",
        "[2002:c000:201::]:80",
        "[2001:db8::1]:9",
        "[2001:DB8:0::1]:9",
    ] {
        assert!(allows(&rules, text), "{text}");
    }
    for text in [
        "192.0.2.1:81",
        "192.0.2.2:80",
        "3221225985:80",
        "0xc0000201:80",
        "192.0.513:80",
        "0300.0.2.1:80",
        "2001:db8::1:9",
        "[2001:db8::2]:9",
    ] {
        assert!(!allows(&rules, text), "{text}");
    }
}

#[test]
fn an_allowed_name_leads_nowhere_on_the_host_or_its_link() {
    let rules = rules(&["trusted.com", "trusted.org:80"]);
    let own = IpAddr::from([192, 0, 2, 7]);
    let leads = |asked: &str, address: &str| {
        let address = address.parse().unwrap();
        rules.allows_resolved(&destination(asked), address, |it| it == own)
    };

    for address in ["192.0.2.1", "2001:db9::1", "10.1.2.3", "192.168.0.1", "fd12::1"] {
        assert!(leads("trusted.com:80", address), "{address}");
    }
    for address in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "fe80::1",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "192.0.2.7",
        "::ffff:192.0.2.7",
    ] {
        assert!(!leads("trusted.com:80", address), "{address}");
    }
    assert!(!leads("untrusted.com:80", "192.0.2.1"), "not on the list at all");
    assert!(!leads("trusted.org:81", "192.0.2.1"), "another port");
    assert!(!leads("192.0.2.1:80", "192.0.2.1"), "an address by itself is not the name's");
}

#[test]
fn loopback_and_metadata_are_reached_when_they_are_listed_literally() {
    let rules = rules(&["127.0.0.1:8080", "169.254.169.254", "trusted.com"]);
    let leads = |asked: &str, address: &str| {
        rules.allows_resolved(&destination(asked), address.parse().unwrap(), nobody)
    };

    assert!(leads("127.0.0.1:8080", "127.0.0.1"));
    assert!(!leads("127.0.0.1:8081", "127.0.0.1"));
    assert!(!leads("127.0.0.2:8080", "127.0.0.2"));
    assert!(leads("169.254.169.254:80", "169.254.169.254"));
}

#[test]
fn localhost_is_the_loopback_of_the_host_and_nothing_else() {
    let rules = rules(&["localhost:8080"]);
    let leads = |asked: &str, address: &str| {
        rules.allows_resolved(&destination(asked), address.parse().unwrap(), nobody)
    };

    assert!(leads("localhost:8080", "127.0.0.1"));
    assert!(leads("LOCALHOST.:8080", "::1"));
    assert!(!leads("localhost:8081", "127.0.0.1"));
    assert!(!leads("localhost:8080", "192.0.2.1"));
    assert!(!leads("localhost:8080", "169.254.169.254"));
    assert!(!allows(&rules, "a.localhost:8080"));
    assert!(!allows(&rules, "127.0.0.1:8080"));
}

/// Every way in which an IPv4 address hides in an IPv6 one.
fn disguises(v4: Ipv4Addr) -> Vec<IpAddr> {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    [
        [0, 0, 0, 0, 0, 0xffff, high, low],
        [0, 0, 0, 0, 0xffff, 0, high, low],
        [0x64, 0xff9b, 0, 0, 0, 0, high, low],
        [0x64, 0xff9b, 1, 2, 3, 4, high, low],
        [0x2002, high, low, 0, 0, 0, 0, 1],
        [0x2001, 0, 1, 2, 3, 4, !high, !low],
        [0xfe80, 0, 0, 0, 0, 0x5efe, high, low],
    ]
    .map(IpAddr::from)
    .into()
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC*|[a-f0-9:.\\[\\]*%x]{0,40}") {
        let _ = text.parse::<Destination>();
        if let Ok(rule) = text.parse::<HostRule>() {
            prop_assert_eq!(rule.to_string().parse::<HostRule>().unwrap(), rule);
        }
    }

    #[test]
    fn a_disguised_address_is_treated_as_the_one_it_stands_for(v4: Ipv4Addr, port in 1..=u16::MAX) {
        let rules = rules(&["trusted.com", "127.0.0.1", "10.0.0.1:80"]);
        let asked = Destination { host: Host::Name(HostName::parse("trusted.com").unwrap()), port };
        let plain = rules.allows_resolved(&asked, v4.into(), nobody);

        for disguise in disguises(v4) {
            prop_assert_eq!(fold(disguise), IpAddr::V4(v4));
            prop_assert_eq!(reach(disguise), reach(v4.into()));
            prop_assert_eq!(rules.allows_resolved(&asked, disguise, nobody), plain);
        }
    }

    #[test]
    fn an_address_in_another_spelling_is_never_taken_for_a_name(v4: Ipv4Addr) {
        let number = u32::from(v4);
        let [a, b, c, d] = v4.octets();
        for text in [
            format!("{number}"),
            format!("{number:#x}"),
            format!("0{number:o}"),
            format!("{a}.{}", number & 0xff_ffff),
            format!("{a}.{b}.{}", number & 0xffff),
            format!("{a:#x}.{b}.{c}.{d:#X}"),
            format!("{a}.{b}.{c}.0{d:o}"),
            format!("{a}.{b}.{c}.{d}."),
        ] {
            prop_assert!(text.parse::<HostRule>().is_err(), "{} was read", text);
            prop_assert!(format!("{text}:80").parse::<Destination>().is_err(), "{} was read", text);
        }
    }

    #[test]
    fn only_the_same_labels_are_the_same_host(
        listed in "[a-c]{1,2}(\\.[a-c]{1,2}){0,2}",
        asked in "[a-c]{1,2}(\\.[a-c]{1,2}){0,3}",
    ) {
        let exact = rules(&[&listed]);
        let below = rules(&[&format!("*.{listed}")]);
        let labels = |name: &str| name.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (known, wanted) = (labels(&listed), labels(&asked));

        prop_assert_eq!(allows(&exact, &format!("{asked}:1")), known == wanted);
        let longer = wanted.len() > known.len() && wanted.ends_with(&known);
        prop_assert_eq!(allows(&below, &format!("{asked}:1")), longer);
    }
}
