//! Requests that go on while something happens, and none of which may fail.

use std::time::Duration;

use anyhow::{Result, ensure};
use netproxy_lab::{Hold, Load, Traffic, report::LoadReport, traffic::Ongoing};

use crate::cluster::{Cluster, WEB_NODE_PORT, WEB_PORT};

/// Of one request. The machine may be busy; what is lost is not answered later either.
const PATIENCE: Duration = Duration::from_secs(10);

/// Traffic of every kind through the agent of node `a`.
#[derive(Debug)]
pub(crate) struct Steady {
    loads: Vec<Ongoing<LoadReport>>,
    held: Hold,
}

impl Steady {
    /// From the pod `shell` to the cluster IPs, each time on a new connection and on one that is
    /// kept, and from outside to the node port of `a`.
    pub(crate) fn start(cluster: &Cluster<'_>) -> Result<Self> {
        let shell = cluster.shell()?;
        let load = |url: &String| Load::new(url).timeout(PATIENCE);
        let mut loads = Vec::new();
        let urls = Cluster::cluster_urls(WEB_PORT)?;
        for url in &urls {
            loads.push(shell.load(&load(url))?);
        }
        let outside = cluster.lab.client("outside")?;
        for url in cluster.node_urls(WEB_NODE_PORT).iter().take(1) {
            loads.push(outside.load(&load(url))?);
        }
        let held = shell.hold(&urls[0])?;
        Ok(Self { loads, held })
    }

    /// Ends it. Every request must have been answered, and the connection must have held.
    pub(crate) fn finish(self) -> Result<()> {
        let held = self.held.stop()?;
        ensure!(held.broken.is_none(), "the connection broke: {held:?}");
        for load in self.loads {
            let report = load.stop()?;
            ensure!(report.failed == 0 && report.answered > 0, "{report:#?}");
        }
        Ok(())
    }
}
