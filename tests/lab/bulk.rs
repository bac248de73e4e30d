//! Much data on one connection: what segmentation offload does to packets that are translated.

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Place, Traffic};

use crate::{
    shape::two_nodes,
    shop::{Door, Shop},
};

const BYTES: u64 = 100_000_000;

#[test]
fn large_transfers_arrive_whole_between_bridges() -> Result<()> {
    large_transfers_arrive_whole("bulk-bridge", Cni::Bridge, 1500)
}

#[test]
fn large_transfers_arrive_whole_between_point_to_point_nodes() -> Result<()> {
    large_transfers_arrive_whole("bulk-ptp", Cni::PointToPoint, 1500)
}

#[test]
fn large_transfers_arrive_whole_through_the_overlay() -> Result<()> {
    large_transfers_arrive_whole("bulk-vxlan", Cni::Vxlan, 1450)
}

/// Every path in one family or the other, both ways: what the families share is the same code, and
/// what they do not is on every path.
fn large_transfers_arrive_whole(name: &str, cni: Cni, mtu: u16) -> Result<()> {
    let shop = Shop::open(two_nodes(name, cni, cni))?;
    shop.cluster.hold(|| {
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        let addressed = shell.run(&["ip", "link", "show", "eth0"])?;
        ensure!(addressed.contains(&format!("mtu {mtu} ")), "{addressed}");
        offload(&shell, "eth0")?;
        offload(&outside, "eth0")?;
        for node in shop.cluster.lab.nodes() {
            offload(node, "eth0")?;
            for pod in node.pods() {
                offload(node, pod.host_device())?;
            }
        }

        let [near, _] = shop.near.at_cluster_ips();
        let [_, far] = shop.far.at_cluster_ips();
        is_intact("local endpoint", &shell, near)?;
        is_intact("remote endpoint", &shell, far)?;
        for door in shop.far.at_node(&node) {
            is_intact("NodePort, remote endpoint", &outside, door)?;
        }
        Ok(())
    })
}

fn is_intact(what: &str, from: &dyn Place, door: Door) -> Result<()> {
    let down = from.download(&door.url(), BYTES)?;
    ensure!(
        down.is_intact() && down.bytes == BYTES,
        "{what}, {door:?}: {down:?}"
    );
    let up = from.upload(&door.url(), BYTES)?;
    ensure!(
        up.is_intact() && up.bytes == BYTES,
        "{what}, {door:?}: {up:?}"
    );
    println!(
        "{what}, {}: {:.0} ms down, {:.0} ms up",
        door.http, down.milliseconds, up.milliseconds
    );
    Ok(())
}

/// Makes the device hand on large packets and put small ones together, as network cards do; a
/// veth pair does the former of itself.
fn offload(place: &dyn Place, device: &str) -> Result<()> {
    let ethtool = |words: &[&str]| {
        place
            .run(&[&["ethtool"], words].concat())
            .context("is it installed? apt-get install ethtool")
    };
    ethtool(&["--features", device, "gro", "on"])?;
    let features = ethtool(&["--show-features", device])?;
    for name in [
        "tcp-segmentation-offload",
        "generic-segmentation-offload",
        "generic-receive-offload",
    ] {
        ensure!(
            features.contains(&format!("{name}: on")),
            "{}, {device}: {name} is off:\n{features}",
            place.name()
        );
    }
    Ok(())
}
