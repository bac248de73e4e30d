//! Uplinks that stand on other devices: a VLAN's, and a bond's of two. Of a bond the members are left to
//! it; a frame with a tag is left to its VLAN's device.

use anyhow::{Context, Result};
use netproxy_lab::{Cni, NodeSpec, Place, wait_until};

use crate::{cluster::LONGEST, command_line::rows, shape::two_nodes_as, shop::Shop};

#[test]
#[ignore = "needs VLAN devices: cargo xtask test kernel"]
fn services_are_served_over_a_vlan() -> Result<()> {
    over(
        "link set to-a nomaster\n\
         link add link to-a name to-a-100 type vlan id 100\n\
         link set to-a-100 master underlay up",
        "link add link eth0 name uplink type vlan id 100\n\
         link set uplink up",
        &[],
    )
}

#[test]
#[ignore = "needs bonds: cargo xtask test kernel"]
fn services_are_served_over_a_bond() -> Result<()> {
    over(
        "link add to-a-2 type veth peer name eth1 netns @node@\n\
         link set to-a-2 master underlay up",
        "link add uplink type bond mode active-backup miimon 100\n\
         link set eth0 down\n\
         link set eth0 master uplink\n\
         link set eth1 master uplink\n\
         link set uplink up",
        &["eth0", "eth1"],
    )
}

/// Changes the underlay's and node `a`'s end of its uplink, gives it what `eth0` had, and holds that
/// everybody is served, with programs on the new uplink and none on those devices.
fn over(underlay: &str, node_end: &str, unhooked: &[&str]) -> Result<()> {
    let spec = NodeSpec::new(Cni::PointToPoint);
    let shop = Shop::open(two_nodes_as("stacked", &spec, &spec))?;
    shop.cluster.hold(|| {
        let (node, peer) = (shop.node("a")?, shop.node("b")?);
        let fabric = shop.cluster.lab.fabric();
        fabric.ip(&underlay.replace("@node@", node.namespace().name()))?;
        for (own, length) in node.addresses().both().into_iter().zip([24, 64]) {
            node.ip(&format!("addr del {own}/{length} dev eth0"))?;
        }
        node.ip(node_end)?;
        let gateways = fabric.addresses().both();
        let pods = [
            peer.pod_cidrs().v4.to_string(),
            peer.pod_cidrs().v6.to_string(),
        ];
        for (family, own) in node.addresses().both().into_iter().enumerate() {
            let (gateway, pods) = (gateways[family], &pods[family]);
            let peer = peer.address_like(own);
            let length = [24, 64][family];
            node.ip(&format!(
                "addr add {own}/{length} dev uplink\n\
                 route replace default via {gateway} dev uplink\n\
                 route replace {pods} via {peer}"
            ))?;
        }
        wait_until("the programs are on the uplink", LONGEST, || {
            let rows = rows(&node, &["check"])?;
            let found = rows.iter().filter_map(|row| row["found"].as_str());
            let mut attached = found.filter(|found| found.starts_with("attached by"));
            let attached = attached.next().context("nothing is attached")?;
            let is_hooked = |name: &str| attached.contains(&format!(" {name} ("));
            Ok(is_hooked("uplink") && !unhooked.iter().any(|name| is_hooked(name)))
        })?;
        shop.is_open().context("over the new uplink")
    })
}
