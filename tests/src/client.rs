//! A machine outside of the cluster: on the underlay, with no pods.

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;
use ipnet::IpNet;

use crate::{Node, Place, addresses, fabric::Fabric, journal::Journal, place::Site};

/// An outside client. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Client {
    site: Arc<Site>,
}

impl Client {
    /// Makes client `number` (from 1).
    pub(crate) fn create(
        journal: &Arc<Journal>,
        fabric: &Fabric,
        name: &str,
        number: u8,
        cgroup: PathBuf,
    ) -> Result<Self> {
        let site = Site::create(
            journal,
            "client",
            name,
            addresses::of_client(number),
            cgroup,
        )?;
        // Its packets for pods go to the gateway, which sits on the same segment as the node and
        // would tell it the shorter way.
        site.set(&[
            ("ipv4/conf/all/accept_redirects", "0"),
            ("ipv4/conf/default/accept_redirects", "0"),
            ("ipv6/conf/default/accept_redirects", "0"),
        ])?;
        let client = Self {
            site: Arc::new(site),
        };
        fabric.plug(&client)?;
        Ok(client)
    }

    /// Sends what goes to `net`, say a service CIDR or a load balancer's address, to the node.
    ///
    /// # Errors
    /// When the kernel refuses the route.
    pub fn route_via(&self, net: IpNet, node: &Node) -> Result<()> {
        self.ip(&format!(
            "route replace {net} via {}",
            node.address_like(net.addr())
        ))
    }
}

impl Place for Client {
    fn site(&self) -> &Site {
        &self.site
    }
}
