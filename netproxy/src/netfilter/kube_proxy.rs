//! By which names kube-proxy's rules are known, and whether there are any.

use std::os::unix::fs::MetadataExt as _;
use std::{fs, io};

use super::{Entry, entries};

/// The table of its nftables mode.
pub(crate) const TABLE: &str = "kube-proxy";

/// The device that carries cluster IPs in its IPVS mode.
pub(crate) const IPVS_DEVICE: &str = "kube-ipvs0";

/// The chains of its iptables mode that have a name of their own (`iptablesJumpChains` and
/// `iptablesCleanupOnlyChains` in pkg/proxy/iptables/proxier.go, and those they lead to). The kubelet's are
/// not among them: KUBE-KUBELET-CANARY, KUBE-FIREWALL, KUBE-IPTABLES-HINT.
const CHAINS: [&str; 8] = [
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-FORWARD",
    "KUBE-POSTROUTING",
    "KUBE-MARK-MASQ",
    "KUBE-PROXY-FIREWALL",
    "KUBE-PROXY-CANARY",
];

/// Those of a service or an endpoint: the prefix of their names.
const PREFIXES: [&str; 6] = [
    "KUBE-SVC-",
    "KUBE-SVL-",
    "KUBE-SEP-",
    "KUBE-EXT-",
    "KUBE-FW-",
    "KUBE-XLB-",
];

/// Whether a chain of iptables is kube-proxy's.
pub(crate) fn is_of_kube_proxy(chain: &str) -> bool {
    CHAINS.contains(&chain) || PREFIXES.iter().any(|prefix| chain.starts_with(prefix))
}

/// Whether a chain translates for kube-proxy, of the nat table.
pub(crate) fn serves(chain: &str) -> bool {
    chain == "KUBE-SERVICES" || PREFIXES.iter().any(|prefix| chain.starts_with(prefix))
}

/// Whether a kube-proxy may serve this node. Of legacy tables, which no netlink shows, only is known that
/// they are there.
pub(crate) fn may_serve() -> bool {
    let is_its = |entry: &Entry| entry.table == TABLE || entry.chain.as_deref().is_some_and(serves);
    // Who cannot look leaves what may be another's.
    entries().map_or(true, |entries| entries.iter().any(is_its))
        || has_legacy_nat("ip_tables_names")
        || has_legacy_nat("ip6_tables_names")
}

/// Whether there is a nat table of `iptables-legacy`, by its list in /proc/net.
pub(super) fn has_legacy_nat(list: &str) -> bool {
    fs::read_to_string(format!("/proc/net/{list}"))
        .is_ok_and(|tables| tables.lines().any(|table| table == "nat"))
}

/// The process ids of kube-proxies in this network namespace.
pub(super) fn running() -> io::Result<Vec<u32>> {
    let own = fs::metadata("/proc/self/ns/net")?;
    let is_kube_proxy = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        let namespace = fs::metadata(format!("/proc/{pid}/ns/net"));
        name.is_ok_and(|name| name.trim_end() == "kube-proxy")
            && namespace.is_ok_and(|it| (it.dev(), it.ino()) == (own.dev(), own.ino()))
    };
    Ok(fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(is_kube_proxy)
        .collect())
}
