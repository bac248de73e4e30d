//! The networks that cluster IPs are taken from, as the agent writes them.

use aya::maps::{Array, Map, MapData};
use ipnet::IpNet;
use netproxy_common::network::NETWORKS;
use netproxy_common::{Ipv4, Ipv6, Network};

use super::World;

impl World {
    /// Makes these the networks that cluster IPs are taken from, instead of any before.
    pub(crate) fn set_service_cidrs(&mut self, networks: &[&str]) {
        let networks: Vec<IpNet> = networks.iter().map(|text| text.parse().unwrap()).collect();
        let v4 = networks.iter().filter_map(|network| match network {
            IpNet::V4(v4) => Some(Network {
                address: Ipv4::new(v4.network().octets()),
                mask: Ipv4::new(v4.netmask().octets()),
                in_use: 1,
                pad: 0,
            }),
            IpNet::V6(_) => None,
        });
        let v6 = networks.iter().filter_map(|network| match network {
            IpNet::V6(v6) => Some(Network {
                address: Ipv6::new(v6.network().octets()),
                mask: Ipv6::new(v6.netmask().octets()),
                in_use: 1,
                pad: 0,
            }),
            IpNet::V4(_) => None,
        });
        self.write_networks("SERVICE_CIDRS_V4", Ipv4::new([0; 4]), v4);
        self.write_networks("SERVICE_CIDRS_V6", Ipv6::new([0; 16]), v6);
    }

    fn write_networks<A: Copy>(
        &self,
        map: &str,
        nothing: A,
        networks: impl Iterator<Item = Network<A>>,
    ) where
        Network<A>: aya::Pod,
    {
        let data = MapData::from_pin(self.pins.map(map)).unwrap();
        let mut slots: Array<_, Network<A>> = Map::Array(data).try_into().unwrap();
        let unused = Network {
            address: nothing,
            mask: nothing,
            in_use: 0,
            pad: 0,
        };
        let networks = networks.chain(std::iter::repeat(unused)).take(NETWORKS);
        for (slot, network) in (0..).zip(networks) {
            slots.set(slot, network, 0).unwrap();
        }
    }
}
