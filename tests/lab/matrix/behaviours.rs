//! What holds on every shape.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Ask, Get, Node, Place, Traffic};

use crate::{
    refused::{AT_ONCE_MS, PATIENCE, are_refused},
    shop::{Door, Offer, Shop, is},
};

/// As firewalld has it: what is invalid is dropped, on the way through and to the node itself.
pub(super) const FIREWALL: &str = "table inet firewall {
    chain forward {
        type filter hook forward priority filter + 10;
        ct state established,related accept
        ct state invalid counter drop
    }
    chain input {
        type filter hook input priority filter + 10;
        ct state established,related accept
        ct state invalid counter drop
    }
}
";

/// What is to hold, by name.
type Behaviour = (&'static str, fn(&Shop) -> Result<()>);

/// The behaviours, in the order in which they are held.
pub(super) const BEHAVIOURS: [Behaviour; 9] = [
    ("a pod reaches cluster IPs near and far", pod),
    ("a pod reaches itself", hairpin),
    ("a process of the node reaches cluster IPs", process),
    ("a pod reaches NodePorts of both nodes", pod_at_node_ports),
    ("the outside reaches NodePorts near and far", outside),
    ("large transfers arrive whole", transfers),
    ("who asks where nobody listens is told", errors),
    ("nothing was invalid", nothing_invalid),
    ("policies on the way through bite", policies),
];

fn pod(shop: &Shop) -> Result<()> {
    let shell = shop.shell()?;
    for offer in [&shop.near, &shop.far] {
        for door in offer.at_cluster_ips() {
            let seen = door.is_answered_by(&shell, &offer.endpoints, 3)?;
            let shell = shell.address_like(door.http.ip());
            is("whom the endpoint sees", &seen, &[shell].into())?;
        }
    }
    Ok(())
}

fn hairpin(shop: &Shop) -> Result<()> {
    let web = shop.cluster.lab.pod("web-a")?;
    for door in shop.near.at_cluster_ips() {
        door.is_answered_by(&web, &shop.near.endpoints, 3)?;
    }
    Ok(())
}

fn process(shop: &Shop) -> Result<()> {
    let node = shop.node("a")?;
    for offer in [&shop.near, &shop.far] {
        for door in offer.at_cluster_ips() {
            door.is_answered_by(&node, &offer.endpoints, 3)?;
        }
    }
    Ok(())
}

fn pod_at_node_ports(shop: &Shop) -> Result<()> {
    let shell = shop.shell()?;
    for node in shop.cluster.lab.nodes() {
        for offer in [&shop.near, &shop.far] {
            for door in offer.at_node(node) {
                door.is_answered_by(&shell, &offer.endpoints, 3)?;
            }
        }
    }
    Ok(())
}

fn outside(shop: &Shop) -> Result<()> {
    let (outside, node) = (shop.outside()?, shop.node("a")?);
    for door in shop.near.at_node(&node) {
        let seen = door.is_answered_by(&outside, &shop.near.endpoints, 3)?;
        let client = outside.address_like(door.http.ip());
        is("whom a local endpoint sees", &seen, &[client].into())?;
    }
    for door in shop.far.at_node(&node) {
        door.is_answered_by(&outside, &shop.far.endpoints, 3)?;
    }
    Ok(())
}

fn transfers(shop: &Shop) -> Result<()> {
    const BYTES: u64 = 5_000_000;
    let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
    let is_intact = |from: &dyn Place, door: Door| {
        for transfer in [
            from.download(&door.url(), BYTES)?,
            from.upload(&door.url(), BYTES)?,
        ] {
            ensure!(
                transfer.is_intact() && transfer.bytes == BYTES,
                "{door:?}: {transfer:?}"
            );
        }
        Ok(())
    };
    for offer in [&shop.near, &shop.far] {
        for door in offer.at_cluster_ips() {
            is_intact(&shell, door)?;
        }
        for door in offer.at_node(&node) {
            is_intact(&outside, door)?;
        }
    }
    Ok(())
}

fn errors(shop: &Shop) -> Result<()> {
    // Nobody serves there.
    let offer = Offer::new("deaf", 24)?.endpoint(&shop.node("b")?);
    shop.cluster.put(&offer.service)?;
    let (shell, outside) = (shop.shell()?, shop.outside()?);
    let asks = |from: &dyn Place, door: Door| {
        let ask = Ask::new(door.udp).connected().count(2).timeout(PATIENCE);
        are_refused(&from.ask_with(&ask)?, AT_ONCE_MS)
            .with_context(|| format!("{} asks {door:?}", from.name()))
    };
    for door in offer.at_cluster_ips() {
        asks(&shell, door)?;
    }
    for door in offer.at_node(&shop.node("a")?) {
        asks(&outside, door)?;
    }
    Ok(())
}

fn nothing_invalid(shop: &Shop) -> Result<()> {
    for node in shop.cluster.lab.nodes() {
        for chain in ["forward", "input"] {
            let rules = node.run(&["nft", "list", "chain", "inet", "firewall", chain])?;
            ensure!(
                rules.contains("counter packets 0 "),
                "{}: {rules}",
                node.name()
            );
        }
    }
    Ok(())
}

/// As `NetworkPolicy` is made of netfilter rules: by the addresses of pods, and for what begins.
fn policies(shop: &Shop) -> Result<()> {
    let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
    let web = shop.cluster.lab.pod("web-a")?;
    let inside = shop.near.at_cluster_ips();
    let at_node = shop.near.at_node(&node);
    let clients: [(&dyn Place, _); 2] = [(&shell, inside), (&outside, at_node)];
    for (denied, other) in [(0, 1), (1, 0)] {
        let (client, doors) = clients[denied];
        deny(&node, client, &web)?;
        for door in doors {
            let get = Get::new(&door.url()).timeout(Duration::from_millis(400));
            let ask = Ask::new(door.udp).timeout(Duration::from_millis(400));
            let answered = client.get_with(&get)?.answered() + client.ask_with(&ask)?.answered();
            ensure!(answered == 0, "{} is answered at {door:?}", client.name());
        }
        let (client, doors) = clients[other];
        let endpoints: &BTreeSet<_> = &shop.near.endpoints;
        for door in doors {
            door.is_answered_by(client, endpoints, 2)?;
        }
        node.run(&["nft", "delete", "table", "inet", "policies"])?;
    }
    Ok(())
}

fn deny(node: &Node, client: &dyn Place, endpoint: &dyn Place) -> Result<()> {
    node.nft(&format!(
        "table inet policies {{
             chain forward {{
                 type filter hook forward priority filter;
                 ct state established,related accept
                 ip saddr {} ip daddr {} drop
                 ip6 saddr {} ip6 daddr {} drop
             }}
         }}
         ",
        client.ipv4(),
        endpoint.ipv4(),
        client.ipv6(),
        endpoint.ipv6()
    ))
}
