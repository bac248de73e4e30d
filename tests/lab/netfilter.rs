//! Netfilter beside netproxy: translated packets look to it like any others.

use anyhow::{Result, anyhow, ensure};
use netproxy_lab::{Cni, Node, NodeSpec, Place, RpFilter};

use crate::{
    shape::{self, two_nodes_as},
    shop::Shop,
};

/// As many clusters have it: what conntrack finds invalid is dropped.
const DROP_INVALID: &str = "table inet guard {
    chain forward {
        type filter hook forward priority filter;
        counter
        ct state invalid counter drop
    }
}
";

#[test]
fn services_are_served_with_strict_reverse_path_filters_and_masquerading() -> Result<()> {
    shape::of_each_kind(|cni| {
        let spec = NodeSpec::new(cni)
            .rp_filter(RpFilter::Strict)
            .masquerade(true);
        let shop = Shop::open(two_nodes_as("masquerade", &spec, &spec))?;
        shop.cluster.hold(|| shop.is_open())
    })
}

#[test]
fn no_packet_is_invalid_where_netfilter_sees_what_bridges_switch() -> Result<()> {
    let spec = NodeSpec::new(Cni::Bridge)
        .bridge_netfilter(true)
        .masquerade(true);
    no_packet_is_invalid("bridge-netfilter", &spec, Shop::is_open)
}

#[test]
fn no_packet_is_invalid_where_netfilter_does_not_see_what_bridges_switch() -> Result<()> {
    let spec = NodeSpec::new(Cni::Bridge)
        .bridge_netfilter(false)
        .masquerade(true);
    no_packet_is_invalid("bridge-alone", &spec, Shop::is_open)
}

#[test]
fn no_packet_is_invalid_where_pods_share_no_bridge() -> Result<()> {
    let spec = NodeSpec::new(Cni::PointToPoint).masquerade(true);
    no_packet_is_invalid("invalid", &spec, Shop::is_open)
}

/// Holds a rule on nodes that drop what is invalid, and that nothing was.
pub(crate) fn no_packet_is_invalid(
    name: &str,
    spec: &NodeSpec,
    rule: impl FnOnce(&Shop) -> Result<()>,
) -> Result<()> {
    let shop = Shop::open(two_nodes_as(name, spec, spec))?;
    shop.cluster.hold(|| {
        let nodes = shop.cluster.lab.nodes();
        nodes.iter().try_for_each(|node| node.nft(DROP_INVALID))?;

        rule(&shop)?;

        for node in nodes {
            let [seen, dropped] = counts(node)?;
            ensure!(seen > 0, "{}: netfilter saw nothing", node.name());
            ensure!(
                dropped == 0,
                "{}: {dropped} packets were invalid",
                node.name()
            );
        }
        Ok(())
    })
}

/// How many packets were forwarded in sight of netfilter, and how many were dropped.
fn counts(node: &Node) -> Result<[u64; 2]> {
    let rules = node.run(&["nft", "list", "chain", "inet", "guard", "forward"])?;
    let counts = rules.split("counter packets ").skip(1);
    let counts: Vec<u64> = counts
        .filter_map(|rest| rest.split_once(' ')?.0.parse().ok())
        .collect();
    counts
        .try_into()
        .map_err(|_| anyhow!("not two counters: {rules}"))
}
