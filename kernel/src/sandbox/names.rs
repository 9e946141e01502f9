//! The nearest known name for one that is not known.

/// The one of `known` that `name` was probably meant to be; `None` where
/// nothing is near enough for the guess to help.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long name is no slip of a known one, and comparing costs its length squared.
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &plain(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let known = ["memory_limit", "timeout", "max_processes", "allowed_hosts"];

        assert_eq!(nearest("memory_limt", known), Some("memory_limit"));
        assert_eq!(nearest("Memory-Limit", known), Some("memory_limit"));
        assert_eq!(nearest("time_out", known), Some("timeout"));
        assert_eq!(nearest("allow_host", known), Some("allowed_hosts"));
    }

    #[test]
    fn case_is_no_difference() {
        assert_eq!(nearest("NEUROFLOW_TIMEOT", ["NEUROFLOW_TIMEOUT"]), Some("NEUROFLOW_TIMEOUT"));
    }

    #[test]
    fn what_is_near_nothing_gets_no_guess() {
        assert_eq!(nearest("zzz", ["memory_limit", "timeout"]), None);
        assert_eq!(nearest(&"memory_limit".repeat(1000), ["memory_limit"]), None);
        assert_eq!(nearest("", ["memory_limit"]), None);
    }
}
