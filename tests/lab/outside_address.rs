//! Addresses that no node has: `externalIPs` and those of load balancers.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use ipnet::IpNet;
use netproxy_lab::Place;

use crate::{
    shape,
    shop::{Offer, Shop, addresses_of, is},
};

#[test]
fn external_ips_are_served_to_the_outside() -> Result<()> {
    shape::in_each(|shop| are_served_to_the_outside(shop, |offer| offer.external_ips))
}

#[test]
fn load_balancer_ips_are_served_to_the_outside() -> Result<()> {
    shape::in_each(|shop| are_served_to_the_outside(shop, |offer| offer.load_balancer_ips))
}

fn are_served_to_the_outside(shop: &Shop, addresses: fn(&Offer) -> [IpAddr; 2]) -> Result<()> {
    let outside = shop.outside()?;
    for (node, local, remote) in [("a", &shop.near, &shop.far), ("b", &shop.far, &shop.near)] {
        let node = shop.node(node)?;
        let own = addresses_of(&node)?;
        for address in addresses(local) {
            outside.route_via(IpNet::from(address), &node)?;
            let clients = Offer::at(address).is_answered_by(&outside, &local.endpoints, 3)?;
            let client = outside.address_like(address);
            is("whom a local endpoint sees", &clients, &[client].into())?;
        }
        for address in addresses(remote) {
            outside.route_via(IpNet::from(address), &node)?;
            let clients = Offer::at(address).is_answered_by(&outside, &remote.endpoints, 3)?;
            ensure!(
                clients.is_subset(&own),
                "a remote endpoint sees {clients:?}, and not the node"
            );
        }
    }
    Ok(())
}

#[test]
fn external_and_load_balancer_ips_are_served_to_pods_and_processes() -> Result<()> {
    shape::in_each(|shop| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        for offer in [&shop.near, &shop.far] {
            for address in offer
                .external_ips
                .into_iter()
                .chain(offer.load_balancer_ips)
            {
                let door = Offer::at(address);
                let clients = door.is_answered_by(&shell, &offer.endpoints, 3)?;
                is(
                    "whom an endpoint sees",
                    &clients,
                    &[shell.address_like(address)].into(),
                )?;
                door.is_answered_by(&node, &offer.endpoints, 3)?;
            }
        }
        Ok(())
    })
}
