//! The underlay: a bridge in a namespace of its own that nodes and clients are plugged into. It is
//! also their default gateway, and knows which node has which pods, as a routed data centre would.
//! A second one, `underlay-2`, is there for the second NICs of nodes; a cloud's network, it takes from a
//! NIC only what may come from there.

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;

use crate::{
    Place,
    addresses::{
        Addresses, GATEWAY_V4, GATEWAY_V6, SECOND_GATEWAY, UNDERLAY_V4_LENGTH as V4_LENGTH,
        UNDERLAY_V6_LENGTH as V6_LENGTH,
    },
    cni::{NodePlan, device_name},
    journal::Journal,
    orders,
    place::Site,
};

/// The underlay's namespace.
#[derive(Debug)]
pub(crate) struct Fabric {
    site: Site,
}

impl Fabric {
    pub(crate) fn create(journal: &Arc<Journal>, cgroup: PathBuf) -> Result<Self> {
        let addresses = Addresses {
            v4: GATEWAY_V4,
            v6: GATEWAY_V6,
        };
        let site = Site::create(journal, "fabric", "fabric", addresses, cgroup)?;
        site_settings(&site)?;
        let fabric = Self { site };
        fabric.ip(&format!(
            "link set lo up\n\
             link add underlay type bridge mcast_snooping 0\n\
             addr add {GATEWAY_V4}/{V4_LENGTH} dev underlay\n\
             addr add {GATEWAY_V6}/{V6_LENGTH} dev underlay nodad\n\
             link set underlay up\n\
             link add underlay-2 type bridge mcast_snooping 0\n\
             addr add {second_v4}/{V4_LENGTH} dev underlay-2\n\
             addr add {second_v6}/{V6_LENGTH} dev underlay-2 nodad\n\
             link set underlay-2 up",
            second_v4 = SECOND_GATEWAY.v4,
            second_v6 = SECOND_GATEWAY.v6,
        ))?;
        Ok(fabric)
    }

    /// Gives `place` an `eth0` in the underlay, with its addresses and a default route.
    pub(crate) fn plug(&self, place: &dyn Place) -> Result<()> {
        let port = device_name("to-", place.name());
        let namespace = place.namespace().name();
        self.ip(&format!(
            "link add {port} type veth peer name eth0 netns {namespace}\n\
             link set {port} master underlay up"
        ))?;
        let Addresses { v4, v6 } = place.addresses();
        place.ip(&format!(
            "link set lo up\n\
             addr add {v4}/{V4_LENGTH} dev eth0\n\
             addr add {v6}/{V6_LENGTH} dev eth0 nodad\n\
             link set eth0 up\n\
             route add default via {GATEWAY_V4}\n\
             route add default via {GATEWAY_V6}"
        ))
    }

    /// Gives a node an `eth1` in the second underlay. What has its source leaves by it, and only that
    /// (table 101), as where clouds attach several NICs to a machine.
    pub(crate) fn plug_second(&self, node: &dyn Place, addresses: Addresses) -> Result<()> {
        let ports = [
            device_name("to-", node.name()),
            device_name("to2-", node.name()),
        ];
        let [first, second] = &ports;
        let namespace = node.namespace().name();
        self.ip(&format!(
            "link add {second} type veth peer name eth1 netns {namespace}\n\
             link set {second} master underlay-2 up"
        ))?;
        let Addresses { v4, v6 } = addresses;
        let Addresses {
            v4: gateway_v4,
            v6: gateway_v6,
        } = SECOND_GATEWAY;
        node.ip(&format!(
            "addr add {v4}/{V4_LENGTH} dev eth1\n\
             addr add {v6}/{V6_LENGTH} dev eth1 nodad\n\
             link set eth1 up\n\
             route add default via {gateway_v4} dev eth1 table 101\n\
             route add default via {gateway_v6} dev eth1 table 101"
        ))?;
        for own in addresses.both() {
            node.add_rule(own, &format!("from {own} lookup 101"))?;
        }
        let own = node.addresses();
        let only_from = |port: &str, others: Addresses| {
            format!(
                "chain {port} {{\n\
                   type filter hook ingress device \"{port}\" priority 0;\n\
                   ip saddr {} counter drop\n\
                   ip6 saddr {} counter drop\n\
                 }}\n",
                others.v4, others.v6
            )
        };
        let ruleset = format!(
            "table netdev sources {{\n{}{}}}\n",
            only_from(first, addresses),
            only_from(second, own)
        );
        orders::nft(self.command("nft".as_ref())?, &ruleset)
    }

    /// Sends traffic for the node's pods to the node.
    pub(crate) fn route_pods(&self, node: &NodePlan) -> Result<()> {
        let NodePlan {
            addresses: Addresses { v4, v6 },
            pods,
            ..
        } = node;
        self.ip(&format!(
            "route add {} via {v4}\nroute add {} via {v6}",
            pods.v4, pods.v6
        ))
    }
}

impl Place for Fabric {
    fn site(&self) -> &Site {
        &self.site
    }
}

/// A router that does not tell the neighbours about shorter ways: paths stay as they are.
fn site_settings(site: &Site) -> Result<()> {
    site.set(&[
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
    ])
}
