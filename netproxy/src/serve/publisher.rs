//! The agent's pen: what it does, as those who serve read it. Writing never waits for a reader.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;

use super::health::{Health, NetworkFaults, Refusal};
use super::health_checks::HealthChecks;
use crate::model::{Family, Node, ObjectName, Service, families_of};
use crate::plan::HealthCheck;

/// Publishes how the agent fares, and what load balancers are told.
#[derive(Debug)]
pub struct HealthPublisher {
    health: watch::Sender<Health>,
    checks: watch::Sender<HealthChecks>,
}

impl HealthPublisher {
    /// Of an agent that started at `now`. `checks` says on which addresses load balancers ask.
    #[must_use]
    pub fn new(now: Timestamp, checks: HealthChecks) -> Self {
        Self {
            health: watch::Sender::new(Health::starting(now)),
            checks: watch::Sender::new(checks),
        }
    }

    /// How the agent fares, from now on.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// What load balancers are told, from now on.
    #[must_use]
    pub fn checks(&self) -> watch::Receiver<HealthChecks> {
        self.checks.subscribe()
    }

    /// Takes note of this node's Node once it is known, or of its absence.
    pub fn node(&self, node: Option<&Node>) {
        let is_eligible = node.is_some_and(|node| !node.is_leaving);
        self.health.send_if_modified(|health| {
            std::mem::replace(&mut health.is_node_eligible, is_eligible) != is_eligible
        });
    }

    /// Changes of these services (None: of one that is gone) have come and wait. The oldest time
    /// counts.
    pub fn queued<'a>(&self, services: impl Iterator<Item = Option<&'a Service>>, now: Instant) {
        let families: BTreeSet<Family> = services.flat_map(families_of).collect();
        self.health.send_modify(|health| {
            for (family, state) in Family::BOTH.into_iter().zip(&mut health.families) {
                if families.contains(&family) {
                    state.waiting_since.get_or_insert(now);
                }
            }
        });
    }

    /// All that waited has been applied.
    pub fn updated(&self, now: Timestamp) {
        self.health.send_modify(|health| {
            health.has_synced = true;
            health.refusal = None;
            for state in &mut health.families {
                if state.waiting_since.take().is_some() {
                    state.updated = now;
                }
            }
        });
    }

    /// Not all that waited could be applied; `services` are tried again.
    pub fn refused(&self, services: usize, reason: &impl ToString) {
        let refusal = Refusal {
            services,
            reason: reason.to_string(),
        };
        self.health
            .send_modify(|health| health.refusal = Some(refusal));
    }

    /// The health checks of these services are now so; None where there is none (any more).
    pub fn set_checks(&self, checks: impl Iterator<Item = (ObjectName, Option<HealthCheck>)>) {
        self.checks.send_if_modified(|all| {
            // Every one of them, so no short circuit.
            checks.fold(false, |is_changed, (name, check)| {
                all.set(name, check) || is_changed
            })
        });
    }

    /// Whether processes are yet to be balanced at their sockets.
    pub fn awaits_sockets(&self, does_wait: bool) {
        self.health
            .send_modify(|health| health.awaits_sockets = does_wait);
    }

    /// The node's devices are all served, or why one is not.
    pub fn devices(&self, fault: Option<&impl ToString>) {
        self.fault(fault, |faults| &mut faults.device);
    }

    /// NodePorts answer on these addresses now, or why one of them may not.
    pub fn node_port_addresses(&self, addresses: &BTreeSet<IpAddr>, fault: Option<&impl ToString>) {
        self.fault(fault, |faults| &mut faults.addresses);
        self.checks
            .send_if_modified(|checks| checks.set_addresses(addresses));
    }

    fn fault(
        &self,
        fault: Option<&impl ToString>,
        place: impl FnOnce(&mut NetworkFaults) -> &mut Option<String>,
    ) {
        let fault = fault.map(ToString::to_string);
        self.health.send_if_modified(|health| {
            let place = place(&mut health.network_faults);
            let is_changed = *place != fault;
            *place = fault;
            is_changed
        });
    }
}
