//! Everyone reaches everyone, in every shape and between any two shapes.

use std::{net::SocketAddr, time::Instant};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Lab, NodeSpec, Place, Serve, Traffic, url};

#[test]
fn bridge_nodes_reach_each_other() -> Result<()> {
    everyone_reaches_everyone("bridge", Cni::Bridge, Cni::Bridge)
}

#[test]
fn point_to_point_nodes_reach_each_other() -> Result<()> {
    everyone_reaches_everyone("ptp", Cni::PointToPoint, Cni::PointToPoint)
}

#[test]
fn vxlan_nodes_reach_each_other() -> Result<()> {
    everyone_reaches_everyone("vxlan", Cni::Vxlan, Cni::Vxlan)
}

#[test]
fn bridge_and_point_to_point_nodes_reach_each_other() -> Result<()> {
    everyone_reaches_everyone("bridge-ptp", Cni::Bridge, Cni::PointToPoint)
}

#[test]
fn bridge_and_vxlan_nodes_reach_each_other() -> Result<()> {
    everyone_reaches_everyone("bridge-vxlan", Cni::Bridge, Cni::Vxlan)
}

#[test]
fn point_to_point_and_vxlan_nodes_reach_each_other() -> Result<()> {
    everyone_reaches_everyone("ptp-vxlan", Cni::PointToPoint, Cni::Vxlan)
}

fn everyone_reaches_everyone(name: &str, a: Cni, b: Cni) -> Result<()> {
    let begin = Instant::now();
    let lab = Lab::builder(name)
        .node("a", a)
        .pod("a1")
        .pod("a2")
        .node("b", b)
        .pod("b1")
        .client("outside")
        .up()?;
    println!("{} is up after {:?}", lab.id(), begin.elapsed());
    let names = ["a", "a1", "a2", "b", "b1", "outside"];
    let places = names
        .iter()
        .map(|name| lab.place(name))
        .collect::<Result<Vec<_>>>()?;
    for place in &places {
        place.serve(&Serve::new().http(8080).udp(5353))?;
    }
    for from in &places {
        for to in &places {
            for address in to.addresses().both() {
                let what = || format!("{} to {} at {address}", from.name(), to.name());
                let http = from.get(&url(address, 8080), 2)?.only_from(to.name());
                let http = http.with_context(what)?;
                let udp = from
                    .ask(SocketAddr::new(address, 5353), 2)?
                    .only_from(to.name());
                let udp = udp.with_context(what)?;
                if let Some(own) = seen_as(from.name(), a, b, to.name()) {
                    let own = [lab.place(own)?.address_like(address)].into();
                    ensure!(
                        http.clients == own,
                        "{}: seen as {:?}",
                        what(),
                        http.clients
                    );
                    ensure!(udp.clients == own, "{}: seen as {:?}", what(), udp.clients);
                }
            }
        }
    }
    Ok(())
}

/// Whose address the server sees: the client's own, unless the client is a pod of a masquerading
/// node that talks to no pod and not to its own node. Nodes' own processes have a choice of
/// addresses: the `InternalIP`, the bridge's, the tunnel's.
fn seen_as<'a>(from: &'a str, a: Cni, b: Cni, to: &str) -> Option<&'a str> {
    let (node, cni) = match from {
        "a1" | "a2" => ("a", a),
        "b1" => ("b", b),
        "outside" => return Some(from),
        _ => return None,
    };
    let leaves = to == "outside" || ["a", "b"].contains(&to) && to != node;
    Some(if cni == Cni::Vxlan && leaves {
        node
    } else {
        from
    })
}

#[test]
fn large_transfers_arrive_whole() -> Result<()> {
    const BYTES: u64 = 100_000_000;
    for (cni, name) in [
        (Cni::Bridge, "bulk-bridge"),
        (Cni::PointToPoint, "bulk-ptp"),
        (Cni::Vxlan, "bulk-vxlan"),
    ] {
        Lab::builder(name)
            .node("a", cni)
            .pod("client")
            .node("b", cni)
            .pod("server")
            .run(|lab| {
                let (client, server) = (lab.pod("client")?, lab.pod("server")?);
                server.serve(&Serve::new().http(8080))?;
                for address in server.addresses().both() {
                    let down = client.download(&url(address, 8080), BYTES)?;
                    ensure!(down.is_intact() && down.bytes == BYTES, "{down:?}");
                    let up = client.upload(&url(address, 8080), BYTES)?;
                    ensure!(up.is_intact() && up.bytes == BYTES, "{up:?}");
                    println!(
                        "{name} {address}: {:.0} ms down, {:.0} ms up",
                        down.milliseconds, up.milliseconds
                    );
                }
                Ok(())
            })?;
    }
    Ok(())
}

#[test]
fn masquerading_nodes_hide_their_pods_from_the_outside_only() -> Result<()> {
    for cni in [Cni::Bridge, Cni::PointToPoint, Cni::Vxlan] {
        Lab::builder("masquerade")
            .node("a", NodeSpec::new(cni).masquerade(true))
            .pod("a1")
            .node("b", NodeSpec::new(cni).masquerade(true))
            .pod("b1")
            .client("outside")
            .run(|lab| {
                let (pod, other) = (lab.pod("a1")?, lab.pod("b1")?);
                let (node, outside) = (lab.node("a")?, lab.client("outside")?);
                other.serve(&Serve::new().http(8080))?;
                outside.serve(&Serve::new().http(8080))?;
                for address in other.addresses().both() {
                    let seen = pod.get(&url(address, 8080), 1)?.all_answered()?.clients;
                    ensure!(
                        seen == [pod.address_like(address)].into(),
                        "{cni:?}: {seen:?}"
                    );
                }
                for address in outside.addresses().both() {
                    let seen = pod.get(&url(address, 8080), 1)?.all_answered()?.clients;
                    ensure!(
                        seen == [node.address_like(address)].into(),
                        "{cni:?}: {seen:?}"
                    );
                }
                Ok(())
            })?;
    }
    Ok(())
}
