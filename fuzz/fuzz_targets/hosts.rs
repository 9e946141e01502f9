//! Reads any text as a rule of `allowed_hosts` and as a destination.

#![no_main]

use kernel::sandbox::policy::hosts::{Destination, HostRule, HostRules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (rule, asked) = text.split_once('\n').unwrap_or((text, text));
    let rule = rule.parse::<HostRule>();
    if let Ok(rule) = &rule {
        assert_eq!(rule.to_string().parse::<HostRule>().as_ref(), Ok(rule));
    }
    if let Ok(asked) = asked.parse::<Destination>() {
        let again: Destination = asked.to_string().parse().expect("a destination is read back");
        assert_eq!(again, asked);
        if let Ok(rule) = rule {
            let rules = HostRules::from_iter([rule]);
            assert_eq!(rules.allows(&asked), rules.allows(&again));
        }
    }
});
