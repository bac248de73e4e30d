//! XDP in the driver, on devices that are like NICs: whole flows go through it, all else by tc, and nobody notices
//! but by its speed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{AgentOptions, Cni, Lab, Load, Node, Place, Traffic, wait_until};

use crate::{
    cluster::{Cluster, LONGEST},
    foreign::Foreign,
    shape::two_nodes,
    shop::Shop,
};

const BYTES: u64 = 30_000_000;

#[test]
fn whole_flows_go_through_the_driver_and_everything_else_by_tc() -> Result<()> {
    for cni in [Cni::PointToPoint, Cni::Bridge] {
        let (shop, _ports) = open("xdp", cni)?;
        shop.cluster.hold(|| {
            let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
            let before = frames_sent(&node)?;
            for door in shop.far.at_node(&node) {
                door.is_answered_by(&outside, &shop.far.endpoints, 30)?;
                let down = outside.download(&door.url(), BYTES)?;
                ensure!(
                    down.is_intact() && down.bytes == BYTES,
                    "{door:?}: {down:?}"
                );
                let up = outside.upload(&door.url(), BYTES)?;
                ensure!(up.is_intact() && up.bytes == BYTES, "{door:?}: {up:?}");
            }
            let sent = frames_sent(&node)? - before;
            println!("{cni:?}: {sent} frames left from XDP");
            // Four transfers of so many bytes are about 20 000 frames each, and as many acknowledgements.
            ensure!(sent > 40_000, "only {sent} frames left from XDP");

            for offer in [&shop.near, &shop.far, &shop.both] {
                for door in offer.at_cluster_ips() {
                    door.is_answered_by(&shell, &offer.endpoints, 30)?;
                    door.is_answered_by(&node, &offer.endpoints, 30)?;
                }
                for door in offer.at_node(&node) {
                    door.is_answered_by(&outside, &offer.endpoints, 30)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A tunnel sends no frames of others, and what leaves by one is sealed by the kernel.
#[test]
fn what_leaves_by_a_tunnel_is_left_to_tc() -> Result<()> {
    let (shop, _ports) = open("xdp-vxlan", Cni::Vxlan)?;
    shop.cluster.hold(|| {
        let (outside, node) = (shop.outside()?, shop.node("a")?);
        for door in shop.far.at_node(&node) {
            door.is_answered_by(&outside, &shop.far.endpoints, 30)?;
        }
        Ok(())
    })
}

#[test]
fn requests_go_on_while_agents_come_and_go_with_and_without_xdp() -> Result<()> {
    let (shop, _ports) = open("xdp-restart", Cni::PointToPoint)?;
    shop.cluster.hold(|| {
        let (outside, node) = (shop.outside()?, shop.node("a")?);
        let mut loads = Vec::new();
        for door in shop.far.at_node(&node) {
            let load = Load::new(&door.url())
                .timeout(Duration::from_secs(5))
                .interval(Duration::from_millis(5));
            loads.push((outside.load(&load)?, door));
            loads.push((outside.load(&load.keep_alive())?, door));
        }
        let agent = shop.cluster.agent("a")?;
        for _ in 0..2 {
            agent.kill9()?;
            agent.restart()?;
            wait_until("the new agent has taken over", LONGEST, || {
                Ok(agent.log().contains("XDP attached"))
            })?;
            shop.cluster.await_served(&shop.far.service)?;
        }
        for (load, door) in loads {
            let report = load.stop()?;
            ensure!(
                report.failed == 0 && report.answered > 0,
                "{door:?}: {report:#?}"
            );
        }

        node.netproxy(&["cleanup"])
            .context("while an agent runs")
            .expect_err("refused");
        agent.stop()?;
        node.netproxy(&["cleanup"])?;
        let shown = node.run(&["ip", "link", "show", "eth0"])?;
        ensure!(!shown.contains("prog/xdp"), "{shown}");
        Ok(())
    })
}

#[test]
fn a_device_that_has_an_xdp_program_of_another_is_left_to_tc() -> Result<()> {
    let mut foreign = Foreign::load()?;
    let lab = two_nodes("xdp-other", Cni::PointToPoint, Cni::PointToPoint);
    let shop = Shop::open_in(Cluster::up(lab)?)?;
    shop.cluster.hold(|| {
        let (outside, node) = (shop.outside()?, shop.node("a")?);
        foreign.attach_early(&node, "eth0")?;
        shop.cluster.agent("a")?.stop()?;

        let options = AgentOptions::manifests(shop.cluster.objects.directory());
        let agent = node.start_agent(&options.argument("--xdp").argument("native"))?;

        wait_until("the agent says so", LONGEST, || {
            Ok(agent.log().contains("no XDP on the device"))
        })?;
        for door in shop.far.at_node(&node) {
            door.is_answered_by(&outside, &shop.far.endpoints, 10)?;
        }
        Ok(())
    })
}

#[test]
fn no_device_has_xdp_by_itself_that_is_no_nic() -> Result<()> {
    let lab = two_nodes("xdp-auto", Cni::PointToPoint, Cni::PointToPoint);
    let cluster = Cluster::up_with(lab, |options| options.argument("--xdp").argument("auto"))?;
    let shop = Shop::open_in(cluster)?;
    shop.cluster.hold(|| {
        let node = shop.node("a")?;
        let shown = node.run(&["ip", "link", "show", "eth0"])?;
        ensure!(!shown.contains("prog/xdp"), "{shown}");
        Ok(())
    })
}

/// A shop whose agents have XDP, and whose devices are like NICs.
fn open(name: &str, cni: Cni) -> Result<(Shop, Foreign)> {
    let cluster = Cluster::up_with(two_nodes(name, cni, cni), |options| {
        options.argument("--xdp").argument("native")
    })?;
    let mut foreign = Foreign::load()?;
    make_like_nics(&cluster.lab, &mut foreign)?;
    Ok((Shop::open_in(cluster)?, foreign))
}

/// What NICs do, and veth pairs do not: checksums are complete on the wire, and frames arrive that the other
/// end's XDP program sends back (a veth only takes them if it has an XDP program itself: `veth_xdp_flush`).
fn make_like_nics(lab: &Lab, foreign: &mut Foreign) -> Result<()> {
    let fill_in = |place: &dyn Place| {
        place
            .run(&["ethtool", "--features", "eth0", "tx", "off"])
            .with_context(|| place.name().to_owned())
    };
    let outside = lab.client("outside")?;
    let mut places: Vec<&dyn Place> = vec![&outside];
    places.extend(lab.nodes().iter().map(|node| node as &dyn Place));
    for place in places {
        let port = format!("to-{}", place.name());
        foreign.attach_early(lab.fabric(), &port)?;
        fill_in(place)?;
    }
    for pod in lab.nodes().iter().flat_map(Node::pods) {
        fill_in(&pod)?;
    }
    Ok(())
}

/// How many frames XDP programs have sent back out by the device that they came in by.
fn frames_sent(node: &dyn Place) -> Result<u64> {
    let statistics = node.run(&["ethtool", "--statistics", "eth0"])?;
    let counts = statistics.lines().filter_map(|line| {
        let (name, count) = line.trim().split_once(": ")?;
        name.ends_with("_xdp_tx")
            .then(|| count.parse::<u64>().ok())?
    });
    let counts: Vec<_> = counts.collect();
    ensure!(!counts.is_empty(), "no such statistics: {statistics}");
    Ok(counts.iter().sum())
}
