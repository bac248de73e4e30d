//! `netproxy cleanup`: nothing of netproxy stays on the node.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType};
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
    ensure!(!attached(&node)?.is_empty(), "no program is attached");
    ensure!(pins.exists(), "nothing is pinned at {}", pins.display());
    shop.cluster.agent("a")?.stop()?;

    let said = node.netproxy(&["cleanup"])?;

    ensure!(said.contains("removed"), "{said}");
    let left = attached(&node)?;
    ensure!(left.is_empty(), "{left:?} are still attached");
    ensure!(!pins.exists(), "{} is still there", pins.display());
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
        !attached(&other)?.is_empty(),
        "nothing is attached on the other node"
    );
    for door in shop.near.at_cluster_ips() {
        door.is_answered_by(&web_b, &shop.near.endpoints, 3)?;
    }
    Ok(())
}

/// The names of netproxy's programs on the devices of the node, by tcx and by clsact.
fn attached(node: &Node) -> Result<BTreeSet<String>> {
    let text = node.run(&["ip", "-json", "link"])?;
    let links: Vec<serde_json::Value> = serde_json::from_str(&text)?;
    let is_ours = |name: &&str| name.starts_with("tc_");
    let mut programs = BTreeSet::new();
    for device in links.iter().filter_map(|link| link["ifname"].as_str()) {
        for (hook, name) in [
            (TcAttachType::Ingress, "ingress"),
            (TcAttachType::Egress, "egress"),
        ] {
            let query = || SchedClassifier::query_tcx(device, hook).context("query tcx");
            let (_, by_tcx) = node.namespace().inside(query)?;
            let names = by_tcx.iter().filter_map(ProgramInfo::name_as_str);
            programs.extend(names.filter(is_ours).map(str::to_owned));
            let by_clsact = node.run(&["tc", "filter", "show", "dev", device, name])?;
            programs.extend(
                by_clsact
                    .split_whitespace()
                    .filter(is_ours)
                    .map(str::to_owned),
            );
        }
    }
    Ok(programs)
}
