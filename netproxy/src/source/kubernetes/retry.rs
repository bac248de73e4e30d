//! How long to wait before the next attempt.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The first wait; jitter adds up to as much again.
const SHORTEST: Duration = Duration::from_millis(250);
/// The last waits before jitter: with it, an API server that is back is found within 5 s.
const LONGEST: Duration = Duration::from_millis(2500);
/// A failure so long after the last one is a new outage.
const CALM: Duration = Duration::from_secs(30);

/// Growing waits, with jitter because every node of the cluster loses the API server at once.
#[derive(Debug)]
pub(super) struct Retry {
    waits: ExponentialBackoff,
    last: Option<Instant>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            waits: waits(),
            last: None,
        }
    }
}

impl Retry {
    /// The wait after a failure at `now`.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        let last = self.last.replace(now);
        if last.is_some_and(|last| now.duration_since(last) > CALM) {
            self.waits = waits();
        }
        self.waits.next().unwrap_or(LONGEST)
    }

    /// Forgets past failures: something has succeeded.
    pub(super) fn succeeded(&mut self) {
        if self.last.take().is_some() {
            self.waits = waits();
        }
    }
}

fn waits() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(SHORTEST)
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_but_never_beyond_five_seconds() {
        let mut retry = Retry::default();
        let now = Instant::now();

        let waits: Vec<_> = (0..1000).map(|_| retry.wait(now)).collect();

        assert!(waits[0] >= SHORTEST && waits[0] <= 2 * SHORTEST);
        assert!(
            waits
                .iter()
                .skip(10)
                .all(|wait| (LONGEST..=2 * LONGEST).contains(wait))
        );
    }

    #[test]
    fn success_and_calm_begin_anew() {
        let mut retry = Retry::default();
        let mut now = Instant::now();
        let exhaust = |retry: &mut Retry, now| {
            for _ in 0..20 {
                retry.wait(now);
            }
        };

        exhaust(&mut retry, now);
        retry.succeeded();
        assert!(retry.wait(now) <= 2 * SHORTEST);

        exhaust(&mut retry, now);
        now += CALM + Duration::from_secs(1);
        assert!(retry.wait(now) <= 2 * SHORTEST);
    }
}
