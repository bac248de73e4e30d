//! The cut between a node and the API server: packets vanish in the underlay, in both directions,
//! and nobody is told.

use anyhow::{Context, Result};

use super::{APISERVER_PORT, ControlPlane};
use crate::{Addresses, Node, Place, orders};

const TABLE: &str = "inet netproxy_lab_cut";

impl ControlPlane<'_> {
    /// From now on nothing passes between the node's own addresses and the API server.
    ///
    /// # Errors
    /// When nft refuses.
    pub fn cut(&self, node: &Node) -> Result<()> {
        self.change_cut("add", node)
    }

    /// Ends the cut.
    ///
    /// # Errors
    /// When there was none.
    pub fn restore(&self, node: &Node) -> Result<()> {
        self.change_cut("delete", node)
    }

    pub(super) fn prepare_cuts(&self) -> Result<()> {
        self.nft(&format!(
            "table {TABLE} {{\n\
               set v4 {{ type ipv4_addr; }}\n\
               set v6 {{ type ipv6_addr; }}\n\
               chain to {{\n\
                 type filter hook input priority filter;\n\
                 tcp dport {APISERVER_PORT} ip saddr @v4 drop\n\
                 tcp dport {APISERVER_PORT} ip6 saddr @v6 drop\n\
               }}\n\
               chain from {{\n\
                 type filter hook output priority filter;\n\
                 tcp sport {APISERVER_PORT} ip daddr @v4 drop\n\
                 tcp sport {APISERVER_PORT} ip6 daddr @v6 drop\n\
               }}\n\
             }}\n"
        ))
    }

    fn change_cut(&self, verb: &str, node: &Node) -> Result<()> {
        let Addresses { v4, v6 } = node.addresses();
        self.nft(&format!(
            "{verb} element {TABLE} v4 {{ {v4} }}\n{verb} element {TABLE} v6 {{ {v6} }}\n"
        ))
        .with_context(|| format!("{verb} the cut of the node {}", node.name()))
    }

    fn nft(&self, ruleset: &str) -> Result<()> {
        orders::nft(self.lab.fabric().command("nft".as_ref())?, ruleset)
    }
}
