//! Whether the API server is there, put together from its watches.
//!
//! Every change is published, and logged once however many attempts fail.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::failure::{Class, Failure};
use super::kind::Kind;
use crate::source::{Interest, SourceHealth};

/// The state of one kind's watch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Listing,
    Connected,
    Retrying { since: Instant, failure: Failure },
}

/// The state of all watches.
#[derive(Debug)]
pub(super) struct Outage {
    address: String,
    health: watch::Sender<SourceHealth>,
    kinds: Mutex<Kinds>,
}

#[derive(Debug)]
struct Kinds {
    /// Of those that are followed.
    states: BTreeMap<Kind, State>,
    /// The failures of the current outage that the log knows of.
    logged: Vec<Class>,
}

impl Outage {
    /// Nothing listed yet from the API server at `address`.
    pub(super) fn new(
        address: String,
        interest: &Interest,
        health: watch::Sender<SourceHealth>,
    ) -> Self {
        let kinds = Kind::of(interest).iter();
        let outage = Self {
            address,
            health,
            kinds: Mutex::new(Kinds {
                states: kinds.map(|kind| (*kind, State::Listing)).collect(),
                logged: Vec::new(),
            }),
        };
        outage.publish(SourceHealth::Listing);
        outage
    }

    /// `kind` is complete and being followed.
    pub(super) fn connected(&self, kind: Kind) {
        let mut kinds = self.lock();
        let Some(before) = kinds.states.insert(kind, State::Connected) else {
            return;
        };
        if before == State::Connected {
            return;
        }
        let health = overall(&kinds.states);
        if let (State::Retrying { since, .. }, SourceHealth::Connected | SourceHealth::Listing) =
            (before, &health)
        {
            kinds.logged.clear();
            tracing::info!(
                address = self.address,
                outage_s = since.elapsed().as_secs(),
                "the API server can be watched again"
            );
        }
        self.publish(health);
    }

    /// An attempt to read `kind` has failed.
    pub(super) fn failed(&self, kind: Kind, failure: Failure) {
        let mut kinds = self.lock();
        let class = failure.class;
        if !kinds.logged.contains(&class) {
            kinds.logged.push(class);
            tracing::warn!(
                address = self.address,
                %kind,
                reason = failure.reason,
                remedy = class.remedy(),
                "the API server cannot be watched; the last known state stays in force"
            );
        }
        let since = match kinds.states.get(&kind) {
            Some(State::Retrying { since, .. }) => *since,
            Some(State::Listing | State::Connected) | None => Instant::now(),
        };
        let state = State::Retrying { since, failure };
        kinds.states.insert(kind, state);
        let health = overall(&kinds.states);
        self.publish(health);
    }

    fn publish(&self, health: SourceHealth) {
        self.health.send_if_modified(|published| {
            let is_new = *published != health;
            *published = health;
            is_new
        });
    }

    fn lock(&self) -> MutexGuard<'_, Kinds> {
        // Every state is valid, also one left by a panic.
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The longest outage, else an incomplete list, else all is well.
fn overall(states: &BTreeMap<Kind, State>) -> SourceHealth {
    let retrying = states.values().filter_map(|state| match state {
        State::Retrying { since, failure } => Some((*since, failure)),
        State::Listing | State::Connected => None,
    });
    if let Some((since, failure)) = retrying.min_by_key(|(since, _)| *since) {
        return SourceHealth::Retrying {
            since,
            reason: failure.reason.clone(),
        };
    }
    if states.values().any(|state| *state == State::Listing) {
        SourceHealth::Listing
    } else {
        SourceHealth::Connected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLLOWED: [Kind; 4] = [
        Kind::Services,
        Kind::EndpointSlices,
        Kind::Node,
        Kind::ServiceCidrs,
    ];

    fn outage() -> (Outage, watch::Receiver<SourceHealth>) {
        let (health, published) = watch::channel(SourceHealth::Connected);
        let interest = Interest {
            node_name: "worker-1".into(),
            has_pods: false,
        };
        (
            Outage::new("https://api.test".to_owned(), &interest, health),
            published,
        )
    }

    fn failure(reason: &str) -> Failure {
        Failure {
            reason: reason.to_owned(),
            ..Failure::stalled(std::time::Duration::ZERO)
        }
    }

    #[test]
    fn connected_means_that_every_kind_is() {
        let (outage, mut published) = outage();

        assert_eq!(*published.borrow_and_update(), SourceHealth::Listing);
        outage.connected(Kind::Services);
        outage.connected(Kind::EndpointSlices);
        outage.connected(Kind::Node);
        assert!(!published.has_changed().unwrap());
        outage.connected(Kind::ServiceCidrs);
        assert_eq!(*published.borrow(), SourceHealth::Connected);
    }

    #[test]
    fn an_outage_lasts_until_every_kind_is_back_and_counts_from_its_first_failure() {
        let (outage, published) = outage();
        for kind in FOLLOWED {
            outage.connected(kind);
        }

        outage.failed(Kind::Services, failure("first"));
        let first = published.borrow().clone();
        outage.failed(Kind::Node, failure("second"));
        outage.failed(Kind::Services, failure("first"));
        assert_eq!(*published.borrow(), first);

        outage.connected(Kind::Services);
        let reason = match &*published.borrow() {
            SourceHealth::Retrying { reason, .. } => reason.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason, "second");
        outage.connected(Kind::Node);
        assert_eq!(*published.borrow(), SourceHealth::Connected);
    }

    #[test]
    fn each_class_of_failure_is_logged_once_per_outage() {
        let (outage, _published) = outage();
        let logged = |outage: &Outage| outage.lock().logged.len();

        for _ in 0..3 {
            for kind in FOLLOWED {
                outage.failed(kind, failure("unreachable"));
            }
        }
        assert_eq!(logged(&outage), 1);
        for kind in FOLLOWED {
            outage.connected(kind);
        }
        assert_eq!(logged(&outage), 0);
    }
}
