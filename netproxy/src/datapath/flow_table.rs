//! The flow table as user space sees it: listing, which service ids flows carry.

use std::net::{IpAddr, SocketAddr};

use aya::maps::MapData;
use netproxy_common::flow::FlowFlags;
use netproxy_common::{Flow, FlowKey, FlowKind, FlowState, Ipv4, Ipv6};
use nix::time::{ClockId, clock_gettime};
use rustc_hash::FxHashSet;

use super::encode::Encode;
use super::load::Loaded;
use super::{DatapathError, MapFill, Pins, batch};
use crate::model::{Family, Protocol};

/// One flow, seen from its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowEntry {
    /// Its protocol.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// What the client asked for.
    pub frontend: SocketAddr,
    /// Who answers.
    pub endpoint: SocketAddr,
    /// Who the endpoint sees as client.
    pub source: SocketAddr,
    /// How it is translated.
    pub kind: FlowKind,
    /// Where it is in its life.
    pub state: FlowState,
    /// Whether its client has confirmed it and nothing evicts it.
    pub is_assured: bool,
    /// The service's id.
    pub service: u32,
    /// Seconds until it expires unless a packet comes; zero when it is past its deadline.
    pub expires_s: u32,
}

/// What flows still refer to.
#[derive(Debug, Default)]
pub(super) struct InUse {
    /// Service ids.
    pub(super) services: FxHashSet<u32>,
    /// Frontends' addresses.
    pub(super) frontends: FxHashSet<IpAddr>,
    /// Kinds of flows, of which there is at least a half.
    pub(super) kinds: FxHashSet<(Family, FlowKind)>,
}

impl InUse {
    pub(super) fn note<A: Encode>(&mut self, key: &FlowKey<A>, flow: &Flow<A>) {
        self.services.insert(flow.service);
        if let Some(kind) = FlowKind::from_u8(flow.kind) {
            self.kinds.insert((Family::of(&key.source.to_ip()), kind));
        }
        if !flow.has(FlowFlags::REPLY) {
            self.frontends.insert(key.destination.to_ip());
        }
    }
}

/// The four flow maps.
#[derive(Debug)]
pub struct FlowTable {
    pub(super) v4: Tiers,
    pub(super) v6: Tiers,
}

#[derive(Debug)]
pub(super) struct Tiers {
    pub(super) assured: Tier,
    pub(super) pending: Tier,
}

/// One of the four.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) name: &'static str,
    pub(super) map: MapData,
}

impl FlowTable {
    /// Opens the pinned maps.
    pub fn open(pins: &Pins) -> Result<Self, DatapathError> {
        Self::of(|name| pins.open(name))
    }

    /// Goes on with the flows that there are.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        Self::of(|name| loaded.take(name))
    }

    fn of(
        mut open: impl FnMut(&'static str) -> Result<MapData, DatapathError>,
    ) -> Result<Self, DatapathError> {
        let mut tier = |name: &'static str| open(name).map(|map| Tier { name, map });
        Ok(Self {
            v4: Tiers {
                assured: tier("FLOWS_V4")?,
                pending: tier("PENDING_V4")?,
            },
            v6: Tiers {
                assured: tier("FLOWS_V6")?,
                pending: tier("PENDING_V6")?,
            },
        })
    }

    /// Every live flow.
    pub fn list(&self) -> Result<Vec<FlowEntry>, DatapathError> {
        let mut flows = Vec::new();
        self.look_through(|flow| flows.push(flow))?;
        flows.sort_by_key(|flow| (flow.client, flow.frontend));
        Ok(flows)
    }

    /// How full the four maps are.
    pub fn fills(&self) -> Result<Vec<MapFill>, DatapathError> {
        self.look_through(drop)
    }

    /// Calls `visit` with every live flow, in no order; yields how full the maps are, in the same walk.
    pub fn look_through(
        &self,
        mut visit: impl FnMut(FlowEntry),
    ) -> Result<Vec<MapFill>, DatapathError> {
        let now_s = now_s();
        let mut fills = Vec::new();
        while let Some((tier, is_v4)) = self.tier(fills.len()) {
            let mut entries = 0;
            if is_v4 {
                tier.for_each(|key: &FlowKey<Ipv4>, flow: &Flow<Ipv4>| {
                    entries += 1;
                    entry(key, flow, tier.is_assured(), now_s).map(&mut visit);
                })?;
            } else {
                tier.for_each(|key: &FlowKey<Ipv6>, flow: &Flow<Ipv6>| {
                    entries += 1;
                    entry(key, flow, tier.is_assured(), now_s).map(&mut visit);
                })?;
            }
            fills.push(tier.fill(entries));
        }
        Ok(fills)
    }

    /// What flows refer to, dead ones included.
    pub(super) fn in_use(&self) -> Result<InUse, DatapathError> {
        let mut in_use = InUse::default();
        for tier in [&self.v4.assured, &self.v4.pending] {
            tier.for_each(|key: &FlowKey<Ipv4>, flow: &Flow<Ipv4>| in_use.note(key, flow))?;
        }
        for tier in [&self.v6.assured, &self.v6.pending] {
            tier.for_each(|key: &FlowKey<Ipv6>, flow: &Flow<Ipv6>| in_use.note(key, flow))?;
        }
        Ok(in_use)
    }

    /// One of the four maps, by number, and whether it is of IPv4.
    pub(super) fn tier(&self, number: usize) -> Option<(&Tier, bool)> {
        let Self { v4, v6 } = self;
        [
            (&v4.assured, true),
            (&v4.pending, true),
            (&v6.assured, false),
            (&v6.pending, false),
        ]
        .get(number)
        .copied()
    }
}

impl Tier {
    pub(super) fn for_each<K: bytemuck::Pod, V: bytemuck::Pod>(
        &self,
        visit: impl FnMut(&K, &V),
    ) -> Result<(), DatapathError> {
        batch::for_each(&self.map, visit).map_err(DatapathError::map(self.name, "read"))
    }

    /// Whether nothing evicts what is in it.
    pub(super) fn is_assured(&self) -> bool {
        self.name.starts_with("FLOWS")
    }

    /// With so many entries in it.
    pub(super) fn fill(&self, entries: u32) -> MapFill {
        MapFill::of(self.name, &self.map, entries as usize)
    }
}

/// Seconds of `CLOCK_MONOTONIC`, the clock of deadlines.
pub(super) fn now_s() -> u32 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .ok()
        .and_then(|now| u32::try_from(now.tv_sec()).ok())
        .unwrap_or(0)
}

/// The flow of a forward half; None for others.
pub(super) fn entry<A: Encode>(
    key: &FlowKey<A>,
    flow: &Flow<A>,
    is_in_assured: bool,
    now_s: u32,
) -> Option<FlowEntry> {
    if flow.has(FlowFlags::REPLY) || key.source == A::UNSPECIFIED {
        return None;
    }
    let state = FlowState::from_u8(flow.state)?;
    Some(FlowEntry {
        protocol: Protocol::from_number(key.protocol)?,
        client: SocketAddr::new(key.source.to_ip(), key.source_port.get()),
        frontend: SocketAddr::new(key.destination.to_ip(), key.destination_port.get()),
        endpoint: SocketAddr::new(flow.destination.to_ip(), flow.destination_port.get()),
        source: SocketAddr::new(flow.source.to_ip(), flow.source_port.get()),
        kind: FlowKind::from_u8(flow.kind)?,
        state,
        is_assured: is_in_assured && state == FlowState::Established,
        service: flow.service,
        expires_s: flow.deadline_s.saturating_sub(now_s),
    })
}
