//! Many flows at once: put into the table, taken out of it, moved between its tiers.

use std::net::{IpAddr, SocketAddr};

use aya::maps::{HashMap, Map, MapData};
use netproxy::model::Protocol;
use netproxy_common::flow::FlowFlags;
use netproxy_common::{Be16, Flow, FlowKey, FlowKind, FlowState, FrontendKey, Ipv4, Ipv6, Ports};

use super::World;

/// Longer than a test takes.
const FAR_S: u32 = 1 << 30;

impl World {
    /// Lets connections that last have these source ports of `source` towards `endpoint`.
    pub(crate) fn occupy(
        &self,
        protocol: Protocol,
        endpoint: SocketAddr,
        source: IpAddr,
        ports: impl IntoIterator<Item = u16>,
    ) {
        let ports = ports.into_iter();
        match (endpoint.ip(), source) {
            (IpAddr::V4(to), IpAddr::V4(from)) => occupy(
                self.crowd_map("FLOWS_V4"),
                (Ipv4::new(to.octets()), endpoint.port()),
                Ipv4::new(from.octets()),
                protocol.number(),
                ports,
            ),
            (IpAddr::V6(to), IpAddr::V6(from)) => occupy(
                self.crowd_map("FLOWS_V6"),
                (Ipv6::new(to.octets()), endpoint.port()),
                Ipv6::new(from.octets()),
                protocol.number(),
                ports,
            ),
            _ => panic!("{endpoint} and {source} are of two families"),
        }
    }

    /// Takes away the halves under these tuples.
    #[track_caller]
    pub(crate) fn forget_halves(
        &self,
        protocol: Protocol,
        tuples: impl IntoIterator<Item = (SocketAddr, SocketAddr)>,
    ) {
        for (source, destination) in tuples {
            match (source, destination) {
                (SocketAddr::V4(from), SocketAddr::V4(to)) => {
                    let (from, to) = (Ipv4::new(from.ip().octets()), Ipv4::new(to.ip().octets()));
                    let key = key((from, source.port()), (to, destination.port()), protocol);
                    remove::<Ipv4>(self.crowd_map("FLOWS_V4"), &key);
                }
                (SocketAddr::V6(from), SocketAddr::V6(to)) => {
                    let (from, to) = (Ipv6::new(from.ip().octets()), Ipv6::new(to.ip().octets()));
                    let key = key((from, source.port()), (to, destination.port()), protocol);
                    remove::<Ipv6>(self.crowd_map("FLOWS_V6"), &key);
                }
                _ => panic!("{source} and {destination} are of two families"),
            }
        }
    }

    /// Makes every opening flow an assured one.
    pub(crate) fn assure_all(&self) {
        assure::<Ipv4>(self.crowd_map("FLOWS_V4"));
        assure::<Ipv6>(self.crowd_map("FLOWS_V6"));
        self.change_turnover(|it| it.opening = 0);
    }

    /// What is known of the source ports towards every destination, by port and address.
    pub(crate) fn ports_towards(&self, endpoint: SocketAddr, protocol: Protocol) -> Option<Ports> {
        match endpoint.ip() {
            IpAddr::V4(ip) => {
                let key = destination(Ipv4::new(ip.octets()), endpoint.port(), protocol);
                let map: HashMap<_, FrontendKey<Ipv4>, Ports> =
                    self.crowd_map("PORTS_V4").try_into().unwrap();
                map.get(&key, 0).ok()
            }
            IpAddr::V6(ip) => {
                let key = destination(Ipv6::new(ip.octets()), endpoint.port(), protocol);
                let map: HashMap<_, FrontendKey<Ipv6>, Ports> =
                    self.crowd_map("PORTS_V6").try_into().unwrap();
                map.get(&key, 0).ok()
            }
        }
    }

    /// Lets the search for source ports towards `endpoint` begin anywhere again.
    pub(crate) fn forget_ports_towards(&self, endpoint: SocketAddr, protocol: Protocol) {
        match endpoint.ip() {
            IpAddr::V4(ip) => {
                let key = destination(Ipv4::new(ip.octets()), endpoint.port(), protocol);
                let mut map: HashMap<_, FrontendKey<Ipv4>, Ports> =
                    self.crowd_map("PORTS_V4").try_into().unwrap();
                map.remove(&key).unwrap();
            }
            IpAddr::V6(ip) => {
                let key = destination(Ipv6::new(ip.octets()), endpoint.port(), protocol);
                let mut map: HashMap<_, FrontendKey<Ipv6>, Ports> =
                    self.crowd_map("PORTS_V6").try_into().unwrap();
                map.remove(&key).unwrap();
            }
        }
    }

    fn crowd_map(&self, name: &str) -> Map {
        let data = MapData::from_pin(self.pins().map(name)).unwrap();
        if name.starts_with("FLOWS") {
            Map::HashMap(data)
        } else {
            Map::LruHashMap(data)
        }
    }
}

fn destination<A>(address: A, port: u16, protocol: Protocol) -> FrontendKey<A> {
    FrontendKey {
        address,
        port: Be16::new(port),
        protocol: protocol.number(),
        pad: 0,
    }
}

fn key<A>(source: (A, u16), destination: (A, u16), protocol: Protocol) -> FlowKey<A> {
    FlowKey {
        source: source.0,
        destination: destination.0,
        source_port: Be16::new(source.1),
        destination_port: Be16::new(destination.1),
        protocol: protocol.number(),
        pad: [0; 3],
    }
}

fn occupy<A: Copy>(
    map: Map,
    endpoint: (A, u16),
    source: A,
    protocol: u8,
    ports: impl Iterator<Item = u16>,
) where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let mut map: HashMap<_, FlowKey<A>, Flow<A>> = map.try_into().unwrap();
    for port in ports {
        let key = FlowKey {
            source: endpoint.0,
            destination: source,
            source_port: Be16::new(endpoint.1),
            destination_port: Be16::new(port),
            protocol,
            pad: [0; 3],
        };
        let flow = Flow {
            source,
            destination: source,
            source_port: Be16::new(1),
            destination_port: Be16::new(port),
            kind: FlowKind::Whole as u8,
            flags: FlowFlags::REPLY | FlowFlags::SEEN,
            state: FlowState::Established as u8,
            pad: [0; _],
            service: 0,
            generation: 0,
            deadline_s: FAR_S,
            client_ifindex: 0,
        };
        map.insert(key, flow, 0).unwrap();
    }
}

fn remove<A: Copy>(map: Map, key: &FlowKey<A>)
where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let mut map: HashMap<_, FlowKey<A>, Flow<A>> = map.try_into().unwrap();
    map.remove(key).unwrap();
}

fn assure<A: Copy>(flows: Map)
where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let mut flows: HashMap<_, FlowKey<A>, Flow<A>> = flows.try_into().unwrap();
    let halves: Vec<_> = flows.iter().map(Result::unwrap).collect();
    for (key, mut flow) in halves {
        if flow.state == FlowState::Opening as u8 {
            flow.state = FlowState::Established as u8;
            flow.deadline_s = FAR_S;
            flows.insert(key, flow, 0).unwrap();
        }
    }
}
