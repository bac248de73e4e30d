//! A directory of manifests that changes while agents follow it.

use std::time::Duration;

use anyhow::Result;
use netproxy_lab::{AgentOptions, Cni, Get, Objects, Place, Serve, Traffic, objects, wait_until};

use crate::{
    cluster::{LONGEST, await_served_on},
    shape::two_nodes,
    shop::{Offer, Shop},
};

#[test]
fn traffic_follows_a_changed_slice() -> Result<()> {
    let shop = Shop::open(two_nodes("changed", Cni::Bridge, Cni::Bridge))?;
    let cluster = &shop.cluster;
    cluster.hold(|| {
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        for pod in ["web-a", "web-b", "web-a"] {
            let offer = Offer::new("far", 2)?.endpoint(&cluster.lab.pod(pod)?);
            cluster.put(&offer.service)?;
            for door in offer.at_cluster_ips() {
                door.is_answered_by(&shell, &offer.endpoints, 5)?;
            }
            for door in offer.at_node(&node) {
                door.is_answered_by(&outside, &offer.endpoints, 5)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_broken_file_is_named_and_changes_nothing_until_it_is_repaired() -> Result<()> {
    let shop = Shop::open(two_nodes("broken", Cni::Bridge, Cni::Bridge))?;
    let cluster = &shop.cluster;
    cluster.hold(|| {
        let shell = shop.shell()?;
        let file = cluster.objects.file(&shop.far.service);
        let broken = "apiVersion: v1\nkind: Service\nmetadata: {name: [\n";
        objects::replace(&file, broken)?;
        for node in cluster.lab.nodes() {
            let agent = cluster.agent(node.name())?;
            wait_until("the broken file is named with a line", LONGEST, || {
                let log = agent.log();
                let told = |line: &&str| line.contains(&*file.to_string_lossy());
                Ok(log.lines().filter(told).any(|line| {
                    line.contains("ERROR") && line.contains("line=") && line.contains("reason=")
                }))
            })?;
        }
        for door in shop.far.at_cluster_ips() {
            door.is_answered_by(&shell, &shop.far.endpoints, 5)?;
        }

        let repaired = Offer::new("far", 2)?.endpoint(&cluster.lab.pod("web-a")?);
        cluster.put(&repaired.service)?;
        for door in repaired.at_cluster_ips() {
            door.is_answered_by(&shell, &repaired.endpoints, 5)?;
        }
        Ok(())
    })
}

#[test]
fn a_removed_service_is_served_no_longer_and_others_are() -> Result<()> {
    let shop = Shop::open(two_nodes("removed", Cni::Bridge, Cni::Bridge))?;
    let cluster = &shop.cluster;
    cluster.hold(|| {
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        cluster.objects.remove(&shop.near.service)?;

        let [cluster_ip, _] = shop.near.at_cluster_ips();
        let [node_port, _] = shop.near.at_node(&node);
        for (from, door) in [(&shell as &dyn Place, cluster_ip), (&outside, node_port)] {
            let get = Get::new(&door.url()).timeout(Duration::from_millis(300));
            wait_until("nobody answers", LONGEST, || {
                Ok(from.get_with(&get)?.answered() == 0)
            })?;
        }
        for door in shop.far.at_cluster_ips() {
            door.is_answered_by(&shell, &shop.far.endpoints, 5)?;
        }

        cluster.put(&shop.near.service)?;
        for door in shop.near.at_cluster_ips() {
            door.is_answered_by(&shell, &shop.near.endpoints, 5)?;
        }
        Ok(())
    })
}

#[test]
fn agents_with_directories_of_their_own_do_not_disturb_each_other() -> Result<()> {
    let lab = two_nodes("apart", Cni::Bridge, Cni::Bridge)
        .pod("shell-b")
        .up()?;
    let work = || {
        // The same cluster IP means one thing on node a, and another on node b.
        let mut doors = Vec::new();
        for (node, pod, shell) in [("a", "web-a", "shell"), ("b", "web-b", "shell-b")] {
            let (node, pod) = (lab.node(node)?, lab.pod(pod)?);
            let directory = lab.directory().join("objects").join(node.name());
            let objects = Objects::in_directory(directory)?;
            objects.put_node(&node)?;
            let offer = Offer::new("web", 1)?.endpoint(&pod);
            objects.put(&offer.service)?;
            pod.serve(&Serve::new().http(8080).udp(5353))?;
            node.start_agent(&AgentOptions::manifests(objects.directory()))?;
            await_served_on(&node, &offer.service)?;
            doors.push((lab.pod(shell)?, offer));
        }
        for (shell, offer) in &doors {
            for door in offer.at_cluster_ips() {
                door.is_answered_by(shell, &offer.endpoints, 10)?;
            }
        }
        Ok(())
    };
    work().inspect_err(|_| eprintln!("{}", lab.logs()))
}
