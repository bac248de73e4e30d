//! A lab with an agent on every node, and the objects that they follow.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use netproxy_lab::{
    Agent, AgentOptions, Builder, Lab, Node, Objects, Place, ServiceObject, wait_for, wait_until,
};
use serde::Deserialize;

/// How long a change may take until it is in force. The agents need milliseconds; but a new one has
/// the kernel verify its programs first, which takes seconds, and many on a busy machine.
pub(crate) const LONGEST: Duration = Duration::from_mins(1);

/// A lab whose nodes all follow one directory of objects.
pub(crate) struct Cluster {
    pub(crate) lab: Lab,
    pub(crate) objects: Objects,
    agents: Vec<(String, Agent)>,
}

impl Cluster {
    /// Brings up the lab and an agent on every node.
    pub(crate) fn up(builder: Builder) -> Result<Self> {
        Self::up_with(builder, |options| options)
    }

    /// The same, with agents that are told more.
    pub(crate) fn up_with(
        builder: Builder,
        options: impl Fn(AgentOptions) -> AgentOptions,
    ) -> Result<Self> {
        let lab = builder.up()?;
        let objects = Objects::in_directory(lab.directory().join("objects"))?;
        for node in lab.nodes() {
            objects.put_node(node)?;
        }
        let options = options(AgentOptions::manifests(objects.directory()));
        let start = |node: &Node| Ok((node.name().to_owned(), node.start_agent(&options)?));
        let agents: Vec<_> = lab.nodes().iter().map(start).collect::<Result<_>>()?;
        for (node, agent) in &agents {
            await_begun(node, agent)?;
        }
        Ok(Self {
            lab,
            objects,
            agents,
        })
    }

    /// Does `work` here; when that fails, prints the logs of the lab.
    pub(crate) fn hold<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        work().inspect_err(|_| eprintln!("{}", self.lab.logs()))
    }

    /// The agent of a node.
    pub(crate) fn agent(&self, node: &str) -> Result<&Agent> {
        let found = self.agents.iter().find(|(name, _)| name == node);
        Ok(&found.with_context(|| format!("no agent on {node}"))?.1)
    }

    /// Writes the Service with its slices, and waits until every node serves just these endpoints.
    pub(crate) fn put(&self, service: &ServiceObject) -> Result<()> {
        self.objects.put(service)?;
        self.await_served(service)
    }

    /// Waits until every node serves just the endpoints of the Service.
    pub(crate) fn await_served(&self, service: &ServiceObject) -> Result<()> {
        for node in self.lab.nodes() {
            await_served_on(node, service)?;
        }
        Ok(())
    }
}

/// Waits until an agent that was started has served everything once, sockets last of all; or has ended.
pub(crate) fn await_begun(node: &str, agent: &Agent) -> Result<()> {
    wait_until(&format!("the agent of {node} has begun"), LONGEST, || {
        Ok(agent.log().contains("first sync done") || !agent.is_running())
    })
}

/// Waits until a node serves just the endpoints of the Service.
pub(crate) fn await_served_on(node: &Node, service: &ServiceObject) -> Result<()> {
    let wanted = declared(service);
    let what = format!(
        "{} serves {wanted:?} for {}",
        node.name(),
        full_name(service)
    );
    let probe = || served(node, service);
    wait_for(&what, LONGEST, probe, |served| *served == wanted).map(drop)
}

/// The addresses of the Service's slices.
fn declared(service: &ServiceObject) -> BTreeSet<SocketAddr> {
    let mut sockets = BTreeSet::new();
    for slice in service.slices() {
        let list = |key: &str| slice[key].as_array().cloned().unwrap_or_default();
        for (endpoint, port) in list("endpoints").iter().flat_map(|endpoint| {
            list("ports")
                .into_iter()
                .map(move |port| (endpoint.clone(), port))
        }) {
            let address = endpoint["addresses"][0]
                .as_str()
                .and_then(|text| text.parse::<IpAddr>().ok());
            let port = port["port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok());
            sockets.extend(address.zip(port).map(SocketAddr::from));
        }
    }
    sockets
}

/// One line of `netproxy endpoints -o json`.
#[derive(Deserialize)]
struct EndpointRow {
    address: IpAddr,
    port: u16,
}

/// The endpoints of the Service as the node's maps have them.
pub(crate) fn served(node: &Node, service: &ServiceObject) -> Result<BTreeSet<SocketAddr>> {
    let rows: Vec<EndpointRow> =
        node.netproxy_json(&["endpoints", &full_name(service), "-o", "json"])?;
    Ok(rows
        .iter()
        .map(|row| SocketAddr::new(row.address, row.port))
        .collect())
}

fn full_name(service: &ServiceObject) -> String {
    format!("{}/{}", service.namespace(), service.name())
}
