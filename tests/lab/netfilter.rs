//! Netfilter beside netproxy: translated packets look to it like any others.

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Node, NodeSpec, Place, RpFilter};

use crate::{
    shape::{self, two_nodes_as},
    shop::Shop,
};

/// As many clusters have it: what conntrack finds invalid is dropped.
const DROP_INVALID: &str = "table inet guard {
    chain forward {
        type filter hook forward priority filter;
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
    no_packet_is_invalid("bridge-netfilter", &spec)
}

#[test]
fn no_packet_is_invalid_where_pods_share_no_bridge() -> Result<()> {
    no_packet_is_invalid(
        "invalid",
        &NodeSpec::new(Cni::PointToPoint).masquerade(true),
    )
}

fn no_packet_is_invalid(name: &str, spec: &NodeSpec) -> Result<()> {
    let shop = Shop::open(two_nodes_as(name, spec, spec))?;
    shop.cluster.hold(|| {
        let nodes = shop.cluster.lab.nodes();
        nodes.iter().try_for_each(|node| node.nft(DROP_INVALID))?;

        shop.is_open()?;

        nodes.iter().try_for_each(|node| {
            let dropped = dropped(node)?;
            ensure!(
                dropped == 0,
                "{}: {dropped} packets were invalid",
                node.name()
            );
            Ok(())
        })
    })
}

/// How many packets the rule has dropped.
fn dropped(node: &Node) -> Result<u64> {
    let rules = node.run(&["nft", "list", "chain", "inet", "guard", "forward"])?;
    let (_, rest) = rules.split_once("counter packets ").context("no counter")?;
    let (count, _) = rest.split_once(' ').context("no count")?;
    Ok(count.parse()?)
}
