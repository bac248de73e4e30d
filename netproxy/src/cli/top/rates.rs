//! What has happened between two looks, per second.

use std::collections::BTreeMap;
use std::time::SystemTime;

use netproxy::datapath::MapFill;
use netproxy::model::{ObjectName, Protocol};
use netproxy::plan::PortKey;
use netproxy_common::{Counter, Traffic, Volume};

use super::sample::Sample;

/// A service port in both families.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServicePort {
    pub(super) service: ObjectName,
    pub(super) port: String,
    pub(super) protocol: Protocol,
}

impl From<&PortKey> for ServicePort {
    fn from(key: &PortKey) -> Self {
        Self {
            service: key.service.clone(),
            port: key.port.to_string(),
            protocol: key.protocol,
        }
    }
}

/// What is known of a service port.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Activity {
    /// A key of the port, of either family.
    pub(super) key: PortKey,
    pub(super) flows: u64,
    /// None: there was no look before.
    pub(super) per_s: Option<PerSecond>,
}

/// What has happened to a service port per second, both ways together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PerSecond {
    pub(super) new_flows: f64,
    pub(super) sockets: f64,
    pub(super) packets: f64,
    pub(super) bytes: f64,
    pub(super) drops: f64,
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) time: SystemTime,
    pub(super) interval_s: f64,
    pub(super) assured: u64,
    pub(super) pending: u64,
    /// By counter; empty: there was no look before.
    pub(super) events_per_s: BTreeMap<Counter, f64>,
    pub(super) fills: Vec<MapFill>,
    pub(super) services: BTreeMap<ServicePort, Activity>,
}

impl Activity {
    fn add(&mut self, what: impl FnOnce(&mut PerSecond)) {
        if let Some(per_s) = &mut self.per_s {
            what(per_s);
        }
    }
}

impl Rates {
    /// At the first look: what there is, without rates.
    pub(super) fn unknown(now: &Sample) -> Self {
        Self::of(None, now)
    }

    /// What has happened from `before` until `now`.
    pub(super) fn between(before: &Sample, now: &Sample) -> Self {
        Self::of(Some(before), now)
    }

    fn of(before: Option<&Sample>, now: &Sample) -> Self {
        let passed = before.map(|before| now.at.duration_since(before.at).as_secs_f64());
        let interval_s = passed.unwrap_or(0.0);
        #[expect(
            clippy::cast_precision_loss,
            reason = "what is counted in an hour is far below 2^52"
        )]
        let per_s = |count: u64| count as f64 / interval_s.max(f64::EPSILON);
        let mut services: BTreeMap<ServicePort, Activity> = BTreeMap::new();
        let mut note = |id: u32, take: &mut dyn FnMut(&mut Activity)| {
            // What has been removed since is nobody's.
            if let Some(key) = now.names.get(&id) {
                take(
                    services
                        .entry(ServicePort::from(key))
                        .or_insert_with(|| Activity {
                            key: key.clone(),
                            flows: 0,
                            per_s: before.map(|_| PerSecond::default()),
                        }),
                );
            }
        };
        for (service, count) in &now.flows {
            note(*service, &mut |activity| activity.flows += count);
        }
        if let Some(before) = before {
            for ((service, _), count) in more(&before.drops, &now.drops) {
                note(service, &mut |activity| {
                    activity.add(|rates| rates.drops += per_s(count));
                });
            }
            for (service, traffic) in carried(&before.traffic, &now.traffic) {
                let [packets, bytes] = [|it: Volume| it.packets, |it: Volume| it.bytes]
                    .map(|of| of(traffic.to_endpoints) + of(traffic.to_clients));
                note(service, &mut |activity| {
                    activity.add(|rates| {
                        rates.new_flows += per_s(traffic.flows);
                        rates.sockets += per_s(traffic.sockets);
                        rates.packets += per_s(packets);
                        rates.bytes += per_s(bytes);
                    });
                });
            }
        }
        let counted = before.map(|before| more(&before.counters, &now.counters));
        let events_per_s = counted.into_iter().flatten();
        let flows: u64 = now.flows.values().sum();
        Self {
            time: now.time,
            interval_s,
            assured: now.assured,
            pending: flows.saturating_sub(now.assured),
            events_per_s: events_per_s
                .map(|(counter, count)| (counter, per_s(count)))
                .collect(),
            fills: now.fills.clone(),
            services,
        }
    }

    /// The rate of one counter; None: there was no look before.
    pub(super) fn of_counter(&self, counter: Counter) -> Option<f64> {
        let is_known = self.interval_s > 0.0;
        is_known.then(|| self.events_per_s.get(&counter).copied().unwrap_or(0.0))
    }

    /// The rate of all packets that were dropped or refused.
    pub(super) fn of_drops(&self) -> Option<f64> {
        let drops = self.events_per_s.iter();
        let drops = drops.filter(|(counter, _)| counter.is_drop());
        (self.interval_s > 0.0).then(|| drops.fold(0.0, |sum, (_, rate)| sum + rate))
    }
}

/// By how much counts have grown, where they have. One that was forgotten meanwhile began anew.
fn more<K: Ord + Copy>(
    before: &BTreeMap<K, u64>,
    now: &BTreeMap<K, u64>,
) -> impl Iterator<Item = (K, u64)> {
    now.iter().filter_map(|(key, count)| {
        let before = before.get(key).copied().unwrap_or(0);
        let since = count.checked_sub(before).unwrap_or(*count);
        (since > 0).then_some((*key, since))
    })
}

/// What has been carried since, where anything has. An id that was given to another service began anew.
fn carried(
    before: &BTreeMap<u32, Traffic>,
    now: &BTreeMap<u32, Traffic>,
) -> impl Iterator<Item = (u32, Traffic)> {
    now.iter().filter_map(|(id, now)| {
        let before = before.get(id).copied().unwrap_or_default();
        let since = now.since(&before);
        (since != Traffic::default()).then_some((*id, since))
    })
}
