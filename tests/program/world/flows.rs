//! The flow table, as tests look at it and tamper with it.

use std::collections::BTreeSet;
use std::fmt::Debug;

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues};
use netproxy::datapath::{FlowEntry, FlowTable};
use netproxy_common::flow::FlowFlags;
use netproxy_common::{Flow, FlowKey, FlowState, Ipv4, Ipv6, PendingUntil, Turnover};

use super::{Flavour, World};

/// Which half of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// The client's packets.
    Forward,
    /// The endpoint's answers.
    Reply,
}

impl World {
    /// Every live flow.
    pub(crate) fn flows(&self) -> Vec<FlowEntry> {
        FlowTable::open(&self.pins).unwrap().list().unwrap()
    }

    /// The only flow there is.
    #[track_caller]
    pub(crate) fn flow(&self) -> FlowEntry {
        let flows = self.flows();
        assert_eq!(flows.len(), 1, "{flows:?}");
        flows[0].clone()
    }

    /// Lets every CPU have opened so many flows that those to come are where a flood may evict them.
    pub(crate) fn crowd(&self) {
        self.change_turnover(|it| it.opening = u32::MAX);
    }

    /// Lets every CPU begin anew with the places where it notes what it closes.
    pub(crate) fn turn_round(&self) {
        self.change_turnover(|it| it.closed = 0);
    }

    pub(super) fn change_turnover(&self, change: impl Fn(&mut Turnover)) {
        let data = MapData::from_pin(self.pins.map("TURNOVER")).unwrap();
        let mut map: PerCpuArray<_, Turnover> = Map::PerCpuArray(data).try_into().unwrap();
        for family in 0..2 {
            let mut turnovers = map.get(&family, 0).unwrap().to_vec();
            turnovers.iter_mut().for_each(&change);
            let changed = PerCpuValues::try_from(turnovers).unwrap();
            map.set(family, changed, 0).unwrap();
        }
    }

    /// Until when `PENDING_*` is looked into for flows that are not established, in seconds since the start of the node.
    pub(crate) fn pending_until_s(&self) -> [u32; 2] {
        let map = self.pending_until();
        [0, 1].map(|family| map.get(&family, 0).unwrap().passing_s)
    }

    /// Lets `PENDING_*` be looked into for so much shorter a time.
    pub(crate) fn shorten_pending(&self, by_s: u32) {
        let mut map = self.pending_until();
        for family in 0..2 {
            let mut until = map.get(&family, 0).unwrap();
            until.passing_s = until.passing_s.saturating_sub(by_s);
            map.set(family, until, 0).unwrap();
        }
    }

    /// When an edge flow was opened last, by family, in seconds since the start of the node.
    pub(crate) fn edges_opened_s(&self) -> [u32; 2] {
        let map = self.edge_opened();
        [0, 1].map(|family| map.get(&family, 0).unwrap())
    }

    /// As though no edge flow had ever been opened.
    pub(crate) fn forget_edges(&self) {
        let mut map = self.edge_opened();
        for family in 0..2 {
            map.set(family, 0, 0).unwrap();
        }
    }

    fn edge_opened(&self) -> Array<MapData, u32> {
        let data = MapData::from_pin(self.pins.map("EDGE_OPENED")).unwrap();
        Map::Array(data).try_into().unwrap()
    }

    fn pending_until(&self) -> Array<MapData, PendingUntil> {
        let data = MapData::from_pin(self.pins.map("PENDING_UNTIL")).unwrap();
        Map::Array(data).try_into().unwrap()
    }

    /// How many halves there are in `FLOWS_*` and in `PENDING_*`.
    pub(crate) fn entries_of_tiers(&self, flavour: Flavour) -> [usize; 2] {
        let number = if flavour.node().is_ipv4() { "V4" } else { "V6" };
        ["FLOWS", "PENDING"].map(|tier| {
            let name = format!("{tier}_{number}");
            let map = self.flow_map(&name);
            if flavour.node().is_ipv4() {
                entries::<Ipv4>(&name, map).len()
            } else {
                entries::<Ipv6>(&name, map).len()
            }
        })
    }

    /// Takes one half of every pending flow away, as the LRU may. Yields how many.
    pub(crate) fn lose(&self, half: Half) -> usize {
        let is_lost = |flags: u8| (flags & FlowFlags::REPLY != 0) == (half == Half::Reply);
        forget::<Ipv4>(self.flow_map("PENDING_V4"), is_lost)
            + forget::<Ipv6>(self.flow_map("PENDING_V6"), is_lost)
    }

    /// Takes every flow away.
    pub(crate) fn forget_flows(&self) {
        for name in ["PENDING_V4", "FLOWS_V4"] {
            forget::<Ipv4>(self.flow_map(name), |_| true);
        }
        for name in ["PENDING_V6", "FLOWS_V6"] {
            forget::<Ipv6>(self.flow_map(name), |_| true);
        }
    }

    /// Lets the deadline of one half of every flow pass.
    pub(crate) fn outlive(&self, half: Half) {
        let is_meant = |flags: u8| (flags & FlowFlags::REPLY != 0) == (half == Half::Reply);
        for name in ["PENDING_V4", "FLOWS_V4"] {
            outlive::<Ipv4>(self.flow_map(name), is_meant);
        }
        for name in ["PENDING_V6", "FLOWS_V6"] {
            outlive::<Ipv6>(self.flow_map(name), is_meant);
        }
    }

    /// Takes away what fills the assured tier.
    pub(crate) fn make_room(&self) {
        forget::<Ipv4>(self.flow_map("FLOWS_V4"), |_| true);
        forget::<Ipv6>(self.flow_map("FLOWS_V6"), |_| true);
    }

    /// Lets a second pass for every flow that is not assured.
    pub(crate) fn age(&self) {
        let is_passing = |state: u8| state != FlowState::Established as u8;
        age::<Ipv4>(self.flow_map("PENDING_V4"), |_| true);
        age::<Ipv6>(self.flow_map("PENDING_V6"), |_| true);
        age::<Ipv4>(self.flow_map("FLOWS_V4"), is_passing);
        age::<Ipv6>(self.flow_map("FLOWS_V6"), is_passing);
    }

    /// Of every flow, the generation of its service at which its endpoint was last found usable.
    pub(crate) fn generations(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for name in ["PENDING_V4", "FLOWS_V4"] {
            found.extend(generations::<Ipv4>(self.flow_map(name)));
        }
        for name in ["PENDING_V6", "FLOWS_V6"] {
            found.extend(generations::<Ipv6>(self.flow_map(name)));
        }
        found
    }

    /// All that the flow table holds, deadlines included.
    pub(crate) fn flow_table(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for name in ["PENDING_V4", "FLOWS_V4"] {
            found.extend(entries::<Ipv4>(name, self.flow_map(name)));
        }
        for name in ["PENDING_V6", "FLOWS_V6"] {
            found.extend(entries::<Ipv6>(name, self.flow_map(name)));
        }
        found
    }

    fn flow_map(&self, name: &str) -> Map {
        let data = MapData::from_pin(self.pins.map(name)).unwrap();
        if name.starts_with("PENDING") {
            Map::LruHashMap(data)
        } else {
            Map::HashMap(data)
        }
    }
}

/// Removes the halves with such flags; yields how many.
fn forget<A: Copy>(map: Map, is_lost: impl Fn(u8) -> bool) -> usize
where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let mut map: HashMap<_, FlowKey<A>, Flow<A>> = map.try_into().unwrap();
    let lost: Vec<_> = map
        .iter()
        .map(Result::unwrap)
        .filter(|(_, flow)| is_lost(flow.flags))
        .map(|(key, _)| key)
        .collect();
    for key in &lost {
        map.remove(key).unwrap();
    }
    lost.len()
}

/// Puts the deadline of the halves with such flags into the past.
fn outlive<A: Copy>(map: Map, is_meant: impl Fn(u8) -> bool)
where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let mut map: HashMap<_, FlowKey<A>, Flow<A>> = map.try_into().unwrap();
    let halves: Vec<_> = map.iter().map(Result::unwrap).collect();
    for (key, mut flow) in halves {
        if is_meant(flow.flags) {
            flow.deadline_s = 0;
            map.insert(key, flow, 0).unwrap();
        }
    }
}

/// Brings the deadline of the halves in such a state a second nearer.
fn age<A: Copy>(map: Map, is_meant: impl Fn(u8) -> bool)
where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let mut map: HashMap<_, FlowKey<A>, Flow<A>> = map.try_into().unwrap();
    let halves: Vec<_> = map.iter().map(Result::unwrap).collect();
    for (key, mut flow) in halves {
        if is_meant(flow.state) {
            flow.deadline_s -= 1;
            map.insert(key, flow, 0).unwrap();
        }
    }
}

/// Every entry, spelled out.
fn entries<A: Copy + Debug>(name: &str, map: Map) -> Vec<String>
where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let map: HashMap<_, FlowKey<A>, Flow<A>> = map.try_into().unwrap();
    map.iter()
        .map(Result::unwrap)
        .map(|entry| format!("{name} {entry:?}"))
        .collect()
}

/// What the forward halves hold.
fn generations<A: Copy>(map: Map) -> Vec<u32>
where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let map: HashMap<_, FlowKey<A>, Flow<A>> = map.try_into().unwrap();
    map.iter()
        .map(Result::unwrap)
        .filter(|(_, flow)| !flow.has(FlowFlags::REPLY))
        .map(|(_, flow)| flow.generation)
        .collect()
}
