//! Who counts as a pod of this node where an operator says how it is told: under
//! `externalTrafficPolicy: Local` such a pod may use endpoints of every node, others may not.

use std::time::Duration;

use anyhow::{Context, Result};
use netproxy_lab::{AgentOptions, Cni, Get, Traffic, TrafficPolicy, wait_until};

use crate::{
    cluster::{Cluster, LONGEST},
    shape::two_nodes,
    shop::{Offer, Shop},
};

#[test]
fn pods_are_told_by_the_nodes_pod_networks() -> Result<()> {
    hold(&["--detect-local-mode=NodeCIDR"], true)
}

#[test]
fn pods_are_told_by_the_cluster_network() -> Result<()> {
    let networks = "--cluster-cidr=10.244.0.0/16,fd10:244::/32";
    hold(&["--detect-local-mode=ClusterCIDR", networks], true)
}

#[test]
fn pods_are_told_by_their_bridge() -> Result<()> {
    let bridge = "--pod-bridge-interface=cni0";
    hold(&["--detect-local-mode=BridgeInterface", bridge], true)
}

#[test]
fn pods_are_told_by_the_names_of_their_devices() -> Result<()> {
    let prefix = "--pod-interface-name-prefix=veth";
    hold(&["--detect-local-mode=InterfaceNamePrefix", prefix], true)
}

#[test]
fn nobody_is_a_pod_of_this_node_where_no_network_is_named() -> Result<()> {
    hold(&["--detect-local-mode=ClusterCIDR"], false)
}

#[test]
fn a_bridge_that_no_pod_is_behind_makes_nobody_a_pod_of_this_node() -> Result<()> {
    let bridge = "--pod-bridge-interface=br-other";
    hold(&["--detect-local-mode=BridgeInterface", bridge], false)
}

/// With such agents, holds whether a pod reaches an endpoint of another node at an external IP
/// under policy Local, and that a client from outside never does.
fn hold(arguments: &[&str], is_local: bool) -> Result<()> {
    let builder = two_nodes("told", Cni::Bridge, Cni::Bridge);
    let cluster = Cluster::up_with(builder, |options| {
        arguments
            .iter()
            .copied()
            .fold(options, AgentOptions::argument)
    })?;
    let shop = Shop::open_in(cluster)?;
    shop.cluster.hold(|| {
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        let mut offer = Offer::new("far", 2)?.endpoint(&shop.cluster.lab.pod("web-b")?);
        offer.service = offer.service.external_policy(TrafficPolicy::Local);
        shop.cluster.put(&offer.service)?;
        for door in offer.at_node(&node) {
            let get = Get::new(&door.url()).timeout(Duration::from_millis(500));
            wait_until("the policy is in force", LONGEST, || {
                Ok(outside.get_with(&get)?.answered() == 0)
            })?;
        }
        for address in offer.external_ips {
            let door = Offer::at(address);
            let what = || format!("a pod asks {address}");
            if is_local {
                door.is_answered_by(&shell, &offer.endpoints, 3)
                    .with_context(what)?;
            } else {
                let get = Get::new(&door.url()).timeout(Duration::from_millis(500));
                let answered = shell.get_with(&get)?.answered();
                anyhow::ensure!(answered == 0, "{}, and is answered", what());
            }
        }
        Ok(())
    })
}
