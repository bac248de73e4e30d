//! Requests that go on while something happens, and none of which may fail.

use std::time::Duration;

use anyhow::Result;
use netproxy_lab::{Load, Traffic, traffic};

use crate::cluster::{Cluster, WEB_NODE_PORT, WEB_PORT};

/// Of one request. The machine may stand still for as long as that; what is lost is not answered later either.
const PATIENCE: Duration = Duration::from_secs(30);

/// From one request of a load to the next.
const INTERVAL: Duration = Duration::from_millis(10);

/// Traffic through the agent of node `a`, from the pod `shell` to the cluster IPs and from outside to the node port of
/// `a`: each time on a new connection, and on one that is kept.
pub(crate) fn start(cluster: &Cluster<'_>) -> Result<traffic::Steady> {
    let (shell, outside) = (cluster.shell()?, cluster.lab.client("outside")?);
    let load = |url: &String| Load::new(url).timeout(PATIENCE).interval(INTERVAL);
    let mut steady = traffic::Steady::default();
    for url in Cluster::cluster_urls(WEB_PORT)? {
        steady.load(shell.load(&load(&url))?);
        steady.hold(shell.hold_for(&url, PATIENCE)?);
    }
    for url in cluster.node_urls(WEB_NODE_PORT).iter().take(1) {
        steady.load(outside.load(&load(url))?);
        steady.hold(outside.hold_for(url, PATIENCE)?);
    }
    Ok(steady)
}
