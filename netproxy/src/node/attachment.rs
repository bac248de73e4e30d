//! Which devices the packet programs are attached to, and what the programs are told of each.
//!
//! Pure. Every packet between a pod or the outside and this host must cross an attached device;
//! crossing two is harmless, since the programs are idempotent. What is not known to lead to a pod
//! leads outside: a wrong "outside" only translates, a wrong "pod" breaks connections.

use std::net::IpAddr;

use netproxy_common::{Device, DeviceFlags, DeviceKind};

use super::{BridgeNetfilter, DevicePatterns, Link, LinkKind, LinkLayer, NodeNetwork};
use crate::settings::LocalPods;

#[cfg(test)]
mod tests;

/// A device to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The device.
    pub ifindex: u32,
    /// Its name, for people.
    pub name: String,
    /// Which side of the node it leads to.
    pub kind: DeviceKind,
    /// Whether its frames start with an Ethernet header, rather than with the IP header.
    pub has_link_layer: bool,
    /// Whether it is a NIC, hardware or paravirtual, with a driver of its own.
    pub is_nic: bool,
    /// Where frames for the host are addressed to: the bridge's for a bridge port; zero without a
    /// link layer.
    pub mac: [u8; 6],
    /// Ifindex of the bridge it is a port of; zero: none.
    pub master: u32,
    /// Whether [`LocalPods`] names it: what comes in here is a pod of this node.
    pub is_local_pods: bool,
    /// What netfilter sees of the bridge that it is a port of; all, where there is none.
    pub bridge_netfilter: BridgeNetfilter,
}

impl Attachment {
    /// The device as the programs see it.
    #[must_use]
    pub fn device(&self) -> Device {
        let flags = [
            (self.is_local_pods, DeviceFlags::LOCAL_PODS),
            (!self.bridge_netfilter.v4, DeviceFlags::UNSEEN_V4),
            (!self.bridge_netfilter.v6, DeviceFlags::UNSEEN_V6),
        ];
        let is_set = flags.into_iter().filter(|(is_set, _)| *is_set);
        Device {
            kind: self.kind as u8,
            flags: is_set.fold(0, |flags, (_, flag)| flags | flag),
            mac: self.mac,
            master: self.master,
        }
    }
}

/// Where to attach, by ifindex. `node_addresses` are those that stand for this node.
#[must_use]
pub fn attachments(
    network: &NodeNetwork,
    patterns: &DevicePatterns,
    node_addresses: &[IpAddr],
    local_pods: &LocalPods,
) -> Vec<Attachment> {
    network
        .links
        .values()
        .filter(|link| carries_packets(link, network) && patterns.admits(&link.name))
        .map(|link| Attachment {
            is_local_pods: names(local_pods, link, network),
            ..attachment(link, network, node_addresses)
        })
        .collect()
}

/// Whether packets of pods or the outside cross `link` in a form that the programs can read, and
/// do not cross a better place anyway.
fn carries_packets(link: &Link, network: &NodeNetwork) -> bool {
    let is_carrier = match link.kind {
        // A bridge's packets cross its ports; a VRF's the devices in it.
        LinkKind::Loopback | LinkKind::Bridge | LinkKind::Dummy | LinkKind::Ifb | LinkKind::Vrf => {
            false
        }
        LinkKind::Physical
        | LinkKind::Veth
        | LinkKind::Tun
        | LinkKind::Bond
        | LinkKind::Team
        | LinkKind::Vlan
        | LinkKind::Vxlan
        | LinkKind::Geneve
        | LinkKind::WireGuard
        | LinkKind::IpIp
        | LinkKind::Macvlan
        | LinkKind::Ipvlan
        | LinkKind::Netkit
        | LinkKind::Other(_) => true,
    };
    is_carrier && link.layer != LinkLayer::Foreign && !hands_to_master(link, network)
}

/// Whether `link` only serves its master, which the stack sees instead: members of a bond or team,
/// and virtual functions behind a synthetic NIC (netvsc, `net_failover`), whose master is a NIC.
fn hands_to_master(link: &Link, network: &NodeNetwork) -> bool {
    let master = link.master.and_then(|master| network.links.get(&master));
    master.is_some_and(|master| {
        matches!(
            master.kind,
            LinkKind::Bond | LinkKind::Team | LinkKind::Physical
        )
    })
}

fn attachment(link: &Link, network: &NodeNetwork, node_addresses: &[IpAddr]) -> Attachment {
    let bridge = bridge_of(link, network);
    let host_side = bridge.unwrap_or(link);
    let has_link_layer = link.layer == LinkLayer::Ethernet;
    Attachment {
        ifindex: link.ifindex,
        name: link.name.clone(),
        kind: device_kind(link, network, node_addresses),
        has_link_layer,
        is_nic: link.kind == LinkKind::Physical,
        mac: host_side.mac.filter(|_| has_link_layer).unwrap_or_default(),
        master: bridge.map_or(0, |bridge| bridge.ifindex),
        is_local_pods: false,
        bridge_netfilter: bridge.map_or(BridgeNetfilter { v4: true, v6: true }, |bridge| {
            network.netfilter_sees(bridge)
        }),
    }
}

/// Whether `local_pods` names `link`. The stack, and with it kube-proxy, sees the packets of a
/// bridge's ports come in on the bridge; the programs see them on the port.
fn names(local_pods: &LocalPods, link: &Link, network: &NodeNetwork) -> bool {
    let bridge = bridge_of(link, network);
    let mut seen_as = std::iter::once(link).chain(bridge);
    match local_pods {
        LocalPods::Bridge(name) => seen_as.any(|link| link.name == *name),
        LocalPods::NamePrefix(prefix) => seen_as.any(|link| link.name.starts_with(prefix)),
        LocalPods::Device | LocalPods::Networks(_) | LocalPods::NodeCidrs | LocalPods::Nobody => {
            false
        }
    }
}

fn bridge_of<'a>(link: &Link, network: &'a NodeNetwork) -> Option<&'a Link> {
    let master = network.links.get(&link.master?)?;
    (master.kind == LinkKind::Bridge).then_some(master)
}

/// A pod's host end is what pods are given: a veth or netkit whose peer has gone to another
/// namespace, a tap of a virtual machine. A device of these kinds that is itself this node's way
/// out (a node that is a container has a veth for uplink) leads outside all the same. The bridge's
/// addresses do not count for its ports: the node's own on it says nothing about a pod's port.
fn device_kind(link: &Link, network: &NodeNetwork, node_addresses: &[IpAddr]) -> DeviceKind {
    let is_host_end = match link.kind {
        LinkKind::Veth => link.peer_is_elsewhere,
        LinkKind::Netkit => true,
        LinkKind::Tun => link.layer == LinkLayer::Ethernet,
        LinkKind::Loopback
        | LinkKind::Physical
        | LinkKind::Bridge
        | LinkKind::Bond
        | LinkKind::Team
        | LinkKind::Vlan
        | LinkKind::Vxlan
        | LinkKind::Geneve
        | LinkKind::WireGuard
        | LinkKind::IpIp
        | LinkKind::Dummy
        | LinkKind::Macvlan
        | LinkKind::Ipvlan
        | LinkKind::Vrf
        | LinkKind::Ifb
        | LinkKind::Other(_) => false,
    };
    let is_uplink = network.default_route_links.contains(&link.ifindex)
        || network
            .addresses_of(link.ifindex)
            .any(|entry| node_addresses.contains(&entry.address));
    if is_host_end && !is_uplink {
        DeviceKind::Pod
    } else {
        DeviceKind::Outside
    }
}
