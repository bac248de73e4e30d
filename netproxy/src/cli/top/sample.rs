//! The state of the datapath at one moment.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use netproxy::datapath::{MapFill, View};
use netproxy::plan::PortKey;
use netproxy_common::{Counter, Traffic};
use rustc_hash::FxHashMap;

/// One look.
#[derive(Debug)]
pub(super) struct Sample {
    /// When it was taken.
    pub(super) at: Instant,
    pub(super) time: SystemTime,
    pub(super) names: BTreeMap<u32, PortKey>,
    /// Live flows, by their service's id.
    pub(super) flows: FxHashMap<u32, u64>,
    pub(super) assured: u64,
    /// What has been carried, by the service's id.
    pub(super) traffic: BTreeMap<u32, Traffic>,
    pub(super) drops: BTreeMap<(u32, Counter), u64>,
    pub(super) counters: BTreeMap<Counter, u64>,
    pub(super) fills: Vec<MapFill>,
}

impl Sample {
    pub(super) fn take(view: &View) -> anyhow::Result<Self> {
        let (at, time) = (Instant::now(), SystemTime::now());
        let names: BTreeMap<_, _> = view
            .services()?
            .into_iter()
            .map(|(id, service)| (id, service.key))
            .collect();
        let mut flows: FxHashMap<u32, u64> = FxHashMap::default();
        let mut assured = 0;
        let fills = view.flows()?.look_through(|flow| {
            *flows.entry(flow.service).or_default() += 1;
            assured += u64::from(flow.is_assured);
        })?;
        let traffic = view.traffic(names.keys().copied())?;
        let counters = view.counters()?;
        let counters = Counter::ALL
            .iter()
            .map(|counter| Ok((*counter, counters.get(*counter)?)))
            .collect::<anyhow::Result<_>>()?;
        let drops = view.drops()?;
        Ok(Self {
            at,
            time,
            names,
            flows,
            assured,
            traffic,
            drops,
            counters,
            fills,
        })
    }
}
