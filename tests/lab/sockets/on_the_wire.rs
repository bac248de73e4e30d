//! Frontends that a socket leaves to the packet hooks, or to whoever else has them.

use std::time::Duration;

use anyhow::Result;
use netproxy_lab::{Ask, Get, Place, Serve, Traffic, TrafficPolicy, wait_until};

use super::{count, shop};
use crate::{
    cluster::LONGEST,
    shop::{Offer, is},
};

#[test]
fn a_cluster_ip_that_a_device_of_the_node_has_is_left_to_who_listens_there() -> Result<()> {
    let shop = shop("node-local")?;
    shop.cluster.hold(|| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let offer = Offer::new("cached", 41)?.endpoint(&shop.cluster.lab.pod("web-b")?);
        shop.cluster.put(&offer.service)?;
        for door in offer.at_cluster_ips() {
            door.is_answered_by(&shell, &offer.endpoints, 3)?;
        }

        // As NodeLocal DNSCache does it.
        let [v4, v6] = offer.cluster_ips;
        node.ip(&format!(
            "link add nodelocal type bridge\nlink set nodelocal up\n\
             addr add {v4}/32 dev nodelocal\naddr add {v6}/128 dev nodelocal nodad"
        ))?;
        node.serve(&Serve::new().name("cache").http(80).udp(53))?;

        let cache = ["cache".to_owned()].into();
        for door in offer.at_cluster_ips() {
            for place in [&shell as &dyn Place, &node] {
                let is_left = || {
                    let answers = place.ask(door.udp, 1)?;
                    Ok(answers.endpoints().contains("cache"))
                };
                wait_until("the address is left alone", LONGEST, is_left)?;
                let translated = count(&node, "socket_translated")?;
                door.is_answered_by(place, &cache, 10)?;
                is("sockets", &count(&node, "socket_translated")?, &translated)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_node_port_of_another_node_is_that_nodes_to_balance() -> Result<()> {
    let shop = shop("other-ports")?;
    shop.cluster.hold(|| {
        let (shell, a, b) = (shop.shell()?, shop.node("a")?, shop.node("b")?);
        let mut offer = Offer::new("local", 42)?.endpoint(&shop.cluster.lab.pod("web-a")?);
        offer.service = offer.service.external_policy(TrafficPolicy::Local);
        shop.cluster.put(&offer.service)?;
        let translated = count(&a, "socket_translated")?;
        for place in [&shell as &dyn Place, &a] {
            for door in shop.far.at_node(&b) {
                door.is_answered_by(place, &shop.far.endpoints, 5)?;
            }
            // It has none of its own, and this node's do not count there.
            for door in offer.at_node(&b) {
                let longest = Duration::from_millis(300);
                let get = place.get_with(&Get::new(&door.url()).timeout(longest))?;
                let ask = place.ask_with(&Ask::new(door.udp).timeout(longest))?;
                is("answers", &(get.answered() + ask.answered()), &0)?;
            }
        }
        is("sockets", &count(&a, "socket_translated")?, &translated)
    })
}
