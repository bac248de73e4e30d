//! How the agent fares, as far as those who ask need it: a value, and how it is judged.
//!
//! Only changes that wait make the agent unhealthy: one that has nothing to do, or lost its API
//! server, is healthy. Both families are judged apart, by the longest wait of each.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::model::Family;

/// How long a change may wait before the agent counts as behind. Syncs take milliseconds.
const READY_LIMIT: Duration = Duration::from_secs(3);

/// How the agent fares.
#[derive(Clone, Debug)]
pub struct Health {
    /// IPv4 and IPv6, as in [`Family::BOTH`].
    pub(super) families: [FamilyHealth; 2],
    /// Whether load balancers may send new connections to this node. So until the Node says
    /// otherwise: an agent that is starting does not mean that its node is leaving.
    pub(super) is_node_eligible: bool,
    /// Whether everything that the source lists has been applied once.
    pub(super) has_synced: bool,
    /// Whether processes are yet to be balanced at their sockets.
    pub(super) awaits_sockets: bool,
    /// What waits to be tried again.
    pub(super) refusal: Option<Refusal>,
    /// What of the node's devices and addresses could not be taken over.
    pub(super) network_faults: NetworkFaults,
}

/// The state of one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct FamilyHealth {
    /// When its changes were last applied, all of them; when the agent started, at first.
    pub(super) updated: Timestamp,
    /// Since when its oldest change waits.
    pub(super) waiting_since: Option<Instant>,
}

/// Services that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// How many are tried again; not all of them may be at fault.
    pub(super) services: usize,
    /// The first reason.
    pub(super) reason: String,
}

/// What of this node's network the kernel refused, until it no longer does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NetworkFaults {
    /// A device is not served.
    pub(super) device: Option<String>,
    /// NodePorts may not answer on every address.
    pub(super) addresses: Option<String>,
}

impl Health {
    /// Of an agent that started at `now`.
    #[must_use]
    pub fn starting(now: Timestamp) -> Self {
        let family = FamilyHealth {
            updated: now,
            waiting_since: None,
        };
        Self {
            families: [family; 2],
            is_node_eligible: true,
            has_synced: false,
            awaits_sockets: false,
            refusal: None,
            network_faults: NetworkFaults::default(),
        }
    }

    /// Whether no change of any family has waited for `limit`.
    pub(super) fn is_healthy(&self, now: Instant, limit: Duration) -> bool {
        let mut families = self.families.iter();
        families.all(|family| family.is_healthy(now, limit))
    }

    /// When any family was last updated.
    pub(super) fn updated(&self) -> Timestamp {
        let [v4, v6] = self.families;
        v4.updated.max(v6.updated)
    }

    /// Why the datapath is not what the source says; empty when it is.
    pub(super) fn shortcomings(&self, now: Instant) -> Vec<String> {
        let mut found = Vec::new();
        if !self.has_synced {
            found.push("the first complete sync has not been done".to_owned());
        }
        if self.awaits_sockets {
            found.push("no program is attached to sockets yet".to_owned());
        }
        if let Some(Refusal { services, reason }) = &self.refusal {
            found.push(format!(
                "{services} services are to be tried again: {reason}"
            ));
        }
        let NetworkFaults { device, addresses } = &self.network_faults;
        found.extend(device.iter().chain(addresses).cloned());
        for (family, health) in Family::BOTH.into_iter().zip(&self.families) {
            if let Some(waited) = health.waited(now).filter(|waited| *waited >= READY_LIMIT) {
                let seconds = waited.as_secs();
                found.push(format!("a change of {family} has waited for {seconds} s"));
            }
        }
        found
    }
}

impl FamilyHealth {
    /// Whether no change has waited for `limit`.
    pub(super) fn is_healthy(&self, now: Instant, limit: Duration) -> bool {
        self.waited(now).is_none_or(|waited| waited < limit)
    }

    /// How long the oldest change has waited, if one waits.
    fn waited(&self, now: Instant) -> Option<Duration> {
        self.waiting_since
            .map(|since| now.saturating_duration_since(since))
    }
}
