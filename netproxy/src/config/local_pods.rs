//! `detectLocalMode`, `detectLocal` and `clusterCIDR`: how this node's pods are known.

use ipnet::IpNet;

use super::check::Check;
use super::kube_proxy::KubeProxyConfiguration;
use super::understand::network;
use crate::settings::LocalPods;

/// The longest name of a device, `IFNAMSIZ` without its zero.
const LONGEST_NAME: usize = 15;

/// An absent mode stands for kube-proxy's default, `ClusterCIDR`, which is what a proxy without
/// knowledge of devices has to ask for. So `clusterCIDR` alone, as kubeadm writes it, changes
/// nothing.
pub(super) fn local_pods(config: &KubeProxyConfiguration, check: &mut Check<'_>) -> LocalPods {
    let networks = cluster_networks(&config.cluster_cidr, check);
    let bridge = &config.detect_local.bridge_interface;
    let prefix = &config.detect_local.interface_name_prefix;
    match config.detect_local_mode.as_str() {
        "" => LocalPods::Device,
        "ClusterCIDR" if networks.is_empty() => LocalPods::Nobody,
        "ClusterCIDR" => LocalPods::Networks(networks),
        "NodeCIDR" => LocalPods::NodeCidrs,
        "BridgeInterface" => {
            require_device(bridge, "detectLocal.bridgeInterface", check);
            LocalPods::Bridge(bridge.clone())
        }
        "InterfaceNamePrefix" => {
            require_device(prefix, "detectLocal.interfaceNamePrefix", check);
            LocalPods::NamePrefix(prefix.clone())
        }
        _ => {
            check.refuse(
                "detectLocalMode",
                "must be ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix, or empty",
            );
            LocalPods::Device
        }
    }
}

fn require_device(name: &str, path: &str, check: &mut Check<'_>) {
    if name.is_empty() {
        check.refuse(path, "is required by this detectLocalMode");
    }
    let is_name =
        name.len() <= LONGEST_NAME && !name.contains(|c: char| c == '/' || c.is_whitespace());
    let reason = "must be the name of a device: at most 15 bytes, no slash, no space";
    check.require(is_name, path, reason);
}

/// One network, or one of each family.
fn cluster_networks(text: &str, check: &mut Check<'_>) -> Vec<IpNet> {
    if text.is_empty() {
        return Vec::new();
    }
    let networks: Option<Vec<_>> = text.split(',').map(|part| network(part.trim())).collect();
    let is_v4 = |network: &IpNet| matches!(network, IpNet::V4(_));
    let is_right = |networks: &Vec<IpNet>| match networks.as_slice() {
        [_] => true,
        [one, other] => is_v4(one) != is_v4(other),
        _ => false,
    };
    let networks = networks.filter(is_right).ok_or_else(|| {
        "must be a network like 10.244.0.0/16, or one of each family like \
         10.244.0.0/16,fd00:10:244::/56"
            .to_owned()
    });
    check.result("clusterCIDR", networks).unwrap_or_default()
}
