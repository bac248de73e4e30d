//! How requests reach endpoints, told by what a node has counted.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Node;

/// How requests of a place on a node reach endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Sockets are balanced.
    Socket,
    /// Packets are.
    Wire,
}

impl Way {
    /// Makes requests, each on a socket of its own, and tells which way they took; None: it changed
    /// meanwhile. Nothing else may ask for a service on this node at the same time.
    ///
    /// # Errors
    /// When `ask` fails, which answers with how many they were, or not all were counted.
    pub fn of(node: &Node, ask: impl FnOnce() -> Result<u64>) -> Result<Option<Self>> {
        let (sockets, flows) = (
            node.counted("socket_translated")?,
            node.counted("new_flow")?,
        );
        let requests = ask()?;
        let sockets = node.counted("socket_translated")? - sockets;
        let flows = node.counted("new_flow")? - flows;
        ensure!(
            sockets + flows >= requests,
            "{requests} requests, but {sockets} at sockets and {flows} flows"
        );
        Ok(match (sockets, flows) {
            (_, 0) => Some(Self::Socket),
            (0, _) => Some(Self::Wire),
            _ => None,
        })
    }
}

impl Node {
    /// What its programs have counted under this name.
    ///
    /// # Errors
    /// When there is no such counter, or no datapath.
    pub fn counted(&self, name: &str) -> Result<u64> {
        let rows: Vec<Value> = self.netproxy_json(&["counters", "-o", "json"])?;
        let row = rows.iter().find(|row| row["name"] == name);
        let row = row.with_context(|| format!("no counter {name}"))?;
        row["count"].as_u64().context("no number")
    }
}
