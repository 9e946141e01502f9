//! libseccomp's opinion of the same rules: what container runtimes would do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::rule::{Action, Comparison, Condition, Rule, Rules};
use super::super::{Arch, Base, Profile, Sockets, compile};
use super::interpreter::run;
use super::libseccomp::Library;
use super::profiles::{DOCKER_SHAPED, target};
use super::tree::{Call, Tree};

/// The library, or a loud skip; a failure where `NEUROFLOW_REQUIRE` names it.
fn library(test: &str) -> Option<Library> {
    match Library::open() {
        Ok(library) => Some(library),
        Err(reason) => {
            let required = std::env::var("NEUROFLOW_REQUIRE").unwrap_or_default();
            assert!(
                !required.split(',').any(|name| name == "libseccomp"),
                "libseccomp is required: {reason}"
            );
            eprintln!("SKIPPED {test}: {reason}");
            None
        }
    }
}

/// What each call gets, for `rules` by call number.
fn compare(library: &Library, otherwise: Action, rules: &BTreeMap<u32, Vec<Rule>>, native: u32) {
    let theirs = library.compile(otherwise, rules);
    let mut tree = Tree::default();
    let mut decisions = Vec::new();
    for (number, rules) in rules {
        let rules = Rules { rules: rules.clone(), otherwise };
        decisions.push((*number, rules.decide(&mut tree).unwrap()));
    }
    let ours = compile::compile(&mut tree, Arch::native().unwrap(), &decisions, otherwise).unwrap();

    let mut compared = 0;
    for number in 0..500 {
        for arguments in samples(rules.get(&number).map_or(&[][..], Vec::as_slice)) {
            let call = Call { number, arch: native, arguments };
            assert_eq!(run(&ours, &call), run(&theirs, &call), "call {number} with {arguments:x?}");
            compared += 1;
        }
    }
    assert!(compared >= 500);
}

/// Arguments around what the rules compare with.
fn samples(rules: &[Rule]) -> Vec<[u64; 6]> {
    let mut values: Vec<u64> = vec![0, 1, 2, u64::from(u32::MAX), 1 << 32, u64::MAX];
    for condition in rules.iter().flat_map(|rule| &rule.conditions) {
        let (a, b) = match condition.comparison {
            Comparison::Masked { mask, value } => (mask, value),
            Comparison::NotEqual(value)
            | Comparison::Less(value)
            | Comparison::AtMost(value)
            | Comparison::Equal(value)
            | Comparison::AtLeast(value)
            | Comparison::Greater(value) => (value, value),
        };
        values.extend([a, a ^ 1, b, b.wrapping_add(1), b.wrapping_sub(1), b | 1 << 40]);
    }
    values.sort_unstable();
    values.dedup();
    let mut samples = vec![[0; 6]];
    for argument in 0..6 {
        let compared = rules.iter().flat_map(|rule| &rule.conditions);
        if compared.filter(|condition| usize::from(condition.argument) == argument).count() == 0 {
            continue;
        }
        samples = samples
            .iter()
            .flat_map(|sample| {
                values.iter().map(move |value| {
                    let mut sample = *sample;
                    sample[argument] = *value;
                    sample
                })
            })
            .collect();
    }
    samples
}

#[test]
fn a_profile_in_the_shape_of_dockers_is_read_as_libseccomp_reads_it() {
    let Some(library) = library("profile comparison") else { return };
    let arch = Arch::native().unwrap();
    let profile = Profile::read_for(DOCKER_SHAPED, target(arch)).unwrap();
    let rules = arch
        .calls()
        .iter()
        .filter(|(name, _)| profile.names(name))
        .map(|(name, number)| (*number, profile.rules(name).rules))
        .collect();

    compare(&library, profile.otherwise, &rules, arch.audit());
}

#[test]
fn the_allow_rules_of_our_default_are_read_as_libseccomp_reads_them() {
    let Some(library) = library("comparison of the default") else { return };
    let arch = Arch::native().unwrap();
    let profile = Profile::read_for(&super::super::default_json(), target(arch)).unwrap();
    // Where a call has entries of both kinds, libseccomp keeps the one without
    // arguments: see `default_json`.
    let one_kind = |rules: &[Rule]| {
        rules.iter().all(|rule| rule.action.lets_through())
            || rules.iter().all(|rule| !rule.action.lets_through())
    };
    let rules: BTreeMap<u32, Vec<Rule>> = arch
        .calls()
        .iter()
        .map(|(name, number)| (*number, profile.rules(name).rules))
        .filter(|(_, rules)| one_kind(rules))
        .collect();
    assert!(rules.len() > 300);

    compare(&library, profile.otherwise, &rules, arch.audit());
}

/// Each argument compared at most once in a rule: what libseccomp can express.
fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let value = prop_oneof![0_u64..3, Just(1 << 32), Just(u64::from(u32::MAX)), any::<u64>()];
    let comparison = (0..7, value.clone(), value).prop_map(|(op, a, b)| match op {
        0 => Comparison::NotEqual(a),
        1 => Comparison::Less(a),
        2 => Comparison::AtMost(a),
        3 => Comparison::Equal(a),
        4 => Comparison::AtLeast(a),
        5 => Comparison::Greater(a),
        _ => Comparison::Masked { mask: a, value: b & a },
    });
    proptest::collection::btree_map(0_u8..3, comparison, 0..3).prop_map(|by_argument| {
        by_argument
            .into_iter()
            .map(|(argument, comparison)| Condition { argument, comparison })
            .collect()
    })
}

// One rule a call. Of several, 2.5.4 can get the verdict wrong: given "argument 0
// is not 2^32-1 and argument 2 is not 0" and "argument 0 is 0" it allows (1, _, 0).
// What several rules come to is compared with going through them, in `property`.
proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_rules_are_read_as_libseccomp_reads_them(
        lists in proptest::collection::btree_map(
            0_u32..300, proptest::collection::vec(conditions(), 1), 1..6,
        ),
    ) {
        let Some(library) = library("random comparison") else { return Ok(()) };
        let rules = lists.into_iter().map(|(number, lists)| {
            let rule = |conditions| Rule { conditions, action: Action::Allow };
            (number, lists.into_iter().map(rule).collect())
        }).collect();

        compare(&library, Action::Errno(7), &rules, Arch::native().unwrap().audit());
    }
}

#[test]
fn our_filter_is_shorter_to_search_than_a_list() {
    let arch = Arch::X86_64;
    let filter = super::super::Filter::of_base(Base::Namespace(Sockets::Internet), arch).unwrap();
    let steps = |number| {
        let call = Call { number, arch: arch.audit(), arguments: [0; 6] };
        super::interpreter::steps(filter.instructions(), &call)
    };

    let most = arch.calls().iter().map(|(_, number)| steps(*number)).max().unwrap();

    assert!(most < 40, "{most} steps");
    assert!(steps(0) <= 12, "{} steps for read", steps(0));
}
