//! Counts tests from the summary lines that cargo and pytest print.

/// Tests that ran, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Adds what `line` reports, if it is a summary.
    pub(crate) fn read_line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(counts) = line.strip_prefix("test result: ") {
            // test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; …
            self.add(counts.split(['.', ';']));
        } else if line.starts_with('=') && line.ends_with('=') {
            // ===== 1 failed, 41 passed, 2 skipped in 3.21s =====
            let counts = line.trim_matches(['=', ' ']);
            if counts.contains(" in ") {
                self.add(counts.split(" in ").next().unwrap_or_default().split(','));
            }
        }
    }

    fn add<'a>(&mut self, counts: impl Iterator<Item = &'a str>) {
        for count in counts {
            let Some((number, what)) = count.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" | "error" | "errors" => self.failed += number,
                "skipped" | "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &str) -> Tally {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.read_line(line));
        tally
    }

    #[test]
    fn cargo_summaries_add_up() {
        let printed = "\
running 3 tests
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 7 filtered out; finished in 1.20s
";

        assert_eq!(tally(printed), Tally { passed: 8, failed: 2, skipped: 1 });
    }

    #[test]
    fn pytest_summary_counts_errors_as_failures() {
        let printed = "\
============================= test session starts ==============================
collected 44 items
========= 1 failed, 41 passed, 2 skipped, 3 errors in 3.21s (0:00:03) ==========
";

        assert_eq!(tally(printed), Tally { passed: 41, failed: 4, skipped: 2 });
    }

    #[test]
    fn what_a_test_prints_is_not_a_summary() {
        let printed = "\
12 passed through the filter
==== 3 passed ====
the test result: ok. 9 passed; 0 failed
";

        assert_eq!(tally(printed), Tally::default());
    }
}
