//! The servers at health-check node ports: opened and closed as services come and go.
//!
//! Each door has a server of its own, so that none is disturbed by what becomes of others. A door
//! that cannot be opened is tried again after every sync, and every half minute.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error};

use super::answers;
use super::complaints::Complaints;
use super::health::Health;
use super::health_checks::{Door, HealthChecks};
use super::http::{listen, serve};
use crate::model::{Family, Label, ObjectName};
use crate::source::{Event, Events, Regarding};

/// Between attempts to open what cannot be opened, at most.
const RETRY: Duration = Duration::from_secs(30);

/// All servers at health-check node ports.
#[derive(Debug)]
pub(super) struct NodePortServers {
    node_name: Label,
    health: watch::Receiver<Health>,
    checks: watch::Receiver<HealthChecks>,
    /// How long a change may wait before the proxy is unhealthy.
    limit: Duration,
    events: Events,
    open: BTreeMap<Door, AbortOnDropHandle<Infallible>>,
    complaints: Complaints<(ObjectName, u16)>,
}

impl NodePortServers {
    pub(super) fn new(
        node_name: Label,
        health: watch::Receiver<Health>,
        checks: watch::Receiver<HealthChecks>,
        limit: Duration,
        events: Events,
    ) -> Self {
        Self {
            node_name,
            health,
            checks,
            limit,
            events,
            open: BTreeMap::new(),
            complaints: Complaints::new(),
        }
    }

    /// Follows what is published, until nobody publishes any more.
    pub(super) async fn run(mut self) {
        loop {
            self.checks.mark_unchanged();
            // Every sync publishes how the agent fares.
            self.health.mark_unchanged();
            let is_complete = self.follow(Instant::now()).await;
            let outcome = tokio::select! {
                outcome = self.checks.changed() => outcome,
                outcome = self.health.changed(), if !is_complete => outcome,
                () = sleep(RETRY), if !is_complete => Ok(()),
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    /// Closes and opens doors. Whether all that are wanted are open.
    pub(super) async fn follow(&mut self, now: Instant) -> bool {
        let wanted = self.checks.borrow().doors();
        // First of all, and to the end: a port may have passed on to another service.
        let closed: Vec<_> = self
            .open
            .extract_if(.., |door, _| !wanted.contains(door))
            .collect();
        for (door, server) in closed {
            server.abort();
            let _ = server.await;
            debug!(service = %door.service, address = %door.address, "health check closed");
        }
        let mut is_complete = true;
        for door in wanted {
            if !self.open.contains_key(&door) {
                is_complete &= self.open(door, now);
            }
        }
        is_complete
    }

    /// Opens a door. Whether that worked.
    fn open(&mut self, door: Door, now: Instant) -> bool {
        let listener = match listen(door.address) {
            Ok(listener) => listener,
            Err(reason) => {
                self.complain(&door, &reason, now);
                return false;
            }
        };
        debug!(service = %door.service, address = %door.address, "health check opened");
        let family = Family::of(&door.address.ip());
        let (service, limit) = (door.service.clone(), self.limit);
        let (health, checks) = (self.health.clone(), self.checks.clone());
        let server = serve(listener, move |_| {
            let count = checks.borrow().local_endpoints(&service, family);
            let is_healthy = health.borrow().is_healthy(Instant::now(), limit);
            answers::service(&service, count, is_healthy)
        });
        let server = AbortOnDropHandle::new(tokio::spawn(server));
        self.open.insert(door, server);
        true
    }

    fn complain(&mut self, door: &Door, reason: &std::io::Error, now: Instant) {
        let Door { address, service } = door;
        if !self
            .complaints
            .is_due((service.clone(), address.port()), now)
        {
            debug!(%service, %address, %reason, "health check still not opened");
            return;
        }
        error!(
            %service, %address, %reason,
            remedy = "end what listens there (`ss -ltnp`)",
            "the health check of a load balancer cannot be answered; it will pass this node by"
        );
        let (node, port) = (&self.node_name, address.port());
        self.events.tell(Event {
            regarding: Regarding::Service(service.clone()),
            is_warning: true,
            reason: "FailedToStartServiceHealthcheck",
            action: "Listen",
            note: format!(
                "node {node} failed to start healthcheck \"{service}\" on port {port}: {reason} \
                 ({address})"
            ),
        });
    }
}
