//! Which addresses this node sends from, for kernels that do not tell the programs.
//!
//! Pure. As where kube-proxy masquerades, the device that a packet leaves by decides
//! (`nf_nat_masquerade_ipv4`): its first address, else the node's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netproxy_common::address::Address as _;
use netproxy_common::source::ANY_DEVICE;
use netproxy_common::{Ipv4, Ipv6, Source};

use super::NodeNetwork;

/// The sources by ifindex: of every device with an address of its own, and of all others.
/// `node_addresses` are those that stand for this node.
#[must_use]
pub fn sources(network: &NodeNetwork, node_addresses: &[IpAddr]) -> BTreeMap<u32, Source> {
    let node = || node_addresses.iter().copied();
    network
        .links
        .keys()
        .filter(|ifindex| network.sources_of(**ifindex).next().is_some())
        .map(|ifindex| (*ifindex, first(network.sources_of(*ifindex).chain(node()))))
        .chain([(ANY_DEVICE, first(node()))])
        .collect()
}

/// The first address of each family.
fn first(addresses: impl Iterator<Item = IpAddr>) -> Source {
    let mut source = Source {
        v4: Ipv4::UNSPECIFIED,
        v6: Ipv6::UNSPECIFIED,
    };
    for address in addresses {
        match address {
            IpAddr::V4(v4) if source.v4 == Ipv4::UNSPECIFIED => source.v4 = Ipv4::new(v4.octets()),
            IpAddr::V6(v6) if source.v6 == Ipv6::UNSPECIFIED => source.v6 = Ipv6::new(v6.octets()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{BridgeNetfilter, Link, LinkAddress, LinkKind, LinkLayer, Scope};

    const NODE: [&str; 2] = ["192.0.2.10", "2001:db8::10"];

    fn network(addresses: &[(u32, &str)]) -> NodeNetwork {
        let link = |ifindex: u32| Link {
            ifindex,
            name: format!("eth{ifindex}"),
            kind: LinkKind::Physical,
            layer: LinkLayer::Ethernet,
            master: None,
            lower: None,
            peer_is_elsewhere: false,
            mac: None,
            bridge_netfilter: BridgeNetfilter::default(),
            is_up: true,
        };
        let address = |(ifindex, address): &(u32, &str)| LinkAddress {
            ifindex: *ifindex,
            address: address.parse().unwrap(),
            prefix: 24,
            scope: Scope::Global,
            is_owned: true,
            is_preferred: true,
        };
        NodeNetwork {
            links: (2..5).map(|ifindex| (ifindex, link(ifindex))).collect(),
            addresses: addresses.iter().map(address).collect(),
            ..NodeNetwork::default()
        }
    }

    fn told(network: &NodeNetwork) -> Vec<(u32, [String; 2])> {
        let node = NODE.map(|address| address.parse().unwrap());
        let told = sources(network, &node).into_iter();
        told.map(|(ifindex, Source { v4, v6 })| {
            let addresses = [IpAddr::from(v4.octets), IpAddr::from(v6.octets)];
            (ifindex, addresses.map(|address| address.to_string()))
        })
        .collect()
    }

    #[test]
    fn a_device_without_addresses_sends_from_the_nodes() {
        let told = told(&network(&[]));

        assert_eq!(told, [(ANY_DEVICE, NODE.map(str::to_owned))]);
    }

    #[test]
    fn a_device_sends_from_its_own_address_and_of_a_family_that_it_lacks_from_the_nodes() {
        let told = told(&network(&[(3, "10.244.1.1")]));

        assert_eq!(told[1], (3, ["10.244.1.1", NODE[1]].map(str::to_owned)));
    }

    #[test]
    fn a_source_is_the_first_global_address_that_the_kernel_would_prefer() {
        let mut network = network(&[
            (2, "169.254.7.7"),
            (2, "203.0.113.1"),
            (2, "203.0.113.2"),
            (2, "203.0.113.3"),
        ]);
        network.addresses[0].scope = Scope::Link;
        network.addresses[1].is_preferred = false;

        let told = told(&network);

        assert_eq!(told[1], (2, ["203.0.113.2", NODE[1]].map(str::to_owned)));
    }

    #[test]
    fn without_any_address_of_the_family_the_source_is_unspecified() {
        let told = sources(&network(&[]), &[]);

        assert_eq!(told[&ANY_DEVICE].v4, Ipv4::UNSPECIFIED);
        assert_eq!(told[&ANY_DEVICE].v6, Ipv6::UNSPECIFIED);
    }
}
