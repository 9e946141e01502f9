//! Random rules: the tree, the program and going through the rules one by one
//! say the same.

use proptest::prelude::*;

use super::super::rule::{Action, Comparison, Condition, Rule, Rules};
use super::super::{Arch, compile};
use super::interpreter::run;
use super::tree::{Call, Tree};

const NUMBERS: [u32; 4] = [0, 7, 8, 400];

/// Values at which words and halves carry.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        Just(u64::from(u32::MAX)),
        Just(1 << 32),
        (0_u64..4).prop_map(|value| value << 32 | 2),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        value().prop_map(Comparison::NotEqual),
        value().prop_map(Comparison::Less),
        value().prop_map(Comparison::AtMost),
        value().prop_map(Comparison::Equal),
        value().prop_map(Comparison::AtLeast),
        value().prop_map(Comparison::Greater),
        (value(), value()).prop_map(|(mask, value)| Comparison::Masked { mask, value }),
        (value(), value())
            .prop_map(|(mask, value)| Comparison::Masked { mask, value: value & mask }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Log),
        (1_u16..5).prop_map(Action::Errno),
        Just(Action::Trap),
        Just(Action::KillThread),
        Just(Action::KillProcess),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    // Few arguments, so that conditions meet.
    let condition = (0_u8..3, comparison())
        .prop_map(|(argument, comparison)| Condition { argument, comparison });
    let rule = (proptest::collection::vec(condition, 0..4), action())
        .prop_map(|(conditions, action)| Rule { conditions, action });
    (proptest::collection::vec(rule, 0..6), action())
        .prop_map(|(rules, otherwise)| Rules { rules, otherwise })
}

/// Arguments made of what the rules compare with, where chance alone would miss.
fn arguments(rules: &[Rules]) -> Vec<[u64; 6]> {
    let mut values = vec![0, 1, u64::MAX];
    for condition in rules.iter().flat_map(|rules| &rules.rules).flat_map(|rule| &rule.conditions) {
        let around = match condition.comparison {
            Comparison::Masked { mask, value } => [value, value | !mask, value ^ (mask & 1)],
            Comparison::NotEqual(value)
            | Comparison::Less(value)
            | Comparison::AtMost(value)
            | Comparison::Equal(value)
            | Comparison::AtLeast(value)
            | Comparison::Greater(value) => [value.wrapping_sub(1), value, value.wrapping_add(1)],
        };
        values.extend(around);
    }
    values.truncate(14);
    let mut all = Vec::new();
    for first in &values {
        for second in &values {
            for third in values.iter().step_by(3) {
                all.push([*first, *second, *third, 0, 0, 0]);
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_program_decides_as_its_rules_do(rules in proptest::collection::vec(rules(), 4)) {
        let arch = Arch::X86_64;
        let mut tree = Tree::default();
        let mut decisions = Vec::new();
        for (number, rules) in NUMBERS.iter().zip(&rules) {
            decisions.push((*number, rules.decide(&mut tree).unwrap()));
        }
        let program = compile::compile(&mut tree, arch, &decisions, Action::Trap).unwrap();

        for arguments in arguments(&rules) {
            for (rules, (number, id)) in rules.iter().zip(&decisions) {
                let call = Call { number: *number, arch: arch.audit(), arguments };
                let expected = rules.verdict(&arguments);
                prop_assert_eq!(tree.verdict(*id, &call), expected, "tree, {:x?}", arguments);
                prop_assert_eq!(run(&program, &call), expected, "program, {:x?}", arguments);
            }
        }
        for number in [1, 6, 9, 399, 401, u32::MAX] {
            let call = Call { number, arch: arch.audit(), arguments: [0; 6] };
            prop_assert_eq!(run(&program, &call), Action::Trap);
        }
    }

    #[test]
    fn of_two_profiles_together_the_stricter_verdict_holds(theirs in rules(), ours in rules()) {
        let mut tree = Tree::default();
        let (left, right) = (theirs.decide(&mut tree).unwrap(), ours.decide(&mut tree).unwrap());
        let both = tree.both(left, right, &mut std::collections::HashMap::new()).unwrap();

        for arguments in arguments(&[theirs.clone(), ours.clone()]) {
            let call = Call { number: 0, arch: 0, arguments };
            let expected = theirs.verdict(&arguments).and(ours.verdict(&arguments));
            prop_assert_eq!(tree.verdict(both, &call), expected);
        }
    }

    #[test]
    fn an_example_of_a_widening_is_one(theirs in rules(), ours in rules()) {
        let mut tree = Tree::default();
        let (left, right) = (theirs.decide(&mut tree).unwrap(), ours.decide(&mut tree).unwrap());
        let widened = |arguments: &[u64; 6]| {
            theirs.verdict(arguments).lets_through() && !ours.verdict(arguments).lets_through()
        };

        match super::super::widening::of(&tree, "getpid", left, right) {
            Some(super::super::Widening::Arguments(_, example)) => prop_assert!(widened(&example)),
            Some(_) => prop_assert!(!tree.constant(right).unwrap().lets_through()),
            None => for arguments in arguments(&[theirs.clone(), ours.clone()]) {
                prop_assert!(!widened(&arguments), "missed {:x?}", arguments);
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = super::super::Profile::read_for(&text, super::profiles::target(Arch::Aarch64));
    }
}
