//! `neuroflow selftest`: the promises, tried on this host.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use common::{Bench, told};
use kernel::sandbox::host::Host;
use neuroflow_tests::need;
use serde_json::Value;

#[test]
fn every_promise_of_the_namespace_sandbox_is_kept_and_proved_by_the_control() {
    need!(UserNamespaces);
    let findings = findings().0;

    let here: Vec<&Value> =
        findings.iter().filter(|finding| finding["backend"] == "namespace").collect();

    assert!(here.len() > 40, "{} checks", here.len());
    let broken: Vec<_> = here.iter().filter(|finding| finding["kept"] != true).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    if Host::get().root {
        // An ordinary user is refused some of these acts outside as well.
        let unproved: Vec<_> = here.iter().filter(|finding| finding["proved"] != true).collect();
        assert!(unproved.is_empty(), "{unproved:#?}");
    }
}

#[test]
fn exit_code_tells_whether_every_promise_was_kept() {
    let (findings, code) = findings();

    let all_kept = findings.iter().all(|finding| finding["kept"] == true);
    assert_eq!(code, Some(i32::from(!all_kept)));
}

fn findings() -> (Vec<Value>, Option<i32>) {
    let told = told(&mut Bench::new().neuroflow(["selftest", "--json"]));
    let json: Value = serde_json::from_str(&told.stdout).unwrap();
    (json["findings"].as_array().unwrap().clone(), told.code)
}
