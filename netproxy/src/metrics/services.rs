//! What is counted by service. Only so many have series of their own; all others share one, whose
//! name is `other` and whose namespace is empty, as no service's is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use netproxy_common::{Counter as Reason, Traffic};
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
struct OfOpener {
    service_namespace: String,
    service_name: String,
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDirection {
    service_namespace: String,
    service_name: String,
    direction: &'static str,
}

/// By whom flows are begun.
const OPENERS: [&str; 2] = ["packet", "socket"];
const DIRECTIONS: [&str; 2] = ["to_endpoints", "to_clients"];

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
    new_flows: Family<OfOpener, Counter>,
    packets: Family<OfDirection, Counter>,
    bytes: Family<OfDirection, Counter>,
    drops: Family<OfReason, Counter>,
    /// What services had carried at the last pass, by id.
    carried: BTreeMap<u32, Traffic>,
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
            new_flows: register(
                registry,
                "netproxy_service_new_flows",
                "Flows of a service that were begun, by a packet or a socket, as of the last pass",
                Family::default(),
            ),
            packets: register(
                registry,
                "netproxy_service_packets",
                "Packets of a service that were translated, as of the last pass",
                Family::default(),
            ),
            bytes: register(
                registry,
                "netproxy_service_bytes",
                "Bytes of these packets, IP headers included, as of the last pass",
                Family::default(),
            ),
            drops: register(
                registry,
                "netproxy_service_drops",
                "Packets to a service that were dropped or refused, and sockets that were refused, as of \
                 the last pass",
                Family::default(),
            ),
            carried: BTreeMap::new(),
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
            for by in OPENERS {
                self.new_flows.remove(&of_opener(Some(&name), by));
            }
            for direction in DIRECTIONS {
                self.packets.remove(&of_direction(Some(&name), direction));
                self.bytes.remove(&of_direction(Some(&name), direction));
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

    /// What services have carried since ever, by id; those with most bytes since the last pass get series of their
    /// own first.
    pub fn traffic(
        &mut self,
        services: &FxHashMap<u32, ObjectName>,
        traffic: BTreeMap<u32, Traffic>,
    ) {
        let mut new: Vec<_> = traffic
            .iter()
            .map(|(id, now)| {
                let before = self.carried.get(id).copied().unwrap_or_default();
                (*id, now.since(&before))
            })
            .filter(|(_, new)| *new != Traffic::default())
            .collect();
        new.sort_by_key(|(_, new)| Reverse(new.to_endpoints.bytes + new.to_clients.bytes));
        for (id, new) in new {
            let service = services.get(&id).filter(|name| self.admit(name));
            for (by, flows) in OPENERS.into_iter().zip([new.flows, new.sockets]) {
                if flows > 0 {
                    let counter = self.new_flows.get_or_create(&of_opener(service, by));
                    counter.inc_by(flows);
                }
            }
            let volumes = [new.to_endpoints, new.to_clients];
            for (direction, volume) in DIRECTIONS.into_iter().zip(volumes) {
                if volume.packets > 0 {
                    let labels = of_direction(service, direction);
                    self.packets.get_or_create(&labels).inc_by(volume.packets);
                    self.bytes.get_or_create(&labels).inc_by(volume.bytes);
                }
            }
        }
        self.carried = traffic;
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

fn of_opener(service: Option<&ObjectName>, by: &'static str) -> OfOpener {
    let OfService {
        service_namespace,
        service_name,
    } = of(service);
    OfOpener {
        service_namespace,
        service_name,
        by,
    }
}

fn of_direction(service: Option<&ObjectName>, direction: &'static str) -> OfDirection {
    let OfService {
        service_namespace,
        service_name,
    } = of(service);
    OfDirection {
        service_namespace,
        service_name,
        direction,
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
