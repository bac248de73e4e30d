//! A lab that is up: finding its places, keeping it, and its end.

mod builder;
mod guard;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use self::builder::Builder;
use self::guard::Guard;
use crate::{
    Client, Node, Place, Pod, cni::device_name, fabric::Fabric, run_dir::RunDir, teardown,
};

/// Nodes, pods and clients on an underlay. Dropping it removes everything, unless it is [kept].
///
/// [kept]: Lab::keep
#[derive(Debug)]
pub struct Lab {
    fabric: Fabric,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    guard: Guard,
}

impl Lab {
    /// Starts the description of a lab. Many labs may have the same name: each gets a number.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name, false)
    }

    /// Starts the description of a lab that is the only one of its name, which is also its id, so
    /// that its namespaces are `np-<name>-<place>`.
    pub fn only(name: &str) -> Builder {
        Builder::new(name, true)
    }

    /// Removes the lab with this id, which was kept.
    ///
    /// # Errors
    /// When there is none, its owner still runs, or something of it resists.
    pub fn remove(id: &str) -> Result<()> {
        teardown::remove_by_id(id)
    }

    /// Its name, with a number behind it unless it is the only one.
    #[must_use]
    pub fn id(&self) -> String {
        self.run_dir().id()
    }

    /// Its directory below `/run`, with the logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.run_dir().path()
    }

    /// The node of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&self, name: &str) -> Result<Node> {
        let found = self.nodes.iter().find(|node| node.name() == name);
        found.cloned().with_context(|| self.absent("node", name))
    }

    /// The pod of this name, on whichever node.
    ///
    /// # Errors
    /// When there is none.
    pub fn pod(&self, name: &str) -> Result<Pod> {
        let mut pods = self.nodes.iter().flat_map(Node::pods);
        pods.find(|pod| pod.name() == name)
            .with_context(|| self.absent("pod", name))
    }

    /// The client of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn client(&self, name: &str) -> Result<Client> {
        let found = self.clients.iter().find(|client| client.name() == name);
        found.cloned().with_context(|| self.absent("client", name))
    }

    /// The underlay's end of the pair of a node's or client's `eth0`.
    #[must_use]
    pub fn port_of(&self, place: &dyn Place) -> String {
        device_name("to-", place.name())
    }

    /// The underlay: its bridge is `underlay`, and its routes say which node has what, so this is
    /// where a load balancer's address is sent to a node.
    #[must_use]
    pub fn fabric(&self) -> &dyn Place {
        &self.fabric
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The place of this name, whatever it is.
    ///
    /// # Errors
    /// When there is none.
    pub fn place(&self, name: &str) -> Result<Box<dyn Place>> {
        if let Ok(node) = self.node(name) {
            return Ok(Box::new(node));
        }
        if let Ok(pod) = self.pod(name) {
            return Ok(Box::new(pod));
        }
        Ok(Box::new(
            self.client(name)
                .with_context(|| self.absent("place", name))?,
        ))
    }

    /// The file of a place's network namespace, for `nsenter --net=…`.
    ///
    /// # Errors
    /// When there is no such place.
    pub fn namespace_of(&self, place: &str) -> Result<PathBuf> {
        Ok(self.place(place)?.namespace().path())
    }

    /// What every program of the lab has written so far.
    #[must_use]
    pub fn logs(&self) -> String {
        self.guard.journal().logs()
    }

    /// Leaves everything up, programs included, for [`Lab::remove`] or `netproxy-lab remove`.
    ///
    /// # Errors
    /// When that cannot be recorded.
    pub fn keep(mut self) -> Result<()> {
        self.guard.keep()
    }

    fn run_dir(&self) -> &RunDir {
        self.guard.journal().run_dir()
    }

    fn absent(&self, kind: &str, name: &str) -> String {
        let record = self.run_dir().record();
        let names: Vec<_> = record
            .places
            .iter()
            .map(|place| place.name.as_str())
            .collect();
        format!(
            "the lab has no {kind} {name} (its places: {})",
            names.join(", ")
        )
    }
}
