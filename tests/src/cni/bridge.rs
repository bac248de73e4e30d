//! Pods as ports of the bridge `cni0`, which has the gateway's addresses.

use crate::{addresses::Addresses, cni::NodePlan};

/// The bridge itself.
pub(super) fn bridge(node: &NodePlan, mtu: u16) -> String {
    let Addresses { v4, v6 } = node.pods.gateway();
    let (v4_length, v6_length) = (node.pods.v4.prefix_len(), node.pods.v6.prefix_len());
    // With an address of its own the bridge does not change it when a port with a lower one comes.
    let number = node.number;
    format!(
        "link add cni0 mtu {mtu} address 0e:00:00:f4:{number:02x}:01 type bridge\n\
         addr add {v4}/{v4_length} dev cni0\n\
         addr add {v6}/{v6_length} dev cni0 nodad\n\
         link set cni0 up"
    )
}

/// Makes the host end of a pod's pair a port.
pub(super) fn host_end(device: &str, is_hairpin: bool) -> String {
    let hairpin = if is_hairpin { "on" } else { "off" };
    format!(
        "link set {device} master cni0\n\
         link set {device} type bridge_slave hairpin {hairpin}\n\
         link set {device} up"
    )
}

/// The pod's addresses and routes.
pub(super) fn pod_end(node: &NodePlan, pod: Addresses) -> String {
    let Addresses { v4, v6 } = pod;
    let gateway = node.pods.gateway();
    let (v4_length, v6_length) = (node.pods.v4.prefix_len(), node.pods.v6.prefix_len());
    format!(
        "addr add {v4}/{v4_length} dev eth0\n\
         addr add {v6}/{v6_length} dev eth0 nodad\n\
         link set eth0 up\n\
         route add default via {gateway_v4}\n\
         route add default via {gateway_v6}",
        gateway_v4 = gateway.v4,
        gateway_v6 = gateway.v6,
    )
}
