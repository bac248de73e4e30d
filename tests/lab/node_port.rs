//! `NodePorts`, from outside, from pods, and from processes of other nodes.

use anyhow::{Result, ensure};
use netproxy_lab::Place;

use crate::{
    cluster::Cluster,
    shape::{self, two_nodes},
    shop::{Shop, addresses_of, is},
};

#[test]
fn a_client_is_seen_as_itself_where_the_endpoint_is_and_as_the_node_elsewhere() -> Result<()> {
    shape::in_each(&shape::PAIRS, |a, b| {
        Cluster::run(two_nodes("node-port", a, b), |cluster| {
            let shop = Shop::open(cluster)?;
            let outside = cluster.lab.client("outside")?;
            for (node, local, remote) in
                [("a", &shop.near, &shop.far), ("b", &shop.far, &shop.near)]
            {
                let node = cluster.lab.node(node)?;
                let own = addresses_of(&node)?;
                for door in local.at_node(&node) {
                    let clients = door.is_answered_by(&outside, &local.endpoints, 3)?;
                    let client = outside.address_like(door.http.ip());
                    is("whom a local endpoint sees", &clients, &[client].into())?;
                }
                for door in remote.at_node(&node) {
                    let clients = door.is_answered_by(&outside, &remote.endpoints, 3)?;
                    ensure!(
                        clients.is_subset(&own),
                        "a remote endpoint sees {clients:?}, and not the node"
                    );
                }
            }
            Ok(())
        })
    })
}

#[test]
fn a_pod_reaches_node_ports_of_its_own_node_and_of_another() -> Result<()> {
    shape::in_each(&shape::PAIRS, |a, b| {
        Cluster::run(two_nodes("pod-node-port", a, b), |cluster| {
            let shop = Shop::open(cluster)?;
            let shell = cluster.lab.pod("shell")?;
            for node in cluster.lab.nodes() {
                for offer in [&shop.near, &shop.far] {
                    for door in offer.at_node(node) {
                        door.is_answered_by(&shell, &offer.endpoints, 3)?;
                    }
                }
            }
            Ok(())
        })
    })
}

#[test]
fn a_process_of_a_node_reaches_node_ports_of_another_node() -> Result<()> {
    shape::in_each(&shape::ALIKE, |a, b| {
        Cluster::run(two_nodes("node-node-port", a, b), |cluster| {
            let shop = Shop::open(cluster)?;
            let (node, other) = (cluster.lab.node("a")?, cluster.lab.node("b")?);
            for offer in [&shop.near, &shop.far] {
                for door in offer.at_node(&other) {
                    door.is_answered_by(&node, &offer.endpoints, 3)?;
                }
            }
            Ok(())
        })
    })
}
