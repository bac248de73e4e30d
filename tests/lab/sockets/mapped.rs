//! IPv4 frontends that sockets of IPv6 ask by their mapped addresses.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};

use super::{count, shop};
use crate::shop::Door;

#[test]
fn a_mapped_frontend_is_reached_and_is_whom_the_socket_sees() -> Result<()> {
    let shop = shop("mapped")?;
    shop.cluster.hold(|| {
        let node = shop.node("a")?;
        let before = count(&node, "socket_translated")?;
        for offer in [&shop.near, &shop.far, &shop.both] {
            let door = offer.at_cluster_ips()[0];
            let mapped = Door {
                http: mapped(door.http)?,
                udp: mapped(door.udp)?,
            };
            mapped.is_answered_by(&shop.shell()?, &offer.endpoints, 20)?;
            mapped.is_answered_by(&node, &offer.endpoints, 20)?;
        }
        let sockets = count(&node, "socket_translated")? - before;
        ensure!(sockets >= 3 * 2 * 2 * 20, "{sockets} sockets were balanced");
        Ok(())
    })
}

fn mapped(address: SocketAddr) -> Result<SocketAddr> {
    let IpAddr::V4(ip) = address.ip() else {
        return None.context("no IPv4 address");
    };
    Ok(SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()))
}
