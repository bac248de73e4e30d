//! Cluster IPs, from pods and from processes of a node.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use netproxy_lab::{Cni, Lab, Place, Serve, Traffic};

use crate::{
    cluster::Cluster,
    shape::{self, two_nodes},
    shop::{Offer, Shop, addresses_of, is},
};

#[test]
fn a_pod_reaches_local_and_remote_endpoints_and_is_seen_as_itself() -> Result<()> {
    shape::in_each(&shape::PAIRS, |a, b| {
        Cluster::run(two_nodes("pod-cluster-ip", a, b), |cluster| {
            let shop = Shop::open(cluster)?;
            let shell = cluster.lab.pod("shell")?;
            for offer in [&shop.near, &shop.far] {
                for door in offer.at_cluster_ips() {
                    let clients = door.is_answered_by(&shell, &offer.endpoints, 3)?;
                    let own = shell.address_like(door.http.ip());
                    is("whom the endpoint sees", &clients, &[own].into())?;
                }
            }
            Ok(())
        })
    })
}

#[test]
fn a_process_of_the_node_reaches_local_and_remote_endpoints() -> Result<()> {
    shape::in_each(&shape::PAIRS, |a, b| {
        Cluster::run(two_nodes("node-cluster-ip", a, b), |cluster| {
            let shop = Shop::open(cluster)?;
            let node = cluster.lab.node("a")?;
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
    })
}

#[test]
fn every_endpoint_is_chosen_as_often_as_any_other() -> Result<()> {
    const REQUESTS: usize = 300;
    let lab = Lab::builder("uniform")
        .node("a", Cni::Bridge)
        .pod("shell")
        .pod("web-1")
        .pod("web-2")
        .node("b", Cni::Bridge)
        .pod("web-3");
    Cluster::run(lab, |cluster| {
        let mut offer = Offer::new("web", 1)?;
        for name in ["web-1", "web-2", "web-3"] {
            let pod = cluster.lab.pod(name)?;
            pod.serve(&Serve::new().http(8080).udp(5353))?;
            offer = offer.endpoint(&pod);
        }
        cluster.put(&offer.service)?;
        let shell = cluster.lab.pod("shell")?;
        for door in offer.at_cluster_ips() {
            for answers in [
                shell.get(&door.url(), REQUESTS)?,
                shell.ask(door.udp, REQUESTS)?,
            ] {
                let counts = answers.all_answered()?.by_endpoint;
                is(
                    "who answered",
                    &counts.keys().cloned().collect::<BTreeSet<_>>(),
                    &offer.endpoints,
                )?;
                // 100 each, give or take five standard deviations of 8.2.
                ensure!(
                    counts.values().all(|count| (59..=141).contains(count)),
                    "{counts:?}"
                );
            }
        }
        Ok(())
    })
}

#[test]
fn datagrams_from_one_socket_stay_with_one_endpoint() -> Result<()> {
    Cluster::run(
        two_nodes("one-socket", Cni::Bridge, Cni::Bridge),
        |cluster| {
            let shop = Shop::open(cluster)?;
            let shell = cluster.lab.pod("shell")?;
            for door in shop.both.at_cluster_ips() {
                for ask in [
                    netproxy_lab::Ask::new(door.udp).count(20).same_socket(),
                    netproxy_lab::Ask::new(door.udp).count(20).connected(),
                ] {
                    let answers = shell.ask_with(&ask)?.all_answered()?;
                    ensure!(answers.by_endpoint.len() == 1, "{:?}", answers.by_endpoint);
                }
            }
            Ok(())
        },
    )
}
