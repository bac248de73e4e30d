//! Processes that are balanced at their sockets.

mod attachment;
mod beginning;
mod crowd;
mod frontends;
mod mapped;
mod on_the_wire;
mod real_clients;
mod refusal;
mod root;
mod scope;
mod talks;
mod upgrade;

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use netproxy_lab::{AgentOptions, Cni, Node};

use crate::{cluster::Cluster, command_line::rows, shape::two_nodes, shop::Shop};

/// A shop whose agents balance at the socket.
fn shop(name: &str) -> Result<Shop> {
    let builder = two_nodes(name, Cni::Bridge, Cni::PointToPoint);
    Shop::open_in(Cluster::up_with(builder, AgentOptions::at_sockets)?)
}

/// Holds a rule in a shop that it shares with others. Nothing may be counted there, nor the offers
/// changed.
fn in_shop(rule: impl Fn(&Shop) -> Result<()>) -> Result<()> {
    static SHOP: OnceLock<Result<Shop, String>> = OnceLock::new();
    let shop = SHOP.get_or_init(|| shop("sockets").map_err(|error| format!("{error:#}")));
    let shop = shop
        .as_ref()
        .map_err(|error| anyhow!("the shop cannot be opened: {error}"))?;
    shop.cluster.hold(|| rule(shop))
}

/// What a node's programs have counted under this name.
fn count(node: &Node, name: &str) -> Result<u64> {
    let rows = rows(node, &["counters"])?;
    let row = rows.iter().find(|row| row["name"] == name);
    let row = row.with_context(|| format!("no counter {name}"))?;
    row["count"].as_u64().context("no number")
}
