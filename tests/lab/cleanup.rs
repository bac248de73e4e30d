//! `netproxy cleanup`: nothing of netproxy stays on the node.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Get, Node, Place, Traffic};

use crate::{cluster::Cluster, shape::two_nodes, shop::Shop};

#[test]
fn cleanup_removes_every_trace_of_tcx() -> Result<()> {
    let shop = Shop::open(two_nodes("cleanup", Cni::Bridge, Cni::Vxlan))?;
    shop.cluster.hold(|| cleanup_removes_every_trace(&shop))
}

#[test]
fn cleanup_removes_every_trace_of_clsact() -> Result<()> {
    let lab = two_nodes("cleanup-clsact", Cni::Bridge, Cni::Vxlan);
    let cluster = Cluster::up_with(lab, |options| {
        options.argument("--attach").argument("clsact")
    })?;
    let shop = Shop::open_in(cluster)?;
    shop.cluster.hold(|| cleanup_removes_every_trace(&shop))
}

fn cleanup_removes_every_trace(shop: &Shop) -> Result<()> {
    let (shell, node, other) = (shop.shell()?, shop.node("a")?, shop.node("b")?);
    let web_b = shop.cluster.lab.pod("web-b")?;
    let pins = node.bpffs().join("netproxy");
    // What follows would show nothing if there were nothing to remove.
    ensure!(
        attached(&node)?.contains("tc_ingress"),
        "{}",
        attached(&node)?
    );
    ensure!(pins.exists(), "nothing is pinned at {}", pins.display());
    shop.cluster.agent("a")?.stop()?;

    let said = node.netproxy(&["cleanup"])?;

    ensure!(said.contains("removed"), "{said}");
    let left = attached(&node)?;
    ensure!(
        !left.contains("tc_ingress") && !left.contains("tc_egress"),
        "{left}"
    );
    ensure!(!pins.exists(), "{} is there", pins.display());
    for offer in [&shop.near, &shop.far] {
        for door in offer.at_cluster_ips() {
            let get = Get::new(&door.url()).timeout(Duration::from_millis(300));
            let answers = shell.get_with(&get)?;
            ensure!(answers.answered() == 0, "{door:?}: {answers:?}");
        }
    }
    let again = node.netproxy(&["cleanup"])?;
    ensure!(again.contains("nothing to remove"), "{again}");
    // The other node is none of its business.
    ensure!(
        attached(&other)?.contains("tc_ingress"),
        "{}",
        attached(&other)?
    );
    for door in shop.near.at_cluster_ips() {
        door.is_answered_by(&web_b, &shop.near.endpoints, 3)?;
    }
    Ok(())
}

/// The programs on the devices of the node.
fn attached(node: &Node) -> Result<String> {
    node.run(&["bpftool", "net", "show"])
        .context("is it installed? apt-get install bpftool")
}
