//! Requests that go on while something happens, and none of which may fail.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netproxy_lab::{Hold, Load, Traffic, report::LoadReport, traffic::Ongoing};

use crate::cluster::{Cluster, WEB_NODE_PORT, WEB_PORT};

/// Of one request. The machine may stand still for as long as that; what is lost is not answered later either.
const PATIENCE: Duration = Duration::from_secs(30);

/// From one request of a load to the next.
const INTERVAL: Duration = Duration::from_millis(10);

/// Traffic of every kind through the agent of node `a`.
#[derive(Debug)]
pub(crate) struct Steady {
    loads: Vec<Ongoing<LoadReport>>,
    held: Vec<Hold>,
    began: Instant,
}

impl Steady {
    /// From the pod `shell` to the cluster IPs and from outside to the node port of `a`: each time on a new
    /// connection, and on one that is kept.
    pub(crate) fn start(cluster: &Cluster<'_>) -> Result<Self> {
        let (shell, outside) = (cluster.shell()?, cluster.lab.client("outside")?);
        let load = |url: &String| Load::new(url).timeout(PATIENCE).interval(INTERVAL);
        let (mut loads, mut held) = (Vec::new(), Vec::new());
        for url in Cluster::cluster_urls(WEB_PORT)? {
            loads.push(shell.load(&load(&url))?);
            held.push(shell.hold_for(&url, PATIENCE)?);
        }
        for url in cluster.node_urls(WEB_NODE_PORT).iter().take(1) {
            loads.push(outside.load(&load(url))?);
            held.push(outside.hold_for(url, PATIENCE)?);
        }
        Ok(Self {
            loads,
            held,
            began: Instant::now(),
        })
    }

    /// Ends it, and prints how much of it there was while this happened. Every request must have been answered,
    /// and the connections must have held.
    pub(crate) fn finish(self, during: &str) -> Result<()> {
        let length = self.began.elapsed();
        let held: Vec<_> = self
            .held
            .into_iter()
            .map(Hold::stop)
            .collect::<Result<_>>()?;
        let loads: Vec<_> = self
            .loads
            .into_iter()
            .map(Ongoing::stop)
            .collect::<Result<_>>()?;
        let answered: u64 = loads.iter().map(|load| load.answered).sum();
        let failed: u64 = loads.iter().map(|load| load.failed).sum();
        let slowest_us = loads.iter().map(|load| load.latency.max).max();
        let broken = held.iter().filter(|held| held.broken.is_some()).count();
        let requests: u64 = held.iter().map(|held| held.requests).sum();
        println!(
            "{during}, {} s: {answered} connections, {failed} failed, the slowest took {} ms; \
             {requests} requests on {} connections that lasted, {broken} broke",
            length.as_secs(),
            slowest_us.unwrap_or(0) / 1000,
            held.len(),
        );
        ensure!(broken == 0, "{held:#?}");
        for report in loads {
            ensure!(report.failed == 0 && report.answered > 0, "{report:#?}");
        }
        Ok(())
    }
}
