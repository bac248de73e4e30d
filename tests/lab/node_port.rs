//! `NodePorts`, from outside, from pods, and from processes of other nodes.

use anyhow::{Result, ensure};
use netproxy_lab::Place;

use crate::{
    shape,
    shop::{addresses_of, is},
};

#[test]
fn a_client_is_seen_as_itself_where_the_endpoint_is_and_as_the_node_elsewhere() -> Result<()> {
    shape::in_each(|shop| {
        let outside = shop.outside()?;
        for (node, local, remote) in [("a", &shop.near, &shop.far), ("b", &shop.far, &shop.near)] {
            let node = shop.node(node)?;
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
}

#[test]
fn a_pod_reaches_node_ports_of_its_own_node_and_of_another() -> Result<()> {
    shape::in_each(|shop| {
        let shell = shop.shell()?;
        for node in shop.cluster.lab.nodes() {
            for offer in [&shop.near, &shop.far] {
                for door in offer.at_node(node) {
                    door.is_answered_by(&shell, &offer.endpoints, 3)?;
                }
            }
        }
        Ok(())
    })
}

#[test]
fn a_process_of_a_node_reaches_node_ports_of_another_node() -> Result<()> {
    shape::in_each(|shop| {
        let (node, other) = (shop.node("a")?, shop.node("b")?);
        for offer in [&shop.near, &shop.far] {
            for door in offer.at_node(&other) {
                door.is_answered_by(&node, &offer.endpoints, 3)?;
            }
        }
        Ok(())
    })
}
