//! `neuroflow selftest`: the promises, tried on this host.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and each starts the program"
)]

mod common;

use common::{Bench, backends, told};
use kernel::sandbox::host::Host;
use serde_json::Value;

#[test]
fn every_promise_is_kept_and_the_control_proves_it() {
    let told = told(&mut Bench::new().neuroflow(["selftest", "--json"]));

    let json: Value = serde_json::from_str(&told.stdout).unwrap();
    let findings = json["findings"].as_array().unwrap();
    for (backend, at_least) in backends().into_iter().zip([10, 40]) {
        let here = findings.iter().filter(|finding| finding["backend"] == backend).count();
        assert!(here >= at_least, "{backend}: {here} checks");
    }
    let broken: Vec<_> = findings.iter().filter(|finding| finding["kept"] != true).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    if Host::get().root {
        // An ordinary user is refused some of these acts outside as well.
        let unproved: Vec<_> = findings.iter().filter(|f| f["proved"] != true).collect();
        assert!(unproved.is_empty(), "{unproved:#?}");
    }
}
