//! The real kube-proxy, of the release that the control plane is of.

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::json;

use super::ControlPlane;
use crate::{
    Node, Place, Process,
    addresses::{CLUSTER_V4, CLUSTER_V6},
};

/// How it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By rules of nftables.
    Nftables,
    /// By rules of iptables.
    Iptables,
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        })
    }
}

impl ControlPlane<'_> {
    /// Starts kube-proxy on a node. What it leaves in the kernel ends with the lab.
    ///
    /// # Errors
    /// When it was not built (`cargo xtask tools`), or cannot be started.
    pub fn start_kube_proxy(&self, node: &Node, mode: Mode) -> Result<Process> {
        self.start_kube_proxy_by(&self.program("kube-proxy")?, node, mode)
    }

    /// The same, by a program that starts it.
    ///
    /// # Errors
    /// As [`ControlPlane::start_kube_proxy`].
    pub fn start_kube_proxy_by(&self, program: &Path, node: &Node, mode: Mode) -> Result<Process> {
        let periods = json!({"minSyncPeriod": "0s", "syncPeriod": "30s"});
        let configuration = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": mode.to_string(),
            "hostnameOverride": node.name(),
            "detectLocalMode": "ClusterCIDR",
            "clusterCIDR": format!("{CLUSTER_V4},{CLUSTER_V6}"),
            "clientConnection": {"kubeconfig": self.agent_kubeconfig()},
            // The machine's settings are not the lab's to change.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "nftables": periods,
            "iptables": periods,
        });
        let name = format!("kube-proxy-{}.json", node.name());
        let path = self.directory.join(name);
        fs::write(&path, configuration.to_string())
            .with_context(|| format!("{} cannot be written", path.display()))?;
        node.spawn(&[
            &program.to_string_lossy(),
            "--config",
            &path.to_string_lossy(),
        ])
    }
}
