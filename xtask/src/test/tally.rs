//! Counting tests from what their runners print.

use std::ops::AddAssign;

/// How many tests passed, failed and were ignored.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl Tally {
    /// Counts of libtest's closing line of one test binary,
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; …`; nothing for any other line.
    pub(crate) fn of_libtest(line: &str) -> Self {
        line.strip_prefix("test result: ")
            .map(|result| Self {
                passed: count_before(result, "passed;"),
                failed: count_before(result, "failed;"),
                ignored: count_before(result, "ignored;"),
            })
            .unwrap_or_default()
    }

    /// Counts of a closing line `5 passed, 0 failed`, which the lab's own binaries print; nothing for any other line.
    pub(crate) fn of_closing_line(line: &str) -> Self {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [passed, "passed,", failed, "failed"] => match (passed.parse(), failed.parse()) {
                (Ok(passed), Ok(failed)) => Self {
                    passed,
                    failed,
                    ignored: 0,
                },
                _ => Self::default(),
            },
            _ => Self::default(),
        }
    }
}

/// The number in front of the word `what`, or 0 without one.
fn count_before(text: &str, what: &str) -> u64 {
    let mut before = "";
    for word in text.split_whitespace() {
        if word == what {
            return before.parse().unwrap_or_default();
        }
        before = word;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_a_passing_binary_is_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 7 filtered out; finished in 0.02s";

        let tally = Tally::of_libtest(line);

        assert_eq!(
            tally,
            Tally {
                passed: 12,
                failed: 0,
                ignored: 3
            }
        );
    }

    #[test]
    fn the_result_of_a_failing_binary_is_counted() {
        let line = "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s";

        let tally = Tally::of_libtest(line);

        assert_eq!(
            tally,
            Tally {
                passed: 4,
                failed: 2,
                ignored: 0
            }
        );
    }

    #[test]
    fn the_demos_closing_line_is_counted() {
        assert_eq!(
            Tally::of_closing_line("31 passed, 1 failed"),
            Tally {
                passed: 31,
                failed: 1,
                ignored: 0
            }
        );
    }

    #[test]
    fn a_test_that_merely_talks_of_results_counts_nothing() {
        for line in [
            "test tally::result ... ok",
            "  test result: ok. 9 passed; 0 failed;",
            "running 4 tests",
        ] {
            assert_eq!(Tally::of_libtest(line), Tally::default(), "{line}");
        }
        for line in ["3 passed, 4 failed so far", "some passed, none failed", ""] {
            assert_eq!(Tally::of_closing_line(line), Tally::default(), "{line}");
        }
    }

    #[test]
    fn tallies_add_up() {
        let mut total = Tally {
            passed: 1,
            failed: 2,
            ignored: 3,
        };

        total += Tally {
            passed: 10,
            failed: 20,
            ignored: 30,
        };

        assert_eq!(
            total,
            Tally {
                passed: 11,
                failed: 22,
                ignored: 33
            }
        );
    }
}
