//! The state of the datapath at one moment.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::time::{Instant, SystemTime};

use netproxy::datapath::{FlowEntry, MapFill, View};
use netproxy::plan::PortKey;
use netproxy_common::Counter;
use rustc_hash::{FxHashMap, FxHasher};

/// One look.
#[derive(Debug)]
pub(super) struct Sample {
    /// When it was taken.
    pub(super) at: Instant,
    pub(super) time: SystemTime,
    pub(super) names: BTreeMap<u32, PortKey>,
    /// Live flows, by what tells them apart, with their service's id.
    pub(super) flows: FxHashMap<u64, u32>,
    pub(super) assured: u64,
    pub(super) drops: BTreeMap<(u32, Counter), u64>,
    pub(super) counters: BTreeMap<Counter, u64>,
    pub(super) fills: Vec<MapFill>,
}

impl Sample {
    pub(super) fn take(view: &View) -> anyhow::Result<Self> {
        let (at, time) = (Instant::now(), SystemTime::now());
        let mut flows = FxHashMap::default();
        let mut assured = 0;
        let fills = view.flows()?.look_through(|flow| {
            // While it is promoted, a flow stands in both tiers.
            if flows.insert(number(&flow), flow.service).is_none() {
                assured += u64::from(flow.is_assured);
            }
        })?;
        let counters = view.counters()?;
        let counters = Counter::ALL
            .iter()
            .map(|counter| Ok((*counter, counters.get(*counter)?)))
            .collect::<anyhow::Result<_>>()?;
        let drops = view.drops()?;
        // Last: who came meanwhile is known by name.
        let names = view.services()?.into_iter();
        let names = names.map(|(id, service)| (id, service.key)).collect();
        Ok(Self {
            at,
            time,
            names,
            flows,
            assured,
            drops,
            counters,
            fills,
        })
    }
}

/// A number that hardly two flows share.
fn number(flow: &FlowEntry) -> u64 {
    let mut hasher = FxHasher::default();
    flow.protocol.number().hash(&mut hasher);
    flow.client.hash(&mut hasher);
    flow.frontend.hash(&mut hasher);
    hasher.finish()
}
