//! Endpoints that are processes of a node itself, as the API server's are.

use anyhow::Result;
use netproxy_lab::{Place, Serve, Traffic};

use crate::{
    shape,
    shop::{Offer, Shop, is},
};

#[test]
fn a_process_of_a_node_serves_pods_other_nodes_and_the_outside() -> Result<()> {
    shape::in_each(|shop| {
        for (name, number) in [("a", 11), ("b", 12)] {
            let node = shop.node(name)?;
            node.serve(&Serve::new().http(8080).udp(5353))?;
            let offer = Offer::new(&format!("on-{name}"), number)?.endpoint(&node);
            shop.cluster.put(&offer.service)?;
            is_reached_from_everywhere(shop, &offer)?;
        }
        Ok(())
    })
}

fn is_reached_from_everywhere(shop: &Shop, offer: &Offer) -> Result<()> {
    let (shell, outside) = (shop.shell()?, shop.outside()?);
    for door in offer.at_cluster_ips() {
        door.is_answered_by(&shell, &offer.endpoints, 3)?;
    }
    for node in shop.cluster.lab.nodes() {
        let has_endpoint = offer.endpoints.contains(node.name());
        for door in offer.at_node(node) {
            let clients = door.is_answered_by(&outside, &offer.endpoints, 3)?;
            let client = if has_endpoint {
                &outside as &dyn Place
            } else {
                node
            };
            let client = client.address_like(door.http.ip());
            is("whom the endpoint sees", &clients, &[client].into())?;
        }
        // To an address of its own a process goes over `lo`, where there is no hook.
        if !has_endpoint {
            for door in offer.at_cluster_ips() {
                door.is_answered_by(node, &offer.endpoints, 3)?;
            }
        }
    }
    Ok(())
}
