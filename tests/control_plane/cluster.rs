//! The cluster that the tests share in shape: every test has its own.
//!
//! | node | pods |
//! |---|---|
//! | `a` | `shell`, and `web-1` and `web-2`, which serve |
//! | `b` | `web-3`, which serves |

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use anyhow::{Context, Result};
use netproxy_lab::{
    Agent, AgentOptions, Answers, Cni, ControlPlane, Get, Lab, Node, Place, Pod, Serve, Traffic,
    control_plane::{ENDPOINT_SLICES, Replica},
    url, wait_for,
};
use serde_json::{Value, json};

/// How long a change may take from kubectl to packets. It takes milliseconds, but on a busy machine,
/// or after an outage, up to ten seconds.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// The cluster IPs of [`web`].
pub(crate) const WEB: [&str; 2] = ["10.96.0.80", "fd10:96::80"];
/// Its port.
pub(crate) const WEB_PORT: u16 = 80;
/// Its node port.
pub(crate) const WEB_NODE_PORT: u16 = 30_080;

/// Where the servers in the pods listen.
const SERVERS_PORT: u16 = 8080;
/// As many requests leave out one of two endpoints once in 500 000 times.
const REQUESTS: usize = 20;
/// Of one request: an answer that has not come by then is none.
const PATIENCE: Duration = Duration::from_millis(500);

/// A lab with a control plane, and agents once they are started.
#[derive(Debug)]
pub(crate) struct Cluster<'lab> {
    pub(crate) lab: &'lab Lab,
    pub(crate) control_plane: ControlPlane<'lab>,
    agents: Vec<Agent>,
}

/// Does `work` in a cluster that has no agents.
pub(crate) fn without_agents(
    name: &str,
    work: impl FnOnce(&mut Cluster<'_>) -> Result<()>,
) -> Result<()> {
    Lab::builder(name)
        .node("a", Cni::Bridge)
        .pod("shell")
        .pod("web-1")
        .pod("web-2")
        .node("b", Cni::Vxlan)
        .pod("web-3")
        .client("outside")
        .run(|lab| work(&mut Cluster::raise(lab)?))
}

/// Does `work` in a cluster with an agent on each node.
pub(crate) fn with_agents(name: &str, work: impl FnOnce(&Cluster<'_>) -> Result<()>) -> Result<()> {
    without_agents(name, |cluster| {
        cluster.start_agents()?;
        work(cluster)
    })
}

impl<'lab> Cluster<'lab> {
    fn raise(lab: &'lab Lab) -> Result<Self> {
        for pod in ["web-1", "web-2", "web-3"] {
            lab.pod(pod)?.serve(&Serve::new().http(SERVERS_PORT))?;
        }
        let control_plane = ControlPlane::start(lab)?;
        control_plane.start_controller_manager(&[ENDPOINT_SLICES])?;
        control_plane.register_nodes()?;
        Ok(Self {
            lab,
            control_plane,
            agents: Vec::new(),
        })
    }

    pub(crate) fn start_agents(&mut self) -> Result<()> {
        self.start_agents_with(|options| options)
    }

    /// The same, with agents that are told more.
    pub(crate) fn start_agents_with(
        &mut self,
        options: impl Fn(AgentOptions) -> AgentOptions,
    ) -> Result<()> {
        let options = options(
            AgentOptions::kubernetes(self.control_plane.agent_kubeconfig())
                .environment("NETPROXY_LOG", "info,netproxy::source=debug"),
        );
        for node in self.lab.nodes() {
            self.agents.push(node.start_agent(&options)?);
        }
        Ok(())
    }

    /// The agents, that of node `a` first.
    pub(crate) fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The agent of node `a`.
    pub(crate) fn agent(&self) -> Result<&Agent> {
        self.agents.first().context("no agent was started")
    }

    pub(crate) fn node(&self, name: &str) -> Result<Node> {
        self.lab.node(name)
    }

    pub(crate) fn shell(&self) -> Result<Pod> {
        self.lab.pod("shell")
    }

    /// Applies one object.
    pub(crate) fn apply(&self, object: &Value) -> Result<()> {
        self.control_plane.apply(&object.to_string())
    }

    /// Serves [`web`] by these pods, and waits until every agent knows.
    pub(crate) fn serve_web(&self, pods: &[&str]) -> Result<()> {
        self.apply(&web())?;
        self.scale_web(pods)?;
        await_endpoints(&self.shell()?, &Self::cluster_urls(WEB_PORT)?, pods)?;
        let outside = self.lab.client("outside")?;
        await_endpoints(&outside, &self.node_urls(WEB_NODE_PORT), pods)
    }

    /// Makes these pods ready replicas of [`web`].
    pub(crate) fn scale_web(&self, pods: &[&str]) -> Result<()> {
        let pods: Vec<_> = pods
            .iter()
            .map(|name| self.lab.pod(name))
            .collect::<Result<_>>()?;
        let replicas: Vec<_> = pods.iter().map(|pod| Replica::ready(pod, "web")).collect();
        self.control_plane.register_pods(&replicas)
    }

    /// The URLs of [`web`] for a pod.
    pub(crate) fn cluster_urls(port: u16) -> Result<Vec<String>> {
        let url_of = |ip: &&str| Ok(url(ip.parse::<IpAddr>()?, port));
        WEB.iter().map(url_of).collect()
    }

    /// The URLs of a node port for those outside.
    pub(crate) fn node_urls(&self, port: u16) -> Vec<String> {
        let addresses = self.lab.nodes().iter().flat_map(Node::internal_ips);
        addresses.map(|address| url(address, port)).collect()
    }
}

/// A Service of both families and of type `NodePort`; its endpoints are the ready pods with the
/// label `app: web`.
pub(crate) fn web() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "type": "NodePort",
            "selector": {"app": "web"},
            "ipFamilyPolicy": "RequireDualStack",
            "clusterIP": WEB[0],
            "clusterIPs": WEB,
            "ports": [{
                "name": "http",
                "port": WEB_PORT,
                "targetPort": SERVERS_PORT,
                "nodePort": WEB_NODE_PORT,
            }],
        },
    })
}

/// Waits until every request from `place` to every one of the URLs is answered, and by exactly these.
pub(crate) fn await_endpoints(
    place: &impl Place,
    urls: &[String],
    endpoints: &[&str],
) -> Result<()> {
    let wanted: BTreeSet<_> = endpoints.iter().copied().collect();
    for url in urls {
        let get = Get::new(url).count(REQUESTS).timeout(PATIENCE);
        let is_wanted =
            |answers: &Answers| answers.errors.is_empty() && answers.endpoints() == wanted;
        let what = format!("{url} is answered by {wanted:?}, for {}", place.name());
        wait_for(&what, LONGEST, || place.get_with(&get), is_wanted)?;
    }
    Ok(())
}

/// Waits until no request from `place` to any of the URLs is answered.
pub(crate) fn await_silence(place: &impl Place, urls: &[String]) -> Result<()> {
    for url in urls {
        let get = Get::new(url).timeout(PATIENCE);
        let what = format!("{url} is not answered, for {}", place.name());
        let is_silent = |answers: &Answers| answers.answered() == 0;
        wait_for(&what, LONGEST, || place.get_with(&get), is_silent)?;
    }
    Ok(())
}
