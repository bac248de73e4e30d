//! Cluster IPs, from pods and from processes of a node.

use anyhow::{Result, ensure};
use netproxy_lab::{Ask, Place, Traffic};

use crate::{
    shape,
    shop::{addresses_of, is},
};

#[test]
fn a_pod_reaches_local_and_remote_endpoints_and_is_seen_as_itself() -> Result<()> {
    shape::in_each(|shop| {
        let shell = shop.shell()?;
        for offer in [&shop.near, &shop.far] {
            for door in offer.at_cluster_ips() {
                let clients = door.is_answered_by(&shell, &offer.endpoints, 3)?;
                let own = shell.address_like(door.http.ip());
                is("whom the endpoint sees", &clients, &[own].into())?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_process_of_the_node_reaches_local_and_remote_endpoints() -> Result<()> {
    shape::in_each(|shop| {
        let node = shop.node("a")?;
        let own = addresses_of(&node)?;
        for offer in [&shop.near, &shop.far] {
            for door in offer.at_cluster_ips() {
                let clients = door.is_answered_by(&node, &offer.endpoints, 3)?;
                ensure!(
                    clients.is_subset(&own),
                    "the endpoint sees {clients:?}, and not the node"
                );
            }
        }
        Ok(())
    })
}

#[test]
fn every_endpoint_is_chosen_as_often_as_any_other() -> Result<()> {
    const REQUESTS: usize = 200;
    shape::in_each(|shop| {
        let shell = shop.shell()?;
        for door in shop.both.at_cluster_ips() {
            for answers in [
                shell.get(&door.url(), REQUESTS)?,
                shell.ask(door.udp, REQUESTS)?,
            ] {
                let counts = answers.all_answered()?.by_endpoint;
                is(
                    "who answered",
                    &counts.keys().cloned().collect(),
                    &shop.both.endpoints,
                )?;
                // 100 each, give or take six standard deviations of 7.
                ensure!(
                    counts.values().all(|count| (58..=142).contains(count)),
                    "{counts:?}"
                );
            }
        }
        Ok(())
    })
}

#[test]
fn datagrams_from_one_socket_stay_with_one_endpoint() -> Result<()> {
    shape::in_each(|shop| {
        let shell = shop.shell()?;
        for door in shop.both.at_cluster_ips() {
            let ask = Ask::new(door.udp).count(20);
            for ask in [ask.clone().same_socket(), ask.connected()] {
                let answers = shell.ask_with(&ask)?.all_answered()?;
                ensure!(answers.by_endpoint.len() == 1, "{:?}", answers.by_endpoint);
            }
        }
        Ok(())
    })
}
