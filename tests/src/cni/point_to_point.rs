//! Pods that know nobody but their node: no shared segment, a route per pod on the host.

use crate::{addresses::Addresses, cni::NodePlan};

/// What pods take for their gateway. The node has it nowhere and answers by proxy ARP.
const GATEWAY_V4: &str = "169.254.1.1";
/// On every host end: link-local addresses are per link.
const GATEWAY_V6: &str = "fe80::1";

/// Packets to addresses without a pod end here, or they would circle between node and underlay.
pub(super) fn node(node: &NodePlan) -> String {
    format!(
        "route add blackhole {}\nroute add blackhole {}",
        node.pods.v4, node.pods.v6
    )
}

/// The route to the pod.
pub(super) fn host_end(device: &str, pod: Addresses) -> String {
    let Addresses { v4, v6 } = pod;
    format!(
        "addr add {GATEWAY_V6}/64 dev {device} nodad\n\
         link set {device} up\n\
         route add {v4}/32 dev {device} scope link\n\
         route add {v6}/128 dev {device}"
    )
}

/// Answers for the gateway, and at once: the kernel's default delays proxied answers by up to 0.8 s.
pub(super) fn host_end_settings(device: &str) -> Vec<(String, &'static str)> {
    vec![
        (format!("ipv4/conf/{device}/proxy_arp"), "1"),
        (format!("ipv4/neigh/{device}/proxy_delay"), "0"),
    ]
}

/// The pod's addresses and routes.
pub(super) fn pod_end(pod: Addresses) -> String {
    let Addresses { v4, v6 } = pod;
    format!(
        "addr add {v4}/32 dev eth0\n\
         addr add {v6}/128 dev eth0 nodad\n\
         link set eth0 up\n\
         route add {GATEWAY_V4} dev eth0 scope link\n\
         route add default via {GATEWAY_V4} dev eth0\n\
         route add default via {GATEWAY_V6} dev eth0"
    )
}
