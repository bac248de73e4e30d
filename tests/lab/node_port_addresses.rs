//! Which addresses `NodePorts` answer on, while addresses come and go.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use netproxy_lab::{Cni, Get, Node, Place, Traffic, url, wait_until};

use crate::{
    cluster::{Cluster, LONGEST},
    shape::two_nodes,
    shop::Shop,
};

/// What the agents are told, in which no node has an address yet.
const CHOSEN: &str = "--nodeport-addresses=203.0.113.0/24,2001:db8:203::/64";

/// One that is to come, in each family.
const ADDRESSES: [&str; 2] = ["203.0.113.11", "2001:db8:203::11"];

#[test]
fn an_address_in_the_list_answers_while_a_device_has_it_and_no_other_does() -> Result<()> {
    let builder = two_nodes("chosen", Cni::Bridge, Cni::Bridge);
    let shop = Shop::open_in(Cluster::up_with(builder, |options| {
        options.argument(CHOSEN)
    })?)?;
    shop.cluster.hold(|| {
        let node = shop.node("a")?;
        for address in ADDRESSES {
            let network = IpNet::from(address.parse::<IpAddr>()?);
            shop.outside()?.route_via(network, &node)?;
            let device = uplink(&node, network.addr())?;
            let change = |what: &str| {
                let words = format!("ip address {what} {network} dev {device}");
                let mut words: Vec<_> = words.split(' ').collect();
                if what == "add" && address.contains(':') {
                    words.push("nodad");
                }
                node.run(&words)
            };

            is_silent(&shop, network.addr())?;
            change("add")?;
            wait_until("the new address answers", LONGEST, || {
                answers(&shop, network.addr())
            })?;
            change("del")?;
            wait_until("the address that is gone is silent", LONGEST, || {
                Ok(!answers(&shop, network.addr())?)
            })?;
        }
        for address in node.internal_ips() {
            is_silent(&shop, address)?;
        }
        Ok(())
    })
}

/// Whether the NodePort of `near` answers at this address to the outside.
fn answers(shop: &Shop, address: IpAddr) -> Result<bool> {
    let get = Get::new(&url(address, shop.near.http_node_port)).timeout(Duration::from_millis(500));
    Ok(shop.outside()?.get_with(&get)?.answered() > 0)
}

fn is_silent(shop: &Shop, address: IpAddr) -> Result<()> {
    ensure!(!answers(shop, address)?, "{address} answers");
    Ok(())
}

/// The device with the node's address of the family.
fn uplink(node: &Node, like: IpAddr) -> Result<String> {
    let own = node.address_like(like).to_string();
    let text = node.run(&["ip", "-json", "address", "show", "to", &own])?;
    let links: Vec<serde_json::Value> = serde_json::from_str(&text)?;
    let mut names = links.iter().filter_map(|link| link["ifname"].as_str());
    Ok(names
        .next()
        .context("no device has the address")?
        .to_owned())
}
