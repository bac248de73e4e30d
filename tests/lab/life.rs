//! Pods and connections that come and go while the agent runs.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Node, Place, Serve, Traffic, wait_for, wait_until};

use crate::{
    cluster::LONGEST,
    shape::{self, two_nodes},
    shop::{Offer, Shop, is},
};

#[test]
fn a_new_pod_is_served_as_client_and_as_endpoint() -> Result<()> {
    shape::of_each_kind(|cni| {
        let shop = Shop::open(two_nodes("new-pod", cni, cni))?;
        let cluster = &shop.cluster;
        cluster.hold(|| {
            let late = cluster.lab.node("a")?.add_pod("late")?;
            for door in shop.far.at_cluster_ips() {
                // Its device may be attached a moment after its first packet.
                let first = || late.get(&door.url(), 1)?.all_answered().map(|_| true);
                wait_until("the new pod is served", LONGEST, first)?;
                door.is_answered_by(&late, &shop.far.endpoints, 3)?;
            }

            late.serve(&Serve::new().http(8080).udp(5353))?;
            let offer = Offer::new("late", 9)?.endpoint(&late);
            cluster.put(&offer.service)?;
            let shell = cluster.lab.pod("shell")?;
            for door in offer.at_cluster_ips() {
                door.is_answered_by(&shell, &offer.endpoints, 3)?;
            }
            Ok(())
        })
    })
}

#[test]
fn a_removed_pod_leaves_no_links_behind() -> Result<()> {
    shape::of_each_kind(|cni| {
        let shop = Shop::open(two_nodes("removed-pod", cni, cni))?;
        shop.cluster.hold(|| {
            let node = shop.node("a")?;
            let before = links(&node)?;
            ensure!(!before.is_empty(), "no links are pinned");
            let short = node.add_pod("short")?;
            wait_for(
                "the new pod's links",
                LONGEST,
                || links(&node),
                |now| now.len() == before.len() + 2,
            )?;

            node.ip(&format!("link delete {}", short.host_device()))?;

            wait_for(
                "the links of before",
                LONGEST,
                || links(&node),
                |now| *now == before,
            )
            .map(drop)
        })
    })
}

/// The names of the node's pinned links.
pub(crate) fn links(node: &Node) -> Result<BTreeSet<String>> {
    let pins = node.bpffs().join("netproxy");
    let mut names = BTreeSet::new();
    for schema in fs::read_dir(&pins).with_context(|| format!("read {}", pins.display()))? {
        let directory = schema?.path().join("links");
        for link in
            fs::read_dir(&directory).with_context(|| format!("read {}", directory.display()))?
        {
            names.insert(link?.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

#[test]
fn a_connection_outlives_its_endpoints_place_in_the_slice() -> Result<()> {
    let shop = Shop::open(two_nodes("held", Cni::Bridge, Cni::PointToPoint))?;
    let cluster = &shop.cluster;
    cluster.hold(|| {
        let lab = &cluster.lab;
        let (shell, outside, node) = (lab.pod("shell")?, lab.client("outside")?, lab.node("a")?);
        let moved = Offer::new("far", 2)?.endpoint(&lab.pod("web-a")?);
        let mut held = Vec::new();
        for door in shop.far.at_cluster_ips() {
            held.push(shell.hold(&door.url())?);
        }
        for door in shop.far.at_node(&node) {
            held.push(outside.hold(&door.url())?);
        }

        cluster.put(&moved.service)?;
        for door in moved.at_cluster_ips() {
            door.is_answered_by(&shell, &moved.endpoints, 10)?;
        }
        for door in moved.at_node(&node) {
            door.is_answered_by(&outside, &moved.endpoints, 10)?;
        }

        for hold in held {
            let report = hold.stop()?;
            ensure!(report.broken.is_none(), "{report:?}");
            is(
                "who answered",
                &report.endpoints,
                &["web-b".to_owned()].into(),
            )?;
        }
        Ok(())
    })
}

#[test]
fn a_service_without_endpoints_answers_nobody_and_recovers() -> Result<()> {
    let shop = Shop::open(two_nodes("empty", Cni::Bridge, Cni::Bridge))?;
    let cluster = &shop.cluster;
    cluster.hold(|| {
        let shell = cluster.lab.pod("shell")?;
        let [door, _] = shop.far.at_cluster_ips();
        cluster.put(&shop.far.service.clone().without_endpoints())?;
        let get =
            netproxy_lab::Get::new(&door.url()).timeout(std::time::Duration::from_millis(200));
        let answers = shell.get_with(&get)?;
        ensure!(answers.answered() == 0, "{answers:?}");

        cluster.put(&shop.far.service)?;

        wait_until("it is answered again", LONGEST, || {
            door.is_answered_by(&shell, &shop.far.endpoints, 3)
                .map(|_| true)
        })
    })
}
