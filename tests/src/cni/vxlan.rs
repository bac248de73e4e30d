//! The tunnel `flannel.1` between nodes, with static neighbours as flannel keeps them.

use crate::{addresses::Addresses, cni::NodePlan};

/// 1500 of the underlay, less 50 for the tunnel's headers.
pub(super) const MTU: u16 = 1450;

/// The node's end.
pub(super) fn tunnel(node: &NodePlan) -> String {
    let Addresses { v4, v6 } = node.pods.network();
    format!(
        "link add flannel.1 mtu {MTU} address {mac} type vxlan id 1 local {local} dev eth0 \
         dstport 8472 nolearning\n\
         addr add {v4}/32 dev flannel.1\n\
         addr add {v6}/128 dev flannel.1 nodad\n\
         link set flannel.1 up",
        mac = mac(node),
        local = node.addresses.v4,
    )
}

/// The routes to the pods of another node, through the tunnel.
pub(super) fn peer(peer: &NodePlan) -> String {
    let Addresses { v4, v6 } = peer.pods.network();
    let mac = mac(peer);
    format!(
        "neigh replace {v4} lladdr {mac} dev flannel.1 nud permanent\n\
         neigh replace {v6} lladdr {mac} dev flannel.1 nud permanent\n\
         route add {cidr_v4} via {v4} dev flannel.1 onlink\n\
         route add {cidr_v6} via {v6} dev flannel.1 onlink",
        cidr_v4 = peer.pods.v4,
        cidr_v6 = peer.pods.v6,
    )
}

/// Which node the tunnel's packets for the peer's end go to.
pub(super) fn peer_forwarding(peer: &NodePlan) -> String {
    format!(
        "fdb replace {} dev flannel.1 dst {} self permanent",
        mac(peer),
        peer.addresses.v4
    )
}

fn mac(node: &NodePlan) -> String {
    format!("0e:00:00:f4:{:02x}:00", node.number)
}
