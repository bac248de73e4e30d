//! A shop that only traces visit, one after the other, so that whatever changes is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use netproxy_lab::{Cni, Node, Place};
use serde_json::Value;

use crate::{shape::two_nodes, shop::Shop};

/// What may tell of a client in the maps.
const TABLES: [&str; 6] = [
    "FLOWS_V4",
    "FLOWS_V6",
    "PENDING_V4",
    "PENDING_V6",
    "AFFINITY_V4",
    "AFFINITY_V6",
];
/// Here the search for a source port goes on, so only what is new tells.
const PORTS: [&str; 2] = ["PORTS_V4", "PORTS_V6"];
/// What the kernel counts of packets that come, or are forwarded.
const COUNTS: [(&str, &str); 6] = [
    ("Tcp:", "InSegs"),
    ("Udp:", "InDatagrams"),
    ("Udp:", "NoPorts"),
    ("Ip:", "ForwDatagrams"),
    ("Icmp:", "InDestUnreachs"),
    ("Ip:", "OutNoRoutes"),
];
const COUNTS_V6: [&str; 4] = [
    "Udp6InDatagrams",
    "Udp6NoPorts",
    "Ip6OutForwDatagrams",
    "Icmp6InDestUnreachs",
];

/// Holds a rule in the shop.
pub(super) fn in_shop(rule: impl FnOnce(&Shop) -> Result<()>) -> Result<()> {
    static SHOP: OnceLock<Result<Shop, String>> = OnceLock::new();
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let shop = SHOP.get_or_init(|| {
        Shop::open(two_nodes("trace", Cni::Bridge, Cni::PointToPoint))
            .map_err(|error| format!("{error:#}"))
    });
    let shop = shop
        .as_ref()
        .map_err(|error| anyhow!("the shop cannot be opened: {error}"))?;
    shop.cluster.hold(|| rule(shop))
}

/// What `netproxy trace` tells on node `a`. Nothing may be in the maps that was not there before, and no packet may have
/// come anywhere.
pub(super) fn trace(shop: &Shop, words: &[&str]) -> Result<Value> {
    let node = shop.node("a")?;
    let (tables, ports, packets) = (tables(&node)?, ports(&node)?, packets(shop)?);
    let told = untraced(&node, words)?;
    let left: Vec<_> = self::tables(&node)?.difference(&tables).cloned().collect();
    ensure!(left.is_empty(), "left behind: {left:?} after {told:#}");
    let left: Vec<_> = self::ports(&node)?.difference(&ports).cloned().collect();
    ensure!(left.is_empty(), "left behind: {left:?} after {told:#}");
    let now = self::packets(shop)?;
    ensure!(
        now == packets,
        "packets were sent: {packets:?}, and then {now:?}; {told:#}"
    );
    Ok(told)
}

/// What it tells, where others are about.
pub(super) fn untraced(node: &Node, words: &[&str]) -> Result<Value> {
    node.netproxy_json(&[&["trace", "-o", "json"], words].concat())
}

/// Why it fails.
pub(super) fn refused(shop: &Shop, words: &[&str]) -> Result<String> {
    match shop.node("a")?.netproxy(&[&["trace"], words].concat()) {
        Ok(told) => Err(anyhow!("it does not fail: {told}")),
        Err(error) => Ok(error.to_string()),
    }
}

/// The last of its steps.
pub(super) fn last(told: &Value) -> Result<&Value> {
    let steps = told["steps"].as_array().context("no steps")?;
    steps.last().context("no step")
}

/// Source and destination of a packet that is told.
pub(super) fn ends(value: &Value) -> Result<(SocketAddr, SocketAddr)> {
    let end = |name: &str| {
        let end = &value[name];
        let address = end["address"].as_str().context("no address")?.parse()?;
        let port = end["port"].as_u64().context("no port")?;
        anyhow::Ok(SocketAddr::new(address, u16::try_from(port)?))
    };
    Ok((end("source")?, end("destination")?))
}

/// All that the tables hold.
fn tables(node: &Node) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for name in TABLES {
        for entry in entries(node, name)? {
            found.insert(format!("{name} {}", entry["formatted"]));
        }
    }
    Ok(found)
}

/// Towards whom source ports have been looked for.
fn ports(node: &Node) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for name in PORTS {
        for entry in entries(node, name)? {
            found.insert(format!("{name} {}", entry["key"]));
        }
    }
    Ok(found)
}

fn entries(node: &Node, map: &str) -> Result<Vec<Value>> {
    let pins = netproxy::datapath::Pins::new(node.bpffs());
    let path = pins.map(map);
    let path = path.to_str().context("the path is UTF-8")?;
    let dump = node.run(&["bpftool", "-j", "map", "dump", "pinned", path])?;
    serde_json::from_str(&dump).with_context(|| format!("bpftool does not print JSON: {dump}"))
}

/// What every place has counted of packets.
pub(super) fn packets(shop: &Shop) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let lab = &shop.cluster.lab;
    let nodes: Vec<_> = lab.nodes().iter().map(|node| node as &dyn Place).collect();
    let pods = [lab.pod("shell")?, lab.pod("web-a")?, lab.pod("web-b")?];
    let outside = shop.outside()?;
    let pods = pods.iter().map(|pod| pod as &dyn Place);
    for place in nodes
        .into_iter()
        .chain(pods)
        .chain([&outside as &dyn Place])
    {
        let v4 = place.run(&["cat", "/proc/self/net/snmp"])?;
        for (group, name) in COUNTS {
            let mut lines = v4.lines().filter(|line| line.starts_with(group));
            let (names, values) = (lines.next(), lines.next());
            let names = names.context("no names")?.split(' ');
            let mut values = names.zip(values.context("no values")?.split(' '));
            let found = values.find(|(found, _)| *found == name);
            let (_, value) = found.with_context(|| format!("no {name} in {v4}"))?;
            counts.insert(format!("{} {group}{name}", place.name()), value.parse()?);
        }
        let v6 = place.run(&["cat", "/proc/self/net/snmp6"])?;
        for name in COUNTS_V6 {
            let lines = v6.lines().map(|line| line.split_whitespace());
            let mut found = lines.filter_map(|mut words| Some((words.next()?, words.next()?)));
            let (_, value) = found
                .find(|(found, _)| *found == name)
                .context("no such count")?;
            counts.insert(format!("{} {name}", place.name()), value.parse()?);
        }
    }
    Ok(counts)
}
