//! Nodes with several NICs, each with a network of its own, that takes from the node only what has its
//! address on it: policy routing chooses by the source, and that is the frontend for what answers a client.

use anyhow::{Context, Result, ensure};
use netproxy_lab::{
    AgentOptions, Cni, Node, NodeSpec, Place, RpFilter, SECOND_GATEWAY, Serve, Traffic,
};

use crate::{
    cluster::Cluster,
    shape::two_nodes_as,
    shop::{Door, Offer, Shop, is},
};

/// A shop with two NICs on each node, and `NodePorts` on both.
fn shop(cni: Cni) -> Result<Shop> {
    let spec = NodeSpec::new(cni).rp_filter(RpFilter::Loose).second_nic();
    let builder = two_nodes_as("uplinks", &spec, &spec);
    let on_all = |options: AgentOptions| options.argument("--nodeport-addresses=all");
    Shop::open_in(Cluster::up_with(builder, on_all)?)
}

#[test]
fn answers_leave_by_the_nic_whose_address_was_asked() -> Result<()> {
    for cni in [Cni::Bridge, Cni::PointToPoint] {
        let shop = shop(cni)?;
        shop.cluster
            .hold(|| {
                let node = shop.node("a")?;
                let process = process_of(&shop, &node)?;
                asked_at_both_nics(&shop, &node, &process)?;
                // As where pods have addresses of the second NIC.
                let pods = node.pod_cidrs();
                let networks = [pods.v4.to_string(), pods.v6.to_string()];
                let web = shop.cluster.lab.pod("web-a")?;
                for (pod, network) in web.addresses().both().into_iter().zip(networks) {
                    node.add_rule(pod, &format!("to {network} lookup main priority 512"))?;
                    node.add_rule(pod, &format!("from {pod} lookup 101 priority 1536"))?;
                }
                asked_at_both_nics(&shop, &node, &process).context("a pod of the second NIC")
            })
            .with_context(|| format!("nodes in the shape {cni:?}"))?;
    }
    Ok(())
}

#[test]
fn endpoints_learn_what_the_nic_whose_address_was_asked_carries() -> Result<()> {
    const NARROW: u16 = 1300;
    let shop = shop(Cni::Bridge)?;
    shop.cluster.hold(|| {
        let (node, outside) = (shop.node("a")?, shop.outside()?);
        let doors = shop.near.at_node_ports(node.second_nic());
        for (gateway, door) in SECOND_GATEWAY.both().into_iter().zip(doors) {
            node.ip(&format!(
                "route replace default via {gateway} dev eth1 mtu lock {NARROW} table 101"
            ))?;

            is_intact(&outside, door)?;

            let client = outside.address_like(gateway).to_string();
            let web = shop.cluster.lab.pod("web-a")?;
            let route = web.run(&["ip", "route", "get", &client])?;
            ensure!(route.contains(&format!(" mtu {NARROW} ")), "{route}");
        }
        Ok(())
    })
}

/// Holds that the outside is answered wherever it asks the node, and seen as itself where the endpoint
/// is here.
fn asked_at_both_nics(shop: &Shop, node: &Node, process: &Offer) -> Result<()> {
    let outside = shop.outside()?;
    for offer in [&shop.near, process, &shop.far] {
        let doors = offer.at_node(node).into_iter();
        for door in doors.chain(offer.at_node_ports(node.second_nic())) {
            let seen = door.is_answered_by(&outside, &offer.endpoints, 5)?;
            if offer.endpoints != shop.far.endpoints {
                let client = outside.address_like(door.http.ip());
                is("whom a local endpoint sees", &seen, &[client].into())?;
            }
        }
    }
    let [second, _] = shop.near.at_node_ports(node.second_nic());
    is_intact(&outside, second)
}

/// A Service with a process of the node behind it.
fn process_of(shop: &Shop, node: &Node) -> Result<Offer> {
    node.serve(&Serve::new().http(8080).udp(5353))?;
    let offer = Offer::new("process", 11)?.endpoint(node);
    shop.cluster.put(&offer.service)?;
    Ok(offer)
}

fn is_intact(from: &dyn Place, door: Door) -> Result<()> {
    const BYTES: u64 = 10_000_000;
    let down = from.download(&door.url(), BYTES)?;
    ensure!(down.is_intact() && down.bytes == BYTES, "{down:?}");
    Ok(())
}
