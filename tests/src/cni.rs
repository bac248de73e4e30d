//! How pods are joined to their node and reach the pods of other nodes.
//!
//! A shape only says which `ip` commands make it; nodes and pods run them. Two nodes reach each
//! other's pods through the tunnel when both are [`Cni::Vxlan`], else by routes through their
//! `InternalIP`s, whatever their shapes: the underlay carries pods' addresses.

mod bridge;
mod point_to_point;
mod vxlan;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    str::FromStr,
};

use anyhow::{Result, bail};

use crate::addresses::{Addresses, PodCidrs};

/// The shape of a node's pod network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cni {
    /// A bridge `cni0` that is the pods' gateway (`.1`, `::1`), as the bridge plugin makes it; routes to
    /// the other nodes' pods through their `InternalIP`s.
    Bridge,
    /// No bridge: every pod has a /32 and a /128 and talks to its node only, which has a route to
    /// each pod's device, as with Calico and ptp. The gateways are 169.254.1.1, which the node answers
    /// for by proxy ARP, and `fe80::1`.
    PointToPoint,
    /// A bridge `cni0` with hairpin ports, and the tunnel `flannel.1` (UDP 8472) to the other nodes
    /// of this shape, as with flannel. Pods have an MTU of 1450.
    Vxlan,
}

impl FromStr for Cni {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "bridge" => Self::Bridge,
            "point-to-point" => Self::PointToPoint,
            "vxlan" => Self::Vxlan,
            _ => bail!("there is no shape {name}: choose bridge, point-to-point or vxlan"),
        })
    }
}

/// What the commands need to know of a node, one's own or another.
#[derive(Clone, Debug)]
pub(crate) struct NodePlan {
    /// From 1.
    pub(crate) number: u8,
    pub(crate) cni: Cni,
    /// Its `InternalIP`s.
    pub(crate) addresses: Addresses,
    pub(crate) pods: PodCidrs,
}

impl Cni {
    /// The MTU of a pod's `eth0`.
    #[must_use]
    pub fn pod_mtu(self) -> u16 {
        match self {
            Self::Bridge | Self::PointToPoint => 1500,
            Self::Vxlan => vxlan::MTU,
        }
    }

    /// The node's own devices and routes, but for the other nodes.
    pub(crate) fn node(self, node: &NodePlan) -> String {
        match self {
            Self::Bridge => bridge::bridge(node, self.pod_mtu()),
            Self::PointToPoint => point_to_point::node(node),
            Self::Vxlan => bridge::bridge(node, self.pod_mtu()) + "\n" + &vxlan::tunnel(node),
        }
    }

    /// The node's way to the pods of `peer`.
    pub(crate) fn peer(self, peer: &NodePlan) -> String {
        if self == Self::Vxlan && peer.cni == Self::Vxlan {
            return vxlan::peer(peer);
        }
        let NodePlan {
            addresses: Addresses { v4, v6 },
            pods,
            ..
        } = peer;
        format!(
            "route add {} via {v4}\nroute add {} via {v6}",
            pods.v4, pods.v6
        )
    }

    /// The `bridge` commands for the same, if any.
    pub(crate) fn peer_forwarding(self, peer: &NodePlan) -> Option<String> {
        (self == Self::Vxlan && peer.cni == Self::Vxlan).then(|| vxlan::peer_forwarding(peer))
    }

    /// What the node does with its end `device` of a pod's veth pair.
    pub(crate) fn host_end(self, device: &str, pod: Addresses) -> String {
        match self {
            Self::Bridge => bridge::host_end(device, false),
            Self::PointToPoint => point_to_point::host_end(device, pod),
            Self::Vxlan => bridge::host_end(device, true),
        }
    }

    /// Settings of that end, by file name below `/proc/sys/net`.
    pub(crate) fn host_end_settings(self, device: &str) -> Vec<(String, &'static str)> {
        match self {
            Self::Bridge | Self::Vxlan => Vec::new(),
            Self::PointToPoint => point_to_point::host_end_settings(device),
        }
    }

    /// What is done with `eth0` in the pod.
    pub(crate) fn pod_end(self, node: &NodePlan, pod: Addresses) -> String {
        match self {
            Self::Bridge | Self::Vxlan => bridge::pod_end(node, pod),
            Self::PointToPoint => point_to_point::pod_end(pod),
        }
    }
}

/// A device's name: the prefix and the place's name, shortened if it is longer than Linux takes.
pub(crate) fn device_name(prefix: &str, place: &str) -> String {
    const LONGEST: usize = 15;
    let whole = format!("{prefix}{place}");
    if whole.len() <= LONGEST {
        return whole;
    }
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    let kept: String = whole.chars().take(LONGEST - 5).collect();
    format!("{kept}-{:04x}", hasher.finish() & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_fit_and_stay_apart() {
        assert_eq!(device_name("veth", "web"), "vethweb");
        let (one, two) = (
            device_name("veth", "web-backend-one"),
            device_name("veth", "web-backend-two"),
        );
        assert_eq!(one.len(), 15);
        assert_ne!(one, two);
    }
}
