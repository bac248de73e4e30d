//! What is counted by service. Only so many have series of their own; all others share one, whose
//! name is `other` and whose namespace is empty, as no service's is.

use std::collections::{BTreeMap, BTreeSet};

use netproxy_common::Counter as Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustc_hash::FxHashMap;

use super::{OTHER, register};
use crate::model::{Label, ObjectName};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfService {
    service_namespace: String,
    service_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    service_namespace: String,
    service_name: String,
    reason: &'static str,
}

/// Notes by service.
#[derive(Debug)]
pub struct ServiceMetrics {
    limit: usize,
    /// Those that have series of their own: the first that had flows or drops, the busiest of a pass
    /// first. They keep them until they are gone, as a counter must not wander.
    shown: BTreeSet<ObjectName>,
    flows: Family<OfService, Gauge>,
    drops: Family<OfReason, Counter>,
    /// What the kernel had counted at the last pass.
    counted: BTreeMap<(u32, Reason), u64>,
}

impl ServiceMetrics {
    pub(super) fn new(registry: &mut Registry, limit: usize) -> Self {
        Self {
            limit,
            shown: BTreeSet::new(),
            flows: register(
                registry,
                "netproxy_service_flows",
                "Flows of a service in the flow table, as of the last pass",
                Family::default(),
            ),
            drops: register(
                registry,
                "netproxy_service_drops",
                "Packets to a service that were dropped or refused, and sockets that were refused, as of \
                 the last pass",
                Family::default(),
            ),
            counted: BTreeMap::new(),
        }
    }

    /// Only these services are there (any more).
    pub fn forget_but(&mut self, is_there: impl Fn(&ObjectName) -> bool) {
        let gone = self.shown.iter().filter(|name| !is_there(name));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.flows.remove(&of(Some(&name)));
            for reason in Reason::ALL {
                self.drops.remove(&of_reason(Some(&name), *reason));
            }
            self.shown.remove(&name);
        }
    }

    /// What the programs have dropped since ever, by id and reason. `services` are those that there are
    /// with such an id.
    pub fn drops(
        &mut self,
        services: &FxHashMap<u32, ObjectName>,
        drops: BTreeMap<(u32, Reason), u64>,
    ) {
        for (key, count) in &drops {
            // The kernel forgets a count that is rarely touched, or whose id is given to another.
            let before = self.counted.get(key).filter(|before| *before <= count);
            let new = count - before.unwrap_or(&0);
            if new > 0 {
                let (id, reason) = *key;
                let service = services.get(&id).filter(|name| self.admit(name));
                let counter = self.drops.get_or_create(&of_reason(service, reason));
                counter.inc_by(new);
            }
        }
        self.counted = drops;
    }

    /// The flows of a pass, by id. `services` are those that there are with such an id.
    pub fn flows(&mut self, services: &FxHashMap<u32, ObjectName>, flows: &FxHashMap<u32, u32>) {
        let mut by_name: FxHashMap<&ObjectName, i64> = FxHashMap::default();
        let mut others = 0;
        for (id, count) in flows {
            match services.get(id) {
                Some(name) => *by_name.entry(name).or_default() += i64::from(*count),
                None => others += i64::from(*count),
            }
        }
        let mut busiest: Vec<_> = by_name.iter().collect();
        busiest.sort_unstable_by_key(|(name, count)| (-**count, **name));
        for (name, count) in busiest {
            if !self.admit(name) {
                others += count;
            }
        }
        for name in &self.shown {
            let count = by_name.get(name).copied().unwrap_or_default();
            self.flows.get_or_create(&of(Some(name))).set(count);
        }
        self.flows.get_or_create(&of(None)).set(others);
    }

    /// Whether the service has series of its own, from now on if there is room.
    fn admit(&mut self, service: &ObjectName) -> bool {
        if self.shown.contains(service) {
            return true;
        }
        let has_room = self.shown.len() < self.limit;
        if has_room {
            self.shown.insert(service.clone());
        }
        has_room
    }
}

fn of(service: Option<&ObjectName>) -> OfService {
    let text = |label: &Label| label.to_string();
    OfService {
        service_namespace: service.map_or_else(String::new, |name| text(&name.namespace)),
        service_name: service.map_or_else(|| OTHER.to_owned(), |name| text(&name.name)),
    }
}

fn of_reason(service: Option<&ObjectName>, reason: Reason) -> OfReason {
    let OfService {
        service_namespace,
        service_name,
    } = of(service);
    OfReason {
        service_namespace,
        service_name,
        reason: reason.name(),
    }
}
