//! Path MTU discovery through services: ways that carry less than their ends do, in both directions,
//! wherever on the way.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Node, NodeSpec, Place, Traffic, wait_for};

use crate::{
    cluster::LONGEST,
    fragments::long_datagrams,
    shape::{of_each_kind, two_nodes_as},
    shop::{Door, Shop},
};

const BYTES: u64 = 10_000_000;
/// What the ends carry, and what the ways that the nodes know to pods and to the outside do.
const WIDE: u16 = 1500;
const TO_PODS: u16 = 1400;
const TO_OUTSIDE: u16 = 1300;

#[test]
fn transfers_through_narrow_ways_arrive_whole_and_senders_learn_the_mtu() -> Result<()> {
    of_each_kind(|cni| {
        // With bridges in sight of netfilter the kernel puts IPv6 datagrams together, and cuts them to what
        // the overlay carries, whatever their sender has learnt: nobody's get through, by a service or not.
        let spec = NodeSpec::new(cni).bridge_netfilter(cni == Cni::Bridge);
        let shop = Shop::open(two_nodes_as("narrow", &spec, &spec))?;
        shop.cluster.hold(|| {
            let (shell, outside) = (shop.shell()?, shop.outside()?);
            let (a, b) = (shop.node("a")?, shop.node("b")?);
            for node in [&a, &b] {
                widen_pods(node)?;
                narrow(node, &outside, "eth0", TO_OUTSIDE)?;
            }
            for (node, pod) in [(&a, "shell"), (&b, "web-b")] {
                let pod = shop.cluster.lab.pod(pod)?;
                let device = match cni {
                    Cni::Bridge | Cni::Vxlan => "cni0",
                    Cni::PointToPoint => pod.host_device(),
                };
                narrow(node, &pod, device, TO_PODS)?;
            }

            for door in shop.far.at_cluster_ips() {
                is_intact("an edge flow of a pod", &shell, door)?;
                is_intact("a host flow", &a, door)?;
            }
            for door in shop.far.at_node(&b) {
                is_intact("an edge flow from outside", &outside, door)?;
            }
            for door in shop.far.at_node(&a) {
                is_intact("a whole flow", &outside, door)?;
            }
            Ok(())
        })
    })
}

/// Pods of an overlay would not even try to send more than it carries.
fn widen_pods(node: &Node) -> Result<()> {
    if node.cni() != Cni::PointToPoint {
        node.ip(&format!("link set cni0 mtu {WIDE}"))?;
    }
    for pod in node.pods() {
        node.ip(&format!("link set {} mtu {WIDE}", pod.host_device()))?;
        pod.ip(&format!("link set eth0 mtu {WIDE}"))?;
    }
    Ok(())
}

/// Has the node's way to `place` by `device` carry so much only. It is locked, because a router goes by
/// its devices else.
fn narrow(node: &Node, place: &dyn Place, device: &str, mtu: u16) -> Result<()> {
    let [v4, v6] = place.addresses().both();
    node.ip(&format!(
        "route replace {v4}/32 dev {device} mtu lock {mtu}\n\
         route replace {v6}/128 dev {device} mtu lock {mtu}"
    ))
}

fn is_intact(what: &str, from: &dyn Place, door: Door) -> Result<()> {
    let what = || format!("{what}, {door:?}");
    let up = from.upload(&door.url(), BYTES).with_context(what)?;
    ensure!(
        up.is_intact() && up.bytes == BYTES,
        "{}, up: {up:?}",
        what()
    );
    let down = from.download(&door.url(), BYTES).with_context(what)?;
    ensure!(
        down.is_intact() && down.bytes == BYTES,
        "{}, down: {down:?}",
        what()
    );
    has_learnt(from, door.http).with_context(what)?;
    // Datagrams are cut to what was learnt, both ways. An endpoint may learn by its answers only, a narrow
    // way at a time: of connections it is told by the client how long its segments may be.
    let ask = || long_datagrams(from, door.udp, 1);
    wait_for(&what(), LONGEST, ask, |answers| answers.answered() == 1)?;
    let asked = long_datagrams(from, door.udp, 3).with_context(what)?;
    asked.all_answered().with_context(what)?;
    Ok(())
}

/// Holds that `from` knows of what the way to the endpoint carries, and takes it for the frontend's.
fn has_learnt(from: &dyn Place, frontend: SocketAddr) -> Result<()> {
    let route = from.run(&["ip", "route", "get", &frontend.ip().to_string()])?;
    ensure!(
        route.contains(&format!(" mtu {TO_PODS} ")),
        "the route is {route}"
    );
    Ok(())
}
