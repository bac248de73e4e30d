//! Which frontends a socket reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Result, ensure};

use super::{count, in_shop, shop};
use crate::shop::{Door, Offer, Shop, is};

/// The NodePorts of an offer at an address.
fn node_ports(offer: &Offer, address: IpAddr) -> Door {
    Door {
        http: SocketAddr::new(address, offer.http_node_port),
        udp: SocketAddr::new(address, offer.udp_node_port),
    }
}

#[test]
fn every_process_reaches_every_frontend() -> Result<()> {
    in_shop(Shop::is_open)
}

#[test]
fn a_process_of_a_node_reaches_the_node_ports_of_its_own_node() -> Result<()> {
    in_shop(|shop| {
        let node = shop.node("a")?;
        for offer in [&shop.near, &shop.far, &shop.both] {
            for door in offer.at_node(&node) {
                door.is_answered_by(&node, &offer.endpoints, 20)?;
            }
        }
        Ok(())
    })
}

#[test]
fn node_ports_answer_processes_of_the_node_on_localhost() -> Result<()> {
    in_shop(|shop| {
        let node = shop.node("a")?;
        for address in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ] {
            for offer in [&shop.near, &shop.far] {
                node_ports(offer, address).is_answered_by(&node, &offer.endpoints, 3)?;
            }
        }
        Ok(())
    })
}

#[test]
fn no_packet_of_a_process_carries_a_frontend() -> Result<()> {
    let shop = shop("bare")?;
    shop.cluster.hold(|| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let (flows, translated) = (
            count(&node, "new_flow")?,
            count(&node, "socket_translated")?,
        );

        for door in shop.both.at_cluster_ips() {
            door.is_answered_by(&shell, &shop.both.endpoints, 30)?;
            door.is_answered_by(&node, &shop.both.endpoints, 30)?;
        }

        is("flows", &count(&node, "new_flow")?, &flows)?;
        let sockets = count(&node, "socket_translated")? - translated;
        ensure!(sockets >= 2 * 2 * 2 * 30, "{sockets} sockets were balanced");
        Ok(())
    })
}
