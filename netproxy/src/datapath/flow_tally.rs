//! How many flows there are, by what tells them apart: counted along with a walk of the flow table.

use std::net::SocketAddr;

use netproxy_common::flow::FlowFlags;
use netproxy_common::{Flow, FlowKey, FlowKind, FlowState};
use rustc_hash::FxHashMap;

use super::Destination;
use super::encode::Encode;
use crate::model::{Family, Protocol};

/// Where flows are, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowClass {
    /// The family.
    pub family: Family,
    /// Whether they are in the tier that nothing evicts.
    pub is_assured: bool,
    /// How they are translated.
    pub kind: FlowKind,
    /// Where they are in their life.
    pub state: FlowState,
}

/// The flows of one walk. Each is counted once, by its forward half.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowTally {
    /// By class.
    pub classes: FxHashMap<FlowClass, u32>,
    /// By the service's id.
    pub services: FxHashMap<u32, u32>,
    /// Those that take a source port, by where they go.
    pub destinations: FxHashMap<Destination, u32>,
}

impl FlowTally {
    /// One half, found in the tier.
    pub(super) fn note<A: Encode>(&mut self, key: &FlowKey<A>, flow: &Flow<A>, is_assured: bool) {
        // Of a flow that another proxy began, a third entry has no source.
        if flow.has(FlowFlags::REPLY) || key.source == A::UNSPECIFIED {
            return;
        }
        let Some(kind) = FlowKind::from_u8(flow.kind) else {
            return;
        };
        let Some(state) = FlowState::from_u8(flow.state) else {
            return;
        };
        let class = FlowClass {
            family: Family::of(&key.source.to_ip()),
            is_assured,
            kind,
            state,
        };
        *self.classes.entry(class).or_default() += 1;
        *self.services.entry(flow.service).or_default() += 1;
        if kind == FlowKind::Whole
            && let Some(protocol) = Protocol::from_number(key.protocol)
        {
            let endpoint = SocketAddr::new(flow.destination.to_ip(), flow.destination_port.get());
            let destination = Destination { endpoint, protocol };
            *self.destinations.entry(destination).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use netproxy_common::{Be16, Ipv4};

    use super::*;

    const CLIENT: Ipv4 = Ipv4 {
        octets: [192, 0, 2, 9],
    };

    /// The forward half of a flow from `client` to the endpoint 10.1.0.1:8080 of service 7.
    fn half(client: Ipv4, kind: FlowKind, flags: u8) -> (FlowKey<Ipv4>, Flow<Ipv4>) {
        let key = FlowKey {
            source: client,
            destination: Ipv4 {
                octets: [10, 96, 0, 1],
            },
            source_port: Be16::new(40_000),
            destination_port: Be16::new(80),
            protocol: netproxy_common::protocol::TCP,
            pad: [0; 3],
        };
        let flow = Flow {
            source: client,
            destination: Ipv4 {
                octets: [10, 1, 0, 1],
            },
            source_port: Be16::new(40_000),
            destination_port: Be16::new(8080),
            kind: kind as u8,
            flags,
            state: FlowState::Established as u8,
            pad: [0; _],
            service: 7,
            generation: 0,
            deadline_s: 0,
            client_ifindex: 0,
        };
        (key, flow)
    }

    fn tally(halves: &[(FlowKey<Ipv4>, Flow<Ipv4>)]) -> FlowTally {
        let mut tally = FlowTally::default();
        for (key, flow) in halves {
            tally.note(key, flow, true);
        }
        tally
    }

    #[test]
    fn a_flow_is_counted_by_its_forward_half_alone() {
        let tally = tally(&[
            half(CLIENT, FlowKind::Edge, 0),
            half(CLIENT, FlowKind::Edge, FlowFlags::REPLY),
            half(Ipv4 { octets: [0; 4] }, FlowKind::Foreign, 0),
        ]);

        let class = FlowClass {
            family: Family::V4,
            is_assured: true,
            kind: FlowKind::Edge,
            state: FlowState::Established,
        };
        assert_eq!(tally.classes, [(class, 1)].into_iter().collect());
        assert_eq!(tally.services, [(7, 1)].into_iter().collect());
    }

    #[test]
    fn only_whole_flows_take_source_ports() {
        let tally = tally(&[
            half(CLIENT, FlowKind::Edge, 0),
            half(CLIENT, FlowKind::Whole, 0),
            half(CLIENT, FlowKind::Host, 0),
        ]);

        let destination = Destination {
            endpoint: "10.1.0.1:8080".parse().unwrap(),
            protocol: Protocol::Tcp,
        };
        assert_eq!(tally.destinations, [(destination, 1)].into_iter().collect());
    }
}
