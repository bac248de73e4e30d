//! Consistent balancing: nodes that know nothing of each other send a client's flow to the same endpoint.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use netproxy_lab::{AgentOptions, Ask, Cni, Node, Place, Traffic, url};

use crate::{
    cluster::Cluster,
    shape::two_nodes,
    shop::{Door, Shop, is},
};

/// So many that two nodes do not agree on all of them by chance.
const FLOWS: u16 = 32;

#[test]
fn a_client_reaches_the_same_endpoint_through_every_node() -> Result<()> {
    let lab = two_nodes("consistent", Cni::Bridge, Cni::PointToPoint);
    let cluster = Cluster::up_with(lab, |options: AgentOptions| {
        options
            .argument("--external-balancing")
            .argument("consistent")
    })?;
    let shop = Shop::open_in(cluster)?;
    shop.cluster.hold(|| {
        let endpoints = |node: &Node| -> Result<Vec<_>> {
            let doors = shop.both.at_node(node).into_iter();
            doors.map(|door| answers(&shop, door)).collect()
        };

        let through_a = endpoints(&shop.node("a")?)?;
        let through_b = endpoints(&shop.node("b")?)?;

        is("who answers through the other node", &through_b, &through_a)
    })
}

/// Who answers the client outside, flow by flow; both endpoints do.
fn answers(shop: &Shop, door: Door) -> Result<Vec<String>> {
    let outside = shop.outside()?;
    let mut names = Vec::new();
    for port in 41_000..41_000 + FLOWS {
        let from = SocketAddr::new(outside.address_like(door.udp.ip()), port);
        let answers = outside.ask_with(&Ask::new(door.udp).from(from))?;
        let answers = answers
            .all_answered()
            .with_context(|| format!("{} from {from}", url(door.udp.ip(), door.udp.port())))?;
        names.extend(answers.by_endpoint.into_keys());
    }
    let different = names.iter().cloned().collect();
    is("who answers", &different, &shop.both.endpoints)?;
    Ok(names)
}
