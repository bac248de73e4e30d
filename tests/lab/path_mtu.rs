//! Path MTU discovery through services: ways that carry less than their ends do, in both directions,
//! wherever on the way.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Node, Place, Traffic};

use crate::{
    shape::{of_each_kind, two_nodes},
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
        let shop = Shop::open(two_nodes("narrow", cni, cni))?;
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
    has_learnt(from, door.http).with_context(what)
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
