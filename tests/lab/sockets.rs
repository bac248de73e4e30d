//! Processes that are balanced at their sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{AgentOptions, Cni, Node};

use crate::{
    cluster::Cluster,
    command_line::rows,
    refused::is_refused,
    restart::no_request_fails,
    shape::two_nodes,
    shop::{Door, Offer, Shop, is},
};

fn shop(name: &str) -> Result<Shop> {
    let builder = two_nodes(name, Cni::Bridge, Cni::PointToPoint);
    Shop::open_in(Cluster::up_with(builder, AgentOptions::at_sockets)?)
}

/// The NodePorts of an offer at an address.
fn node_ports(offer: &Offer, address: IpAddr) -> Door {
    Door {
        http: SocketAddr::new(address, offer.http_node_port),
        udp: SocketAddr::new(address, offer.udp_node_port),
    }
}

#[test]
fn every_process_reaches_every_frontend() -> Result<()> {
    let shop = shop("sockets")?;
    shop.cluster.hold(|| shop.is_open())
}

#[test]
fn a_process_of_a_node_reaches_the_node_ports_of_its_own_node() -> Result<()> {
    let shop = shop("own-ports")?;
    shop.cluster.hold(|| {
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
    let shop = shop("localhost")?;
    shop.cluster.hold(|| {
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

#[test]
fn pods_are_served_by_packet_where_only_the_host_is_by_socket() -> Result<()> {
    let builder = two_nodes("host-only", Cni::Bridge, Cni::Bridge);
    let options =
        |options: AgentOptions| options.argument("--socket-balancing").argument("host-only");
    let shop = Shop::open_in(Cluster::up_with(builder, options)?)?;
    shop.cluster.hold(|| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let [door, _] = shop.far.at_cluster_ips();
        let (flows, translated) = (
            count(&node, "new_flow")?,
            count(&node, "socket_translated")?,
        );

        door.is_answered_by(&shell, &shop.far.endpoints, 5)?;
        is("sockets", &count(&node, "socket_translated")?, &translated)?;
        let by_packet = count(&node, "new_flow")?;
        ensure!(by_packet >= flows + 10, "{by_packet} flows after {flows}");

        door.is_answered_by(&node, &shop.far.endpoints, 5)?;
        is("flows", &count(&node, "new_flow")?, &by_packet)
    })
}

#[test]
fn a_service_without_endpoints_refuses_sockets_at_once() -> Result<()> {
    let shop = shop("refused-sockets")?;
    shop.cluster.hold(|| {
        let offer = Offer::new("nobodys", 21)?;
        shop.cluster.put(&offer.service)?;
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let refused = count(&node, "socket_refused")?;
        for door in offer
            .at_cluster_ips()
            .into_iter()
            .chain(offer.at_node(&node))
        {
            is_refused(&shell, door.http, door.udp)?;
        }
        let sockets = count(&node, "socket_refused")? - refused;
        ensure!(sockets >= 8, "{sockets} sockets were refused");
        Ok(())
    })
}

#[test]
fn no_request_of_a_socket_fails_while_agents_are_killed_and_restarted() -> Result<()> {
    let shop = shop("killed-sockets")?;
    shop.cluster.hold(|| no_request_fails(&shop))
}

/// What a node's programs have counted under this name.
fn count(node: &Node, name: &str) -> Result<u64> {
    let rows = rows(node, &["counters"])?;
    let row = rows.iter().find(|row| row["name"] == name);
    let row = row.with_context(|| format!("no counter {name}"))?;
    row["count"].as_u64().context("no number")
}
