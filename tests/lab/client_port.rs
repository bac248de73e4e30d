//! A client that uses one source port again: for the same Service, and for another address of it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use netproxy_lab::{Ask, Get, Place, Traffic};

use crate::{
    shape,
    shop::{Door, Offer},
};

#[test]
fn a_port_can_be_used_again_at_once() -> Result<()> {
    shape::in_each(|shop| {
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        for door in shop.both.at_cluster_ips() {
            is_answered_from(&shell, 40_001, &[door; 4])?;
        }
        for door in shop.both.at_node(&node) {
            is_answered_from(&outside, 40_002, &[door; 4])?;
        }
        Ok(())
    })
}

/// The one endpoint would see both connections with the same addresses and ports.
#[test]
fn one_port_reaches_one_endpoint_through_two_addresses() -> Result<()> {
    shape::in_each(|shop| {
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        for offer in [&shop.near, &shop.far] {
            for index in [0, 1] {
                let doors = [
                    offer.at_cluster_ips()[index],
                    Offer::at(offer.external_ips[index]),
                    offer.at_node(&node)[index],
                ];
                is_answered_from(&shell, 40_003, &doors)?;
                let doors = [
                    offer.at_node(&node)[index],
                    Offer::at(offer.cluster_ips[index]),
                ];
                let [_, cluster_ip] = doors;
                outside.route_via(cluster_ip.http.ip().into(), &node)?;
                is_answered_from(&outside, 40_004, &doors)?;
            }
        }
        Ok(())
    })
}

/// The endpoint's answers to the second connection have the addresses and ports of those to the
/// first.
#[test]
fn a_port_reaches_an_endpoint_through_a_service_and_then_directly() -> Result<()> {
    shape::in_each(|shop| {
        let shell = shop.shell()?;
        for (offer, pod) in [(&shop.near, "web-a"), (&shop.far, "web-b")] {
            let endpoint = shop.cluster.lab.pod(pod)?;
            for door in offer.at_cluster_ips() {
                let address = endpoint.address_like(door.http.ip());
                let from = SocketAddr::new(shell.address_like(address), 40_005);

                for url in [door.url(), netproxy_lab::url(address, 8080)] {
                    let get = shell.get_with(&Get::new(&url).from(from))?;
                    get.all_answered()
                        .with_context(|| format!("{url} from {from}"))?;
                }
            }
        }
        Ok(())
    })
}

/// Holds that all are answered to requests from this port, by UDP and by TCP.
fn is_answered_from(place: &dyn Place, port: u16, doors: &[Door]) -> Result<()> {
    for (number, door) in doors.iter().enumerate() {
        let own: IpAddr = place.address_like(door.http.ip());
        let from = SocketAddr::new(own, port);
        let what = || format!("number {number} of {doors:?} from {from}");
        let ask = place
            .ask_with(&Ask::new(door.udp).from(from))
            .with_context(what)?;
        ask.all_answered().with_context(what)?;
        let get = place
            .get_with(&Get::new(&door.url()).from(from))
            .with_context(what)?;
        get.all_answered().with_context(what)?;
    }
    Ok(())
}
