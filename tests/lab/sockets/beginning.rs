//! When an agent that starts from nothing attaches to sockets: it takes a while, in which packets are translated already,
//! unless there is another proxy whose talks they would not be told from.

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Node, Place as _};

use super::shop;
use crate::{cluster::await_begun, shop::Shop};

/// What the log tells of the sockets, and of what is served.
const ATTACHED: &str = "balancing at the socket";
const SERVED: &str = " synced ";

#[test]
fn sockets_wait_until_packets_are_translated() -> Result<()> {
    let shop = shop("begin-alone")?;
    shop.cluster.hold(|| {
        let log = begin_anew(&shop, |_| Ok(()))?;
        ensure!(place(&log, SERVED)? < place(&log, ATTACHED)?, "{log}");
        Ok(())
    })
}

#[test]
fn sockets_come_first_where_another_proxy_serves() -> Result<()> {
    let shop = shop("begin-beside")?;
    shop.cluster.hold(|| {
        let log = begin_anew(&shop, |node| node.nft("table ip kube-proxy { }"))?;
        ensure!(place(&log, ATTACHED)? < place(&log, SERVED)?, "{log}");
        Ok(())
    })
}

/// Removes all that netproxy has on a node, has something done there, and starts the agent again; its log.
fn begin_anew(shop: &Shop, meanwhile: impl FnOnce(&Node) -> Result<()>) -> Result<String> {
    let (node, agent) = (shop.node("a")?, shop.cluster.agent("a")?);
    agent.stop()?;
    node.netproxy(&["cleanup"])?;
    meanwhile(&node)?;
    agent.restart()?;
    await_begun(node.name(), agent)?;
    Ok(agent.log())
}

fn place(log: &str, what: &str) -> Result<usize> {
    log.find(what)
        .with_context(|| format!("no `{what}`: {log}"))
}
