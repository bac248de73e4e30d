//! Another proxy on the node, which masquerades by netfilter: neither it nor netproxy gives a connection the
//! source port of one that the other goes on with.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Result, ensure};
use netproxy_lab::{Cni, Get, Hold, Node, Place, Process, Traffic};
use serde::Deserialize;

use crate::{
    cluster::{LONGEST, await_served_on},
    shape::two_nodes,
    shop::Shop,
};

/// How many connections go on, of each family.
const HELD: usize = 6;
/// The source ports that netproxy has here: from 10240 up those that the kernel does not give to sockets.
const FIRST_PORT: u16 = 10_240;
const LAST_PORT: u16 = 10_263;
/// More connections than that.
const MANY: usize = 100;
/// As many as there are ports for, while the others go on and none is used twice.
const FEW: usize = 12;

#[test]
fn connections_that_another_proxy_began_keep_their_source_ports() -> Result<()> {
    let shop = Shop::open(two_nodes("other-first", Cni::PointToPoint, Cni::Vxlan))?;
    shop.cluster.hold(|| {
        let (node, outside) = (shop.node("a")?, shop.outside()?);
        take_agent_away(&shop)?;
        node.nft(&other_proxy(&shop)?)?;
        let held = hold(&shop)?;

        shop.cluster.agent("a")?.restart()?;
        await_served_on(&node, &shop.far.service)?;

        for door in shop.far.at_node(&node) {
            let answers = outside.get(&door.url(), MANY)?.all_answered()?;
            ensure!(answers.answered() == MANY, "{answers:?}");
        }
        ensure!(
            !ports_of_flows(&node)?.is_empty(),
            "none of them came to netproxy"
        );
        are_whole(held)
    })
}

#[test]
fn connections_that_a_drain_waits_for_keep_their_source_ports() -> Result<()> {
    let shop = Shop::open(two_nodes("other-after", Cni::PointToPoint, Cni::Vxlan))?;
    shop.cluster.hold(|| {
        let (node, outside) = (shop.node("a")?, shop.outside()?);
        take_agent_away(&shop)?;
        shop.cluster.agent("a")?.restart()?;
        await_served_on(&node, &shop.far.service)?;
        let held = hold(&shop)?;
        let ports = ports_of_flows(&node)?;
        shop.cluster.agent("a")?.stop()?;
        node.nft(&other_proxy(&shop)?)?;

        let drain = start_drain(&node)?;

        for door in shop.far.at_node(&node) {
            let get = Get::new(&door.url()).count(FEW).timeout(LONGEST);
            outside.get_with(&get)?.all_answered()?;
        }
        ensure!(!kept(&node, &ports)?.is_empty(), "no port is kept");
        are_whole(held)?;
        drain.wait(LONGEST)?;
        ensure!(drain.stdout().contains("removed"), "{}", drain.stdout());
        let kept = kept(&node, &ports)?;
        ensure!(kept.is_empty(), "still kept: {kept:#?}");
        Ok(())
    })
}

/// Leaves node `a` without netproxy, and with few source ports for it.
fn take_agent_away(shop: &Shop) -> Result<()> {
    let node = shop.node("a")?;
    shop.cluster.agent("a")?.stop()?;
    node.netproxy(&["cleanup"])?;
    let setting = format!("net.ipv4.ip_local_port_range={} 65535", LAST_PORT + 1);
    node.run(&["sysctl", "-qw", &setting])?;
    Ok(())
}

/// Connections from outside by node `a` to the endpoint on node `b`.
fn hold(shop: &Shop) -> Result<Vec<Hold>> {
    let (node, outside) = (shop.node("a")?, shop.outside()?);
    let doors = shop.far.at_node(&node).into_iter();
    let urls = doors.flat_map(|door| vec![door.url(); HELD]);
    urls.map(|url| outside.hold(&url)).collect()
}

fn are_whole(held: Vec<Hold>) -> Result<()> {
    for hold in held {
        let report = hold.stop()?;
        ensure!(report.broken.is_none(), "{report:?}");
    }
    Ok(())
}

/// Rules that do what kube-proxy's do, and give out the same source ports.
fn other_proxy(shop: &Shop) -> Result<String> {
    let endpoint = shop.cluster.lab.pod("web-b")?.addresses();
    let doors = shop.far.at_node(&shop.node("a")?).into_iter();
    let ways: Vec<_> = doors.map(|door| door.http).zip(endpoint.both()).collect();
    let family = |to: &IpAddr| if to.is_ipv4() { "ip" } else { "ip6" };
    let before = ways.iter().map(|(asked, to)| {
        let (family, address, port) = (family(to), asked.ip(), asked.port());
        let to = SocketAddr::new(*to, 8080);
        format!("{family} daddr {address} tcp dport {port} dnat {family} to {to}")
    });
    let after = ways.iter().map(|(_, to)| {
        let family = family(to);
        format!("{family} daddr {to} tcp dport 8080 masquerade to :{FIRST_PORT}-{LAST_PORT}")
    });
    let [before, after] = [before.collect::<Vec<_>>(), after.collect()].map(|it| it.join("\n"));
    Ok(format!(
        "table inet proxy {{
            chain prerouting {{ type nat hook prerouting priority dstnat; {before}
            }}
            chain postrouting {{ type nat hook postrouting priority srcnat; {after}
            }}
        }}"
    ))
}

/// One line of `netproxy flows -o json`.
#[derive(Deserialize)]
struct FlowRow {
    kind: String,
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    port: u16,
}

/// Those that flows have of whom the endpoint sees the node.
fn ports_of_flows(node: &Node) -> Result<BTreeSet<u16>> {
    let flows: Vec<FlowRow> = node.netproxy_json(&["flows", "-o", "json"])?;
    let whole = flows.iter().filter(|flow| flow.kind == "whole");
    Ok(whole.map(|flow| flow.source.port).collect())
}

fn start_drain(node: &Node) -> Result<Process> {
    let drain = node.start_netproxy(&["cleanup", "--drain", "--timeout", "30s"])?;
    drain.wait_for_line("how much is left", LONGEST, |line| {
        line.contains("flows left").then_some(())
    })?;
    Ok(drain)
}

/// What netfilter knows of connections that leave from these ports without being translated.
fn kept(node: &Node, ports: &BTreeSet<u16>) -> Result<Vec<String>> {
    let connections = node.run(&["cat", "/proc/net/nf_conntrack"])?;
    let is_kept = |line: &&str| {
        let mut sources = line.split(" sport=").skip(1);
        let source = sources.next().and_then(|rest| rest.split(' ').next());
        line.contains(" dport=8080 ")
            && source.is_some_and(|port| port.parse().is_ok_and(|port| ports.contains(&port)))
    };
    let kept = connections.lines().filter(is_kept);
    Ok(kept.map(str::to_owned).collect())
}
