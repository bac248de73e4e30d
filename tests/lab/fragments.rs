//! Datagrams that are larger than any way carries: they come in fragments, both ways.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Answers, Ask, Cni, NodeSpec, Place, Traffic};

use crate::{
    netfilter::no_packet_is_invalid,
    shape,
    shop::{Door, Offer, Shop, is},
};

/// Of a question; the answer has it in it.
const BYTES: usize = 60_000;

#[test]
fn long_datagrams_get_through_on_every_path() -> Result<()> {
    shape::in_each(are_answered_on_every_path)
}

/// Connection tracking puts datagrams together where they come in, and they are cut again where they
/// leave.
#[test]
fn long_datagrams_are_not_invalid_where_netfilter_sees_what_bridges_switch() -> Result<()> {
    let spec = NodeSpec::new(Cni::Bridge)
        .bridge_netfilter(true)
        .masquerade(true);
    no_packet_is_invalid("pieces-bridge", &spec, are_answered_on_every_path)
}

#[test]
fn long_datagrams_are_not_invalid_where_pods_share_no_bridge() -> Result<()> {
    let spec = NodeSpec::new(Cni::PointToPoint).masquerade(true);
    no_packet_is_invalid("pieces-ptp", &spec, are_answered_on_every_path)
}

#[test]
fn long_datagrams_are_not_invalid_in_the_overlay() -> Result<()> {
    let spec = NodeSpec::new(Cni::Vxlan).masquerade(true);
    no_packet_is_invalid("pieces-vxlan", &spec, are_answered_on_every_path)
}

fn are_answered_on_every_path(shop: &Shop) -> Result<()> {
    let (shell, outside) = (shop.shell()?, shop.outside()?);
    let (a, b) = (shop.node("a")?, shop.node("b")?);
    let web = shop.cluster.lab.pod("web-a")?;
    for offer in [&shop.near, &shop.far] {
        for door in offer.at_cluster_ips() {
            are_answered("a pod asks a cluster IP", &shell, offer, door)?;
            are_answered("a process asks a cluster IP", &a, offer, door)?;
        }
        for door in offer.at_node(&a) {
            are_answered("the outside asks a NodePort", &outside, offer, door)?;
            are_answered("a pod asks a NodePort of its node", &shell, offer, door)?;
        }
        for door in offer.at_node(&b) {
            are_answered("a process asks a NodePort elsewhere", &a, offer, door)?;
        }
    }
    for door in shop.near.at_cluster_ips() {
        are_answered("a pod asks itself", &web, &shop.near, door)?;
    }
    Ok(())
}

/// Holds that long datagrams are answered, each with itself. Only the first may be lost, where its sender
/// has learnt by it what the way carries.
fn are_answered(what: &str, from: &dyn Place, offer: &Offer, door: Door) -> Result<()> {
    let what = || format!("{what}: {}, {:?}", from.name(), door.udp);
    let first = long_datagrams(from, door.udp, 1).with_context(what)?;
    if first.answered() == 0 {
        let route = from.run(&["ip", "route", "get", &door.udp.ip().to_string()])?;
        ensure!(
            route.contains(" mtu "),
            "{}: the first is lost: {:?}, and its sender has learnt nothing: {route}",
            what(),
            first.errors
        );
    }
    let answers = long_datagrams(from, door.udp, 3).with_context(what)?;
    let answers = answers.all_answered().with_context(what)?;
    let seen = answers.by_endpoint.keys().cloned().collect();
    is("who answered", &seen, &offer.endpoints).with_context(what)?;
    is("whom the client sees", &answers.peers, &[door.udp].into()).with_context(what)
}

/// Asks with long datagrams, each from a socket of its own.
pub(crate) fn long_datagrams(from: &dyn Place, to: SocketAddr, count: usize) -> Result<Answers> {
    from.ask_with(&Ask::new(to).bytes(BYTES).count(count))
}
