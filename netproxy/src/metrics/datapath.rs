//! What the programs count, and how full their maps are.

use std::collections::BTreeSet;
use std::fmt::Error;
use std::sync::{Arc, OnceLock};

use netproxy_common::{Counter as Event, FlowKind, FlowState};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustc_hash::FxHashMap;

use super::register;
use crate::datapath::{Counters, FlowClass, MapFill};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMap {
    map: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClass {
    ip_family: &'static str,
    tier: &'static str,
    kind: &'static str,
    state: &'static str,
}

/// Notes of what a pass has seen.
#[derive(Debug)]
pub struct DatapathMetrics {
    counters: Arc<OnceLock<Counters>>,
    entries: Labelled<OfMap, Gauge>,
    capacity: Labelled<OfMap, Gauge>,
    flows: Labelled<OfClass, Gauge>,
    /// Classes of which there have been flows: they stay, with zero.
    classes: BTreeSet<FlowClass>,
}

impl DatapathMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counters = Arc::new(OnceLock::new());
        registry.register_collector(Box::new(Events(Arc::clone(&counters))));
        Self {
            counters,
            entries: register(
                registry,
                "netproxy_map_entries",
                "Entries of a BPF map, as of the last pass",
                Labelled::default(),
            ),
            capacity: register(
                registry,
                "netproxy_map_capacity",
                "How many entries a BPF map has room for",
                Labelled::default(),
            ),
            flows: register(
                registry,
                "netproxy_flows",
                "Flows in the flow table, as of the last pass",
                Labelled::default(),
            ),
            classes: BTreeSet::new(),
        }
    }

    /// These count from now on. They are read whenever somebody asks: that is one small array.
    pub fn adopt(&self, counters: Counters) {
        // There is one datapath to a process.
        let _ = self.counters.set(counters);
    }

    /// Maps are as full as that.
    pub fn fills(&self, fills: &[MapFill]) {
        for fill in fills {
            let labels = OfMap { map: fill.map };
            let entries = self.entries.get_or_create(&labels);
            entries.set(fill.entries.into());
            let capacity = self.capacity.get_or_create(&labels);
            capacity.set(fill.capacity.into());
        }
    }

    /// There are so many flows of each class, and none of others.
    pub fn flows(&mut self, flows: &FxHashMap<FlowClass, u32>) {
        self.classes.extend(flows.keys());
        for class in &self.classes {
            let count = flows.get(class).copied().unwrap_or_default();
            self.flows.get_or_create(&labels(*class)).set(count.into());
        }
    }
}

const fn labels(class: FlowClass) -> OfClass {
    OfClass {
        ip_family: class.family.name(),
        tier: if class.is_assured {
            "assured"
        } else {
            "pending"
        },
        kind: match class.kind {
            FlowKind::Edge => "edge",
            FlowKind::Whole => "whole",
            FlowKind::Host => "host",
            FlowKind::Foreign => "foreign",
        },
        state: match class.state {
            FlowState::Opening => "opening",
            FlowState::Established => "established",
            FlowState::Closing => "closing",
        },
    }
}

/// The programs' counters, once there are any.
#[derive(Debug)]
struct Events(Arc<OnceLock<Counters>>);

impl Collector for Events {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(counters) = self.0.get() else {
            return Ok(());
        };
        let mut family = encoder.encode_descriptor(
            "netproxy_events",
            "What the programs count; is_drop: packets that were dropped or refused for this reason.",
            None,
            MetricType::Counter,
        )?;
        for event in Event::ALL {
            // What cannot be read is left out.
            let Ok(count) = counters.get(*event) else {
                continue;
            };
            let is_drop = if event.is_drop() { "true" } else { "false" };
            let labels = [("event", event.name()), ("is_drop", is_drop)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
