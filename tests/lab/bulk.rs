//! Much data on one connection: what segmentation offload does to packets that are translated.

use anyhow::{Result, ensure};
use netproxy_lab::{Place, Traffic};

use crate::{
    shape,
    shop::{Door, Shop},
};

const BYTES: u64 = 100_000_000;

/// Every path in one family or the other, both ways: what the families share is the same code, and
/// what they do not is on every path.
#[test]
fn large_transfers_arrive_whole() -> Result<()> {
    shape::in_each(large_transfers_arrive_whole_in)
}

fn large_transfers_arrive_whole_in(shop: &Shop) -> Result<()> {
    let (shell, outside) = (shop.shell()?, shop.outside()?);
    has_offloads(&shell)?;
    has_offloads(&outside)?;
    let [near, _] = shop.near.at_cluster_ips();
    let [_, far] = shop.far.at_cluster_ips();
    let [through_v4, through_v6] = shop.far.at_node(&shop.node("a")?);
    is_intact("local endpoint", &shell, near)?;
    is_intact("remote endpoint", &shell, far)?;
    is_intact("NodePort, remote endpoint", &outside, through_v4)?;
    is_intact("NodePort, remote endpoint", &outside, through_v6)
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

/// Holds that the place's device hands on large packets: the test would show nothing without.
fn has_offloads(place: &dyn Place) -> Result<()> {
    let features = place.run(&["ethtool", "--show-features", "eth0"])?;
    for name in [
        "tcp-segmentation-offload",
        "generic-segmentation-offload",
        "generic-receive-offload",
    ] {
        ensure!(
            features.contains(&format!("{name}: on")),
            "{}: {name} is off:\n{features}",
            place.name()
        );
    }
    Ok(())
}
