//! What the node serves and which flows it has, as told by the rules and by what the programs were
//! seen to do: never by their own table, which is compared with this at the end of each round.

mod flows;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use netproxy::model::Protocol;
use netproxy::settings::Masquerade;

pub(super) use self::flows::{Client, Flows, Half};
use super::reading::{SCTP, TCP, UDP};
use crate::world::{At as _, Flavour, POD_PORT, Shop, World};

/// What cluster IPs are taken from.
const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/24", "fd00:96::/64"];

/// The clients that VIPs with source ranges are open to.
const OPEN_TO: [&str; 2] = ["8.0.9.0/24", "2001:db8:86dd:9::/64"];

/// How many services each flavour has.
pub(super) const SHOPS: u8 = 8;

/// A service, as far as rules depend on it.
#[derive(Debug)]
pub(super) struct Service {
    /// Where its endpoints listen, and whether they are on this node.
    pub(super) endpoints: Vec<(SocketAddr, bool)>,
    pub(super) is_local_only: bool,
    pub(super) hides_clients: bool,
    pub(super) has_source_ranges: bool,
}

/// Where a frontend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    ClusterIp,
    NodePort,
    Vip,
    ExternalIp,
}

/// The node.
#[derive(Debug)]
pub(super) struct Model {
    services: Vec<Service>,
    frontends: HashMap<(SocketAddr, u8), (usize, Place)>,
    cluster_ips: HashSet<IpAddr>,
    service_addresses: HashSet<IpAddr>,
    node: HashSet<IpAddr>,
    /// Whether segments of connections that nobody knows are answered with a reset.
    pub(super) resets_unknown: bool,
    pub(super) flows: Flows,
}

/// The services of a flavour: endpoints everywhere, none, elsewhere, both with policy Local, hidden
/// clients, source ranges, no route, and an endpoint of this node that `tun0` can answer for.
fn shops(flavour: Flavour) -> Vec<Shop> {
    let everywhere = |number| {
        Shop::new(flavour, number)
            .here(flavour.local_pod(1))
            .here(flavour.local_pod(2))
            .elsewhere(flavour.remote_pod(1))
            .elsewhere(flavour.remote_pod(2))
    };
    vec![
        everywhere(1),
        Shop::new(flavour, 2),
        Shop::new(flavour, 3)
            .elsewhere(flavour.remote_pod(3))
            .elsewhere(flavour.remote_pod(4)),
        everywhere(4).local_only(),
        everywhere(5).masquerading(Masquerade::All),
        everywhere(6).open_to(&OPEN_TO),
        Shop::new(flavour, 7).elsewhere(flavour.unreachable_pod()),
        Shop::new(flavour, 8).here(flavour.remote_pod(200)),
    ]
}

/// Makes the world serve what the model tells of.
pub(super) fn serve(world: &mut World) {
    let served: Vec<_> = Flavour::ALL.into_iter().flat_map(shops).collect();
    world.serve(&served.iter().collect::<Vec<_>>());
    let networks: Vec<_> = SERVICE_CIDRS.iter().map(|it| it.parse().unwrap()).collect();
    world.datapath().set_service_cidrs(&networks).unwrap();
}

impl Model {
    /// A node without any flow.
    pub(super) fn new() -> Self {
        let mut model = Self {
            services: Vec::new(),
            frontends: HashMap::new(),
            cluster_ips: HashSet::new(),
            service_addresses: HashSet::new(),
            node: HashSet::new(),
            resets_unknown: false,
            flows: Flows::default(),
        };
        for flavour in Flavour::ALL {
            model.node.extend([flavour.node(), flavour.bridge()]);
            for (number, shop) in (1..).zip(shops(flavour)) {
                model.add(flavour, number, &shop);
            }
        }
        model
    }

    fn add(&mut self, flavour: Flavour, number: u8, shop: &Shop) {
        let protocol = protocol(flavour);
        let is_here = |address: IpAddr| {
            address == flavour.local_pod(1)
                || address == flavour.local_pod(2)
                || address == flavour.remote_pod(200)
        };
        for (frontend, place) in [
            (shop.cluster_ip(), Place::ClusterIp),
            (shop.node_port(), Place::NodePort),
            (shop.vip(), Place::Vip),
            (shop.external_ip(), Place::ExternalIp),
        ] {
            let index = self.services.len();
            self.frontends.insert((frontend, protocol), (index, place));
            self.service_addresses.insert(frontend.ip());
        }
        self.cluster_ips.insert(shop.cluster_ip().ip());
        self.services.push(Service {
            endpoints: shop
                .endpoints()
                .into_iter()
                .map(|endpoint| (endpoint, is_here(endpoint.ip())))
                .collect(),
            is_local_only: number == 4,
            hides_clients: number == 5,
            has_source_ranges: number == 6,
        });
    }

    /// The service whose frontend this is, and where it is.
    pub(super) fn frontend(&self, at: SocketAddr, protocol: u8) -> Option<(&Service, Place)> {
        let (index, place) = self.frontends.get(&(at, protocol))?;
        Some((&self.services[*index], *place))
    }

    pub(super) fn is_cluster_ip(&self, address: IpAddr) -> bool {
        self.cluster_ips.contains(&address)
    }

    /// Whether frontends, and nothing else, are at this address.
    pub(super) fn is_of_services_alone(&self, address: IpAddr) -> bool {
        self.is_of_services(address) && !self.is_of_node(address)
    }

    /// Whether frontends are at this address.
    pub(super) fn is_of_services(&self, address: IpAddr) -> bool {
        self.service_addresses.contains(&address)
    }

    /// Whether cluster IPs are taken from a network that it is in.
    pub(super) fn is_in_service_cidr(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4.octets()[..3] == [10, 96, 0],
            IpAddr::V6(v6) => v6.segments()[..4] == [0xfd00, 0x96, 0, 0],
        }
    }

    pub(super) fn is_of_node(&self, address: IpAddr) -> bool {
        self.node.contains(&address)
    }

    /// Whether VIPs with source ranges are open to it.
    pub(super) fn is_admitted(client: IpAddr) -> bool {
        match client {
            IpAddr::V4(v4) => v4.octets()[..3] == [8, 0, 9],
            IpAddr::V6(v6) => v6.segments()[..4] == [0x2001, 0xdb8, 0x86dd, 9],
        }
    }
}

/// The protocol number of a flavour.
pub(super) fn protocol(flavour: Flavour) -> u8 {
    number_of(flavour.protocol)
}

/// The number of a protocol.
pub(super) fn number_of(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
        Protocol::Sctp => SCTP,
    }
}

/// The frontends of service `number`.
pub(super) fn frontends(flavour: Flavour, number: u8) -> [SocketAddr; 4] {
    let shop = Shop::new(flavour, number);
    [
        shop.cluster_ip(),
        shop.node_port(),
        shop.vip(),
        shop.external_ip(),
    ]
}

/// Every address that an endpoint of [`Model`] may have.
pub(super) fn endpoint(flavour: Flavour, number: u8) -> SocketAddr {
    match number % 8 {
        0 => flavour.local_pod(1),
        1 => flavour.local_pod(2),
        2 => flavour.remote_pod(1),
        3 => flavour.remote_pod(2),
        4 => flavour.remote_pod(3),
        5 => flavour.remote_pod(4),
        6 => flavour.unreachable_pod(),
        _ => flavour.remote_pod(200),
    }
    .at(POD_PORT)
}
