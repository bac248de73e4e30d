//! The description of a lab, and bringing it up.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;

use super::{Lab, guard::Guard};
use crate::{
    Client, Node, NodeSpec,
    addresses::{self, MOST_NODES, PodCidrs},
    cni::NodePlan,
    fabric::Fabric,
    place::check_name,
    run_dir::RunDir,
};

/// What a lab is to consist of.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    name: String,
    is_only: bool,
    nodes: Vec<(String, NodeSpec, Vec<String>)>,
    clients: Vec<String>,
    /// Pods that were asked for before there was a node.
    homeless: Vec<String>,
}

impl Builder {
    pub(super) fn new(name: &str, is_only: bool) -> Self {
        Self {
            name: name.to_owned(),
            is_only,
            nodes: Vec::new(),
            clients: Vec::new(),
            homeless: Vec::new(),
        }
    }

    /// Adds a node: `node("a", Cni::Bridge)`, or with a [`NodeSpec`].
    pub fn node(mut self, name: &str, spec: impl Into<NodeSpec>) -> Self {
        self.nodes.push((name.to_owned(), spec.into(), Vec::new()));
        self
    }

    /// Adds a pod to the node that was added last.
    pub fn pod(mut self, name: &str) -> Self {
        let pods = self
            .nodes
            .last_mut()
            .map_or(&mut self.homeless, |(_, _, pods)| pods);
        pods.push(name.to_owned());
        self
    }

    /// Adds a machine outside of the cluster.
    pub fn client(mut self, name: &str) -> Self {
        self.clients.push(name.to_owned());
        self
    }

    /// Brings the lab up.
    ///
    /// # Errors
    /// When the caller is not root, a name does not fit, or something cannot be made; what was made
    /// by then is removed.
    pub fn up(self) -> Result<Lab> {
        ensure!(
            geteuid().is_root(),
            "the lab makes network namespaces, mounts and cgroups and needs root: use sudo -E"
        );
        self.check()?;
        let guard = Guard::new(RunDir::create(&self.name, self.is_only)?)?;
        self.fill(guard)
            .with_context(|| format!("the lab {} cannot be made", self.name))
    }

    /// Brings the lab up, does `work` in it, and removes it. When `work` fails or panics, the logs of
    /// the lab are printed.
    ///
    /// # Errors
    /// Those of [`Builder::up`] and of `work`.
    pub fn run(self, work: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
        let lab = self.up()?;
        work(&lab).inspect_err(|_| eprintln!("{}", lab.logs()))
    }

    fn fill(&self, guard: Guard) -> Result<Lab> {
        let journal = guard.journal();
        let cgroup = journal.run_dir().cgroup();
        let fabric = Fabric::create(journal, cgroup.join("fabric"))?;
        let plans: Vec<NodePlan> = (1..)
            .zip(&self.nodes)
            .map(|(number, (_, spec, _))| plan(number, spec))
            .collect();
        let mut nodes = Vec::new();
        for ((name, spec, _), plan) in self.nodes.iter().zip(&plans) {
            let node = Node::create(
                journal,
                &fabric,
                name,
                spec,
                plan.clone(),
                cgroup.join(name),
            )
            .with_context(|| format!("the node {name} cannot be made"))?;
            nodes.push(node);
        }
        for (node, (name, _, pods)) in nodes.iter().zip(&self.nodes) {
            node.meet(&plans)
                .with_context(|| format!("the node {name} cannot meet its peers"))?;
            for pod in pods {
                node.add_pod(pod)?;
            }
        }
        let mut clients = Vec::new();
        for (number, name) in (1..).zip(&self.clients) {
            let client = Client::create(journal, &fabric, name, number, cgroup.join(name))
                .with_context(|| format!("the client {name} cannot be made"))?;
            clients.push(client);
        }
        Ok(Lab {
            fabric,
            nodes,
            clients,
            guard,
        })
    }

    fn check(&self) -> Result<()> {
        if let Some(pod) = self.homeless.first() {
            bail!("the pod {pod} has no node: add the node first");
        }
        let most = usize::from(MOST_NODES);
        ensure!(self.nodes.len() <= most, "a lab has room for {most} nodes");
        ensure!(
            self.clients.len() <= most,
            "a lab has room for {most} clients"
        );
        let places = self
            .nodes
            .iter()
            .flat_map(|(node, _, pods)| std::iter::once(node).chain(pods))
            .chain(&self.clients);
        let mut seen = BTreeSet::from(["fabric"]);
        check_name(&self.name)?;
        for name in places {
            check_name(name)?;
            ensure!(
                seen.insert(name),
                "the name {name} is taken: places of a lab have their own"
            );
        }
        Ok(())
    }
}

fn plan(number: u8, spec: &NodeSpec) -> NodePlan {
    NodePlan {
        number,
        cni: spec.cni(),
        addresses: addresses::of_node(number),
        pods: PodCidrs::of_node(number),
    }
}
