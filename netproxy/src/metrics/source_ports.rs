//! Source ports of translated sources: how many there are towards an endpoint, and are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustc_hash::FxHashMap;

use super::{OTHER, register};
use crate::datapath::Destination;

/// Who has taken fewer than one in so many is under no pressure, and is not told of.
const PRESSURE: u32 = 100;
/// After which somebody who was refused nothing makes room for others.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Towards {
    destination: String,
    protocol: String,
}

/// Notes by endpoint, of which only so many have series of their own.
#[derive(Debug)]
pub struct SourcePortMetrics {
    limit: usize,
    available: Gauge,
    /// As many as [`Self::available`] tells.
    ports: u32,
    used: Family<Towards, Gauge>,
    /// Those that `used` tells of.
    pressed: BTreeSet<Destination>,
    exhausted: Family<Towards, Counter>,
    /// Those that `exhausted` tells of, and when each was last refused a port.
    refused: BTreeMap<Destination, Instant>,
}

impl SourcePortMetrics {
    pub(super) fn new(registry: &mut Registry, limit: usize) -> Self {
        Self {
            limit,
            available: register(
                registry,
                "netproxy_source_ports",
                "Source ports that there are towards each endpoint",
                Gauge::default(),
            ),
            ports: 0,
            used: register(
                registry,
                "netproxy_source_ports_used",
                "Source ports taken towards an endpoint, where that is one in a hundred or more, as of \
                 the last pass; of other: the most of any",
                Family::default(),
            ),
            pressed: BTreeSet::new(),
            exhausted: register(
                registry,
                "netproxy_source_ports_exhausted",
                "Flows that were refused as no source port towards the endpoint was free",
                Family::default(),
            ),
            refused: BTreeMap::new(),
        }
    }

    /// There are so many towards each endpoint.
    pub fn set_available(&mut self, ports: u32) {
        self.ports = ports;
        self.available.set(ports.into());
    }

    /// So many flows were refused since the last time.
    pub fn exhausted(&mut self, destination: Destination, flows: u32) {
        self.exhausted_at(destination, flows, Instant::now());
    }

    pub(super) fn exhausted_at(&mut self, destination: Destination, flows: u32, now: Instant) {
        if !self.refused.contains_key(&destination) && self.refused.len() >= self.limit {
            self.forget(now);
        }
        let has_room = self.refused.len() < self.limit;
        let labels = if has_room || self.refused.contains_key(&destination) {
            self.refused.insert(destination, now);
            towards(&destination)
        } else {
            others()
        };
        self.exhausted.get_or_create(&labels).inc_by(flows.into());
    }

    /// A pass has found so many flows that take a source port.
    pub fn used(&mut self, flows: &FxHashMap<Destination, u32>) {
        let least = (self.ports / PRESSURE).max(1);
        let pressed = flows.iter().filter(|(_, count)| **count >= least);
        let mut pressed: Vec<_> = pressed.map(|(place, count)| (*count, *place)).collect();
        pressed.sort_unstable_by(|one, other| other.cmp(one));
        let rest = pressed.split_off(self.limit.min(pressed.len()));
        let now: BTreeSet<_> = pressed.iter().map(|(_, place)| *place).collect();
        for gone in self.pressed.difference(&now) {
            self.used.remove(&towards(gone));
        }
        self.pressed = now;
        for (count, place) in pressed {
            self.used.get_or_create(&towards(&place)).set(count.into());
        }
        let most = rest.first().map_or(0, |(count, _)| *count);
        self.used.get_or_create(&others()).set(most.into());
    }

    fn forget(&mut self, now: Instant) {
        let exhausted = &self.exhausted;
        self.refused.retain(|place, last| {
            let is_known = now.saturating_duration_since(*last) < FORGOTTEN_AFTER;
            if !is_known {
                exhausted.remove(&towards(place));
            }
            is_known
        });
    }
}

fn towards(destination: &Destination) -> Towards {
    Towards {
        destination: destination.endpoint.to_string(),
        protocol: destination.protocol.to_string(),
    }
}

fn others() -> Towards {
    Towards {
        destination: OTHER.to_owned(),
        protocol: String::new(),
    }
}
