//! Waiting for a condition, never for a time.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const POLL: Duration = Duration::from_millis(5);

/// Asks `probe` again and again until it says `Ok(true)`. An error counts as "not yet".
///
/// # Errors
/// After `longest`, with what was awaited and what the last probe said.
pub fn wait_until(
    what: &str,
    longest: Duration,
    probe: impl FnMut() -> Result<bool>,
) -> Result<()> {
    wait_for(what, longest, probe, |&is_so| is_so).map(drop)
}

/// Asks `probe` again and again until `accept` takes its value, and answers with that. An error
/// counts as "not yet".
///
/// # Errors
/// After `longest`, with what was awaited and the last value or error.
pub fn wait_for<T: Debug>(
    what: &str,
    longest: Duration,
    mut probe: impl FnMut() -> Result<T>,
    accept: impl Fn(&T) -> bool,
) -> Result<T> {
    let deadline = Instant::now() + longest;
    loop {
        let last = probe();
        match last {
            Ok(value) if accept(&value) => return Ok(value),
            _ if Instant::now() < deadline => thread::sleep(POLL),
            Ok(value) => bail!("{what}: not so within {longest:?}; the last value was {value:?}"),
            Err(error) => bail!("{what}: not so within {longest:?}; the last error: {error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_wait_names_what_was_awaited_and_the_last_value() {
        let mut count = 0;
        let probe = || {
            count += 1;
            Ok(count)
        };
        let error = wait_for("a large number", Duration::ZERO, probe, |&n| n > 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a large number: not so within 0ns; the last value was 1"
        );
    }

    #[test]
    fn an_error_of_the_probe_means_not_yet() {
        let mut answers = vec![Ok(true), Err(anyhow::anyhow!("refused"))];
        let probe = || answers.pop().unwrap();
        wait_until("an answer", Duration::from_secs(1), probe).unwrap();
        assert!(answers.is_empty());
    }
}
