//! What a traced packet leaves in the maps, and taking it back: the flow that it opens, the client's affinity, the
//! place where the search for a source port goes on.
//!
//! What was there before stays as it was, and so does what others have made of it meanwhile. Counts cannot be taken
//! back.

use std::net::SocketAddr;

use aya::maps::MapData;
use bytemuck::Pod;
use netproxy_common::flow::FlowFlags;
use netproxy_common::{
    Affinity, AffinityKey, Be16, Flow, FlowKey, FlowState, FrontendKey, Ipv4, Ipv6, Ports,
};
use rustc_hash::FxHashSet;

use super::encode::Encode;
use super::flow_table::{FlowTable, Tiers, entry, now_s};
use super::{DatapathError, FlowEntry, Pins, batch};
use crate::model::Protocol;

/// The maps as they were before a packet with some tuple is run. What it leaves goes when this is dropped.
#[derive(Debug)]
pub struct Footprint {
    flows: FlowTable,
    trail: Trail,
}

#[derive(Debug)]
enum Trail {
    V4(Before<Ipv4>),
    V6(Before<Ipv6>),
    /// The two ends are of different families, or all is taken back.
    None,
}

/// What there was.
#[derive(Debug)]
struct Before<A> {
    key: FlowKey<A>,
    affinity: Option<KeptAffinity<A>>,
    ports_map: Named,
    ports: FxHashSet<FrontendKey<A>>,
}

#[derive(Debug)]
struct KeptAffinity<A> {
    map: Named,
    key: AffinityKey<A>,
    value: Option<Affinity<A>>,
}

#[derive(Debug)]
struct Named {
    name: &'static str,
    map: MapData,
}

impl FlowTable {
    /// The live flow to which packets between these two ends belong, in either direction.
    pub fn find(
        &self,
        protocol: Protocol,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<Option<FlowEntry>, DatapathError> {
        if let Some(key) = tuple::<Ipv4>(protocol, from, to) {
            return self.v4.find(key);
        }
        match tuple::<Ipv6>(protocol, from, to) {
            Some(key) => self.v6.find(key),
            None => Ok(None),
        }
    }
}

impl Tiers {
    fn find<A: Encode>(&self, mut key: FlowKey<A>) -> Result<Option<FlowEntry>, DatapathError>
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
    {
        let Some((mut flow, mut is_assured)) = self.half(&key)? else {
            return Ok(None);
        };
        let partner_key = flow.partner_key(&key);
        let partner = self.half::<A>(&partner_key)?;
        let partner = partner.filter(|(partner, _)| partner.is_partner_of(&key));
        let deadline_s = partner.map_or(0, |(partner, _)| partner.deadline_s);
        let deadline_s = deadline_s.max(flow.deadline_s);
        if deadline_s < now_s() {
            return Ok(None);
        }
        if flow.has(FlowFlags::REPLY) {
            match partner {
                Some((partner, tier)) => (flow, is_assured) = (partner, tier),
                None => flow.turn_to_partner(&key),
            }
            key = partner_key;
        }
        flow.deadline_s = deadline_s;
        Ok(entry(&key, &flow, is_assured, now_s()))
    }

    /// The half under a key, and whether it is assured.
    fn half<A: Encode>(&self, key: &FlowKey<A>) -> Result<Option<(Flow<A>, bool)>, DatapathError>
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
    {
        for tier in [&self.assured, &self.pending] {
            let found =
                batch::look_up(&tier.map, key).map_err(DatapathError::map(tier.name, "read"))?;
            if let Some(flow) = found {
                return Ok(Some((flow, tier.is_assured())));
            }
        }
        Ok(None)
    }

    /// Removes the two halves of the flow that was opened under `key`; yields its forward half. One that is assured
    /// by now, a client has taken over.
    fn withdraw<A: Encode>(&self, key: &FlowKey<A>) -> Result<Option<Flow<A>>, DatapathError>
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
    {
        for tier in [&self.assured, &self.pending] {
            let look_up = |key: &FlowKey<A>| {
                batch::look_up::<_, Flow<A>>(&tier.map, key)
                    .map_err(DatapathError::map(tier.name, "read"))
            };
            let Some(flow) = look_up(key)?.filter(|flow| {
                flow.state == FlowState::Opening as u8 && !flow.has(FlowFlags::REPLY)
            }) else {
                continue;
            };
            let mut gone = vec![*key];
            let partner_key = flow.partner_key(key);
            if look_up(&partner_key)?.is_some_and(|partner| partner.is_partner_of(key)) {
                gone.push(partner_key);
            }
            batch::delete(&tier.map, &gone).map_err(DatapathError::map(tier.name, "written"))?;
            return Ok(Some(flow));
        }
        Ok(None)
    }
}

impl Footprint {
    /// Of a packet between these ends, in whose tuple there is no live flow, and which may ask for `service`.
    pub fn before(
        pins: &Pins,
        protocol: Protocol,
        client: SocketAddr,
        destination: SocketAddr,
        service: Option<u32>,
    ) -> Result<Self, DatapathError> {
        let trail = if let Some(key) = tuple::<Ipv4>(protocol, client, destination) {
            Trail::V4(Before::read(
                pins,
                key,
                service,
                ["AFFINITY_V4", "PORTS_V4"],
            )?)
        } else if let Some(key) = tuple::<Ipv6>(protocol, client, destination) {
            Trail::V6(Before::read(
                pins,
                key,
                service,
                ["AFFINITY_V6", "PORTS_V6"],
            )?)
        } else {
            Trail::None
        };
        Ok(Self {
            flows: FlowTable::open(pins)?,
            trail,
        })
    }

    /// Takes back what the packet, and an answer to it, have left.
    pub fn erase(mut self) -> Result<(), DatapathError> {
        self.take_back()
    }

    fn take_back(&mut self) -> Result<(), DatapathError> {
        match std::mem::replace(&mut self.trail, Trail::None) {
            Trail::V4(before) => before.restore(&self.flows.v4),
            Trail::V6(before) => before.restore(&self.flows.v6),
            Trail::None => Ok(()),
        }
    }
}

impl Drop for Footprint {
    fn drop(&mut self) {
        if let Err(error) = self.take_back() {
            tracing::warn!(%error, "what was left by a traced packet expires by itself");
        }
    }
}

impl<A: Encode> Before<A>
where
    FlowKey<A>: Pod,
    Flow<A>: Pod,
    AffinityKey<A>: Pod,
    Affinity<A>: Pod,
    FrontendKey<A>: Pod + Eq + std::hash::Hash,
{
    fn read(
        pins: &Pins,
        key: FlowKey<A>,
        service: Option<u32>,
        [affinity, ports]: [&'static str; 2],
    ) -> Result<Self, DatapathError> {
        let ports_map = Named::open(pins, ports)?;
        let mut known = FxHashSet::default();
        batch::for_each(&ports_map.map, |key: &FrontendKey<A>, _: &Ports| {
            known.insert(*key);
        })
        .map_err(DatapathError::map(ports, "read"))?;
        let affinity = match service {
            Some(service) => {
                let map = Named::open(pins, affinity)?;
                let key = AffinityKey {
                    client: key.source,
                    service,
                };
                let value = map.look_up(&key)?;
                Some(KeptAffinity { map, key, value })
            }
            None => None,
        };
        Ok(Self {
            key,
            affinity,
            ports_map,
            ports: known,
        })
    }

    fn restore(self, tiers: &Tiers) -> Result<(), DatapathError> {
        if let Some(flow) = tiers.withdraw(&self.key)? {
            let towards = FrontendKey {
                address: flow.destination,
                port: flow.destination_port,
                protocol: self.key.protocol,
                pad: 0,
            };
            if !self.ports.contains(&towards) {
                self.ports_map.delete(&towards)?;
            }
        } else if tiers.half(&self.key)?.is_some() {
            // A client's, which has come in between.
            return Ok(());
        }
        let Some(KeptAffinity { map, key, value }) = self.affinity else {
            return Ok(());
        };
        match value {
            None => map.delete(&key),
            Some(value) => {
                let is_same = map.look_up::<_, Affinity<A>>(&key)? == Some(value);
                if is_same {
                    return Ok(());
                }
                batch::update(&map.map, &[(key, value)])
                    .map_err(DatapathError::map(map.name, "written"))
            }
        }
    }
}

impl Named {
    fn open(pins: &Pins, name: &'static str) -> Result<Self, DatapathError> {
        let map = pins.open(name)?;
        Ok(Self { name, map })
    }

    fn look_up<K: Pod, V: Pod>(&self, key: &K) -> Result<Option<V>, DatapathError> {
        batch::look_up(&self.map, key).map_err(DatapathError::map(self.name, "read"))
    }

    fn delete<K: Pod>(&self, key: &K) -> Result<(), DatapathError> {
        batch::delete(&self.map, &[*key]).map_err(DatapathError::map(self.name, "written"))
    }
}

/// None: one of them is of the other family.
fn tuple<A: Encode>(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Option<FlowKey<A>> {
    Some(FlowKey {
        source: A::from_ip(&from.ip())?,
        destination: A::from_ip(&to.ip())?,
        source_port: Be16::new(from.port()),
        destination_port: Be16::new(to.port()),
        protocol: protocol.number(),
        pad: [0; 3],
    })
}
