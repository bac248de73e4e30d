//! By which names kube-proxy's rules are known.

use std::fs;

use super::{Entry, entries};

/// The table of its nftables mode.
pub(crate) const TABLE: &str = "kube-proxy";

/// Whether a chain of iptables' nat table is kube-proxy's. The kubelet has chains of its own under the
/// same prefix.
pub(crate) fn is_of_kube_proxy(chain: &str) -> bool {
    matches!(chain, "KUBE-SERVICES" | "KUBE-NODEPORTS" | "KUBE-NODE-PORT")
        || ["KUBE-SVC-", "KUBE-SEP-", "KUBE-EXT-"]
            .iter()
            .any(|prefix| chain.starts_with(prefix))
}

/// Whether a kube-proxy may serve this node. Of legacy tables, which no netlink shows, only is known that
/// they are there.
pub(crate) fn may_serve() -> bool {
    let is_its = |entry: &Entry| {
        entry.table == TABLE || entry.chain.as_deref().is_some_and(is_of_kube_proxy)
    };
    let has_legacy = |list| {
        fs::read_to_string(list).is_ok_and(|tables| tables.lines().any(|table| table == "nat"))
    };
    // Who cannot look leaves what may be another's.
    entries().map_or(true, |entries| entries.iter().any(is_its))
        || has_legacy("/proc/net/ip_tables_names")
        || has_legacy("/proc/net/ip6_tables_names")
}
