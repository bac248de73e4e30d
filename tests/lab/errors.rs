//! ICMP errors about packets of services reach those who sent them, as if the frontend had sent the
//! errors.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use netproxy_lab::{Ask, Place, Traffic, report::Traced};

use crate::{
    refused::{AT_ONCE_MS, PATIENCE, are_refused},
    shape,
    shop::{Offer, is},
};

/// Holds that datagrams come through to the endpoint over `hops` hops, and that of fewer the sender is
/// told that they are too few.
fn are_counted(from: &dyn Place, asked: SocketAddr, hops: u8, endpoint: &str) -> Result<()> {
    for fewer in 1..hops {
        let expired = Traced::Error {
            kind: if asked.is_ipv4() { 11 } else { 3 },
            code: 0,
            from: asked.ip(),
            asked,
        };
        let traced = from.trace(asked, fewer)?;
        is(&format!("after {fewer} hops"), &traced, &expired)?;
    }
    let came_through = Traced::Answered {
        endpoint: endpoint.to_owned(),
        peer: asked,
    };
    let traced = from.trace(asked, hops)?;
    is(&format!("after {hops} hops"), &traced, &came_through)
}

#[test]
fn every_hop_to_an_endpoint_shows_itself_as_the_frontend() -> Result<()> {
    shape::in_each(|shop| {
        let (shell, outside) = (shop.shell()?, shop.outside()?);
        let (a, b) = (shop.node("a")?, shop.node("b")?);
        // The nodes of the client and of the endpoint.
        for door in shop.far.at_cluster_ips() {
            are_counted(&shell, door.udp, 3, "web-b").context("from a pod")?;
        }
        for door in shop.far.at_node(&a) {
            are_counted(&outside, door.udp, 3, "web-b").context("past the stack")?;
        }
        // The endpoint's alone; what a process sends has not left its node yet.
        for door in shop.far.at_node(&b) {
            are_counted(&outside, door.udp, 2, "web-b").context("to a pod of the node")?;
        }
        for door in shop.far.at_cluster_ips() {
            are_counted(&a, door.udp, 2, "web-b").context("from a process")?;
        }
        for door in shop.near.at_cluster_ips() {
            are_counted(&a, door.udp, 1, "web-a").context("from a process to a pod")?;
        }
        Ok(())
    })
}

#[test]
fn a_connected_socket_hears_that_its_endpoint_does_not_listen() -> Result<()> {
    shape::in_each(|shop| {
        // It has a pod, which serves nothing.
        let offer = Offer::new("deaf", 24)?.endpoint(&shop.shell()?);
        shop.cluster.put(&offer.service)?;
        let (web_a, web_b) = (
            shop.cluster.lab.pod("web-a")?,
            shop.cluster.lab.pod("web-b")?,
        );
        let (a, b) = (shop.node("a")?, shop.node("b")?);
        let inside: [&dyn Place; 4] = [&web_a, &web_b, &a, &b];
        for door in offer.at_cluster_ips() {
            for from in inside {
                is_deaf(from, door.udp)?;
            }
        }
        for node in [&a, &b] {
            for door in offer.at_node(node) {
                is_deaf(&shop.outside()?, door.udp)?;
            }
        }
        Ok(())
    })
}

fn is_deaf(from: &dyn Place, asked: SocketAddr) -> Result<()> {
    let ask = Ask::new(asked).connected().count(2).timeout(PATIENCE);
    are_refused(&from.ask_with(&ask)?, AT_ONCE_MS)
        .with_context(|| format!("{} asks {asked}", from.name()))
}
