//! The whole of this node's network at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{BridgeNetfilter, Link, LinkAddress, Scope};

/// Devices, addresses and default routes of this network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeNetwork {
    /// Every device, by ifindex.
    pub links: BTreeMap<u32, Link>,
    /// Every address in the kernel's order, which is the order it prefers sources in.
    pub addresses: Vec<LinkAddress>,
    /// Devices that a default route of any table leaves by.
    pub default_route_links: BTreeSet<u32>,
    /// What is asked for on all bridges; None: there is no such thing here.
    pub bridge_netfilter: Option<BridgeNetfilter>,
}

impl NodeNetwork {
    /// What this node answers to: every address of every device, extra ones of `lo` included,
    /// without loopback, link-local IPv6 and multicast.
    #[must_use]
    pub fn node_addresses(&self) -> BTreeSet<IpAddr> {
        self.addresses
            .iter()
            .filter(|entry| entry.is_owned)
            .map(|entry| entry.address)
            .filter(|address| {
                !address.is_loopback() && !address.is_multicast() && !address.is_unspecified()
            })
            .collect()
    }

    /// Of which family netfilter sees what `bridge` switches.
    pub(super) fn netfilter_sees(&self, bridge: &Link) -> BridgeNetfilter {
        let all = self.bridge_netfilter;
        all.map_or(BridgeNetfilter::default(), |all| {
            all.or(bridge.bridge_netfilter)
        })
    }

    /// The addresses of one device, in the kernel's order.
    pub fn addresses_of(&self, ifindex: u32) -> impl Iterator<Item = &LinkAddress> {
        self.addresses
            .iter()
            .filter(move |entry| entry.ifindex == ifindex)
    }

    /// The addresses of one device that the kernel would use as a source towards anywhere.
    pub(super) fn sources_of(&self, ifindex: u32) -> impl Iterator<Item = IpAddr> {
        self.addresses_of(ifindex)
            .filter(|entry| entry.is_preferred && entry.scope == Scope::Global)
            .map(|entry| entry.address)
    }
}
