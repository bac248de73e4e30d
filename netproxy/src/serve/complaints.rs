//! What is wrong for long is complained of now and then, and not at every attempt.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two complaints of the same.
const INTERVAL: Duration = Duration::from_mins(1);

/// When what was last complained of, by what stands for the cause.
#[derive(Debug)]
pub(super) struct Complaints<Cause> {
    last: BTreeMap<Cause, Instant>,
}

impl<Cause: Ord> Complaints<Cause> {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self {
            last: BTreeMap::new(),
        }
    }

    /// Whether it is time to complain of `cause`; if so, that is remembered.
    pub(super) fn is_due(&mut self, cause: Cause, now: Instant) -> bool {
        // What was long ago needs no memory, so there is never more of it than a minute's.
        self.last
            .retain(|_, last| now.saturating_duration_since(*last) < INTERVAL);
        if self.last.contains_key(&cause) {
            return false;
        }
        self.last.insert(cause, now);
        true
    }
}
