//! One kind's task: follow its watch, for ever.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::failure::{Class, Failure};
use super::kind::{Kind, Watched};
use super::listing::{Latch, Listing};
use super::outage::Outage;
use super::query::Query;
use super::retry::Retry;
use crate::model::{Change, Label};

/// A list without any progress for so long is given up; the server has no more than this either.
const LIST_STALL: Duration = Duration::from_mins(1);
/// How often a kind is asked for that the server does not have, or does not show.
const ABSENCE_INTERVAL: Duration = Duration::from_mins(5);

/// What one kind's task works with.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) connection: Connection,
    pub(super) node_name: Label,
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) outage: Arc<Outage>,
    pub(super) latch: Arc<Latch>,
    /// Whether the latch knows that this kind is complete.
    pub(super) is_counted: bool,
    /// Whether the server was last found not to have this kind.
    pub(super) is_absent: bool,
    pub(super) stop: CancellationToken,
}

/// Why a stream of events was left.
enum Left {
    /// For good: stopped, or nobody listens.
    ForGood,
    /// To list anew.
    ToListAnew,
}

/// What came next from a stream of events.
enum Next<K> {
    Event(Event<K>),
    /// The server has answered favourably; events may be a long time coming.
    Answer,
    Failure(Failure),
    /// A list that makes no progress.
    Stall,
}

impl Watching {
    /// Follows kind `K` until stopped or until the receiver of the changes is gone.
    pub(super) async fn follow<K: Watched>(mut self) {
        let (stop, changes) = (self.stop.clone(), self.changes.clone());
        let mut listing = Listing::<K>::new();
        let mut query = Query::new(K::KIND, &self.node_name);
        let mut retry = Retry::default();
        let streams = async {
            while let Left::ToListAnew = self.stream(&mut listing, &mut query, &mut retry).await {}
        };
        tokio::select! {
            () = streams => {}
            () = stop.cancelled() => {}
            () = changes.closed() => {}
        }
    }

    /// Follows one stream of events. kube's watcher resumes it by itself when asked for the next
    /// event after a failure, so it is left only where that is of no use.
    async fn stream<K: Watched>(
        &mut self,
        listing: &mut Listing<K>,
        query: &mut Query,
        retry: &mut Retry,
    ) -> Left {
        let api = Api::<K>::all(self.connection.client());
        let mut events = pin!(watcher(api, query.config()));
        loop {
            match self.next(listing.is_in_progress(), &mut events).await {
                Next::Event(event) => {
                    if !self.take(event, listing).await {
                        return Left::ForGood;
                    }
                    if listing.is_current() {
                        retry.succeeded();
                        self.outage.connected(K::KIND);
                    }
                }
                Next::Answer => {
                    if listing.is_current() {
                        self.outage.connected(K::KIND);
                    }
                }
                Next::Failure(failure) => {
                    if self.fail::<K>(failure, query, retry).await {
                        return Left::ToListAnew;
                    }
                }
                Next::Stall => {
                    query.give_up_streaming();
                    self.outage.failed(K::KIND, Failure::stalled(LIST_STALL));
                    return Left::ToListAnew;
                }
            }
        }
    }

    /// Waits for what comes next.
    async fn next<K: Watched>(
        &mut self,
        is_listing: bool,
        events: &mut (impl Stream<Item = watcher::Result<Event<K>>> + Unpin),
    ) -> Next<K> {
        tokio::select! {
            biased;
            Ok(()) = self.connection.answers().changed() => Next::Answer,
            Some(event) = events.next() => match event {
                Ok(event) => Next::Event(event),
                Err(error) => Next::Failure(Failure::new(&error)),
            },
            () = tokio::time::sleep(LIST_STALL), if is_listing => Next::Stall,
            // kube's watcher has no end.
            else => std::future::pending().await,
        }
    }

    /// Sends on what an event means. False if nobody listens any longer.
    async fn take<K: Watched>(&mut self, event: Event<K>, listing: &mut Listing<K>) -> bool {
        let mut changes = Vec::new();
        listing.fold(event, &mut changes);
        for change in changes {
            if self.changes.send(change).await.is_err() {
                return false;
            }
        }
        if !listing.is_current() {
            return true;
        }
        if !self.is_counted || self.is_absent {
            tracing::info!(kind = %K::KIND, "listed completely");
        }
        self.is_absent = false;
        self.count().await
    }

    /// Tells, once, that nothing more is to come of this kind before all is known. False if
    /// nobody listens any longer.
    async fn count(&mut self) -> bool {
        let was_counted = std::mem::replace(&mut self.is_counted, true);
        if !was_counted && self.latch.complete_one() {
            return self.changes.send(Change::Listed).await.is_ok();
        }
        true
    }

    /// The server does not have an optional kind, or does not show it: what is known of it stays.
    async fn go_without<K: Watched>(&mut self, failure: &Failure, consequence: &str) {
        if !std::mem::replace(&mut self.is_absent, true) {
            let (kind, reason, retry) = (K::KIND, &failure.reason, ABSENCE_INTERVAL);
            if kind == Kind::ServiceCidrs {
                tracing::info!(%kind, reason, ?retry, "going on without; {consequence}");
            } else {
                tracing::warn!(%kind, reason, ?retry, "going on without; {consequence}");
            }
        }
        self.outage.connected(K::KIND);
        if self.count().await {
            tokio::time::sleep(ABSENCE_INTERVAL).await;
        }
    }

    /// Takes note of a failure, and waits where that helps. True if the stream is of no more use.
    async fn fail<K: Watched>(
        &mut self,
        failure: Failure,
        query: &mut Query,
        retry: &mut Retry,
    ) -> bool {
        // An answer from before the failure says nothing about what comes after it.
        self.connection.answers().mark_unchanged();
        if failure.is_passing {
            tracing::warn!(kind = %K::KIND, reason = failure.reason, "one event is unreadable");
            return false;
        }
        if let Class::Refused(code) = failure.class
            && let Some(given_up) = query.give_up(code, &failure.message)
        {
            tracing::info!(kind = %K::KIND, reason = failure.reason, "going on without {given_up}");
            return true;
        }
        if let Some(consequence) = K::KIND.without()
            && failure.is_absence()
        {
            self.go_without::<K>(&failure, consequence).await;
            return true;
        }
        let needs_new_list = failure.needs_new_list();
        let class = failure.class;
        tracing::debug!(kind = %K::KIND, ?class, reason = failure.reason, "attempt failed");
        if class != Class::Expired {
            self.outage.failed(K::KIND, failure);
        }
        tokio::time::sleep(retry.wait(Instant::now())).await;
        if class == Class::Unauthorized {
            self.connection.renew().await;
            return true;
        }
        needs_new_list
    }
}
