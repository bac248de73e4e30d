//! The demo's stage: the lab, its servers, one agent per node, and the objects they serve.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use netproxy_lab::control_plane::ControlPlane;
use netproxy_lab::{AgentOptions, Cni, Lab, Place as _, Serve, Traffic as _, url, wait_until};

use crate::Source;
use crate::progress::step;

/// The manifests, as they are in the repository.
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/demo");
/// How long the first request may take to be answered after the agents have started.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What the manifests say, for those who call.
pub(crate) const WEB_CLUSTER_IPS: [&str; 2] = ["10.96.0.80", "fd10:96::80"];
pub(crate) const WEB_NODE_PORT: u16 = 30_080;
pub(crate) const NAMES_CLUSTER_IPS: [&str; 2] = ["10.96.0.53", "fd10:96::53"];
pub(crate) const NAMES_NODE_PORT: u16 = 30_053;

/// Everything the demo stands on.
#[derive(Debug)]
pub(crate) struct Stage<'lab> {
    lab: &'lab Lab,
    objects: Objects<'lab>,
}

/// Where the agents' objects come from.
#[derive(Debug)]
pub(crate) enum Objects<'lab> {
    /// A copy of the manifests, free to be edited.
    Directory(PathBuf),
    /// An API server.
    Server(Box<ControlPlane<'lab>>),
}

/// Raises the lab.
pub(crate) fn raise_lab(name: &str) -> Result<Lab> {
    step("Raising two nodes, four pods and a client", || {
        Lab::only(name)
            .node("alpha", Cni::Bridge)
            .pod("web-1")
            .pod("web-2")
            .pod("shell")
            .node("beta", Cni::Vxlan)
            .pod("web-3")
            .client("outside")
            .up()
    })
}

impl<'lab> Stage<'lab> {
    /// Starts servers and agents in the lab, and waits until services answer.
    pub(crate) fn set(lab: &'lab Lab, source: Source) -> Result<Self> {
        step("Starting HTTP and UDP servers in the pods", || {
            for pod in ["web-1", "web-3"] {
                lab.pod(pod)?.serve(&Serve::new().http(8080).udp(5353))?;
            }
            lab.pod("web-2")?.serve(&Serve::new().http(8080)).map(drop)
        })?;
        let objects = match source {
            Source::Manifests => Objects::Directory(copy_manifests(lab.directory())?),
            Source::Kubernetes => step("Starting a real etcd and kube-apiserver", || {
                let server = ControlPlane::start(lab)?;
                server.kubectl(&["create", "-f", &format!("{MANIFESTS}/namespace.yaml")])?;
                for file in ["nodes.yaml", "web.yaml", "names.yaml"] {
                    server.kubectl(&["create", "-f", &format!("{MANIFESTS}/{file}")])?;
                }
                Ok(Objects::Server(Box::new(server)))
            })?,
        };
        let stage = Self { lab, objects };
        step("Starting a netproxy agent on each node", || {
            stage.start_agents()
        })?;
        step("Waiting for the first answers", || stage.await_answers())?;
        Ok(stage)
    }

    pub(crate) fn lab(&self) -> &Lab {
        self.lab
    }

    pub(crate) fn objects(&self) -> &Objects<'lab> {
        &self.objects
    }

    /// Who has which address, in words.
    pub(crate) fn owners(&self) -> BTreeMap<IpAddr, String> {
        let mut owners = BTreeMap::new();
        for node in self.lab.nodes() {
            for address in node.addresses().both() {
                owners.insert(address, format!("node {}", node.name()));
            }
            let cidrs = node.pod_cidrs();
            for gateway in [
                cidrs.v4.hosts().next().map(IpAddr::from),
                first_host(&cidrs.v6),
            ] {
                owners.extend(gateway.map(|gateway| (gateway, format!("node {}", node.name()))));
            }
            for pod in node.pods() {
                for address in pod.addresses().both() {
                    owners.insert(address, pod.name().to_owned());
                }
            }
        }
        if let Ok(client) = self.lab.client("outside") {
            for address in client.addresses().both() {
                owners.insert(address, client.name().to_owned());
            }
        }
        owners
    }

    fn start_agents(&self) -> Result<()> {
        let options = match &self.objects {
            Objects::Directory(directory) => AgentOptions::manifests(directory),
            Objects::Server(server) => AgentOptions::kubernetes(server.agent_kubeconfig()),
        };
        for node in self.lab.nodes() {
            node.start_agent(&options)?;
        }
        Ok(())
    }

    /// Every kind of frontend answers once: from then on, every request must.
    fn await_answers(&self) -> Result<()> {
        let shell = self.lab.pod("shell")?;
        let outside = self.lab.client("outside")?;
        for cluster_ip in WEB_CLUSTER_IPS {
            let url = url(cluster_ip.parse::<IpAddr>()?, 80);
            wait_until(&format!("an answer from {url}"), LONGEST_WAIT, || {
                Ok(shell.get(&url, 1)?.answered() == 1)
            })?;
        }
        for node in self.lab.nodes() {
            for address in node.addresses().both() {
                let place = SocketAddr::new(address, NAMES_NODE_PORT);
                wait_until(&format!("an answer from {place}"), LONGEST_WAIT, || {
                    Ok(outside.ask(place, 1)?.answered() == 1)
                })?;
            }
        }
        Ok(())
    }
}

fn first_host(net: &ipnet::Ipv6Net) -> Option<IpAddr> {
    net.hosts().nth(1).map(IpAddr::from)
}

fn copy_manifests(lab: &Path) -> Result<PathBuf> {
    let directory = lab.join("manifests");
    fs::create_dir_all(&directory)
        .with_context(|| format!("{} cannot be made", directory.display()))?;
    for file in ["nodes.yaml", "web.yaml", "names.yaml"] {
        let from = Path::new(MANIFESTS).join(file);
        fs::copy(&from, directory.join(file))
            .with_context(|| format!("{} cannot be copied", from.display()))?;
    }
    Ok(directory)
}
