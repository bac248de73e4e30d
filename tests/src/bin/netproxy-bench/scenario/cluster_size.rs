//! `cluster-size`: what the packets to one service cost on a node that serves thousands of others, and on the same node
//! without these.

use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Result;

use super::{Pace, SHORT_TURNS, Scenario};
use crate::{
    arena::{Arena, Extent, deadline},
    cluster::ClusterSize,
    measurement::Sample,
    system::System,
    web::{Way, What},
    wrk,
};

/// What is measured with all services, and with few: short connections and kept ones.
const METRICS: [(Extent, [&str; 2]); 2] = [
    (Extent::All, ["short, all", "kept, all"]),
    (Extent::Few, ["short, few", "kept, few"]),
];

#[derive(Debug)]
pub(crate) struct ClusterSizes;

impl Scenario for ClusterSizes {
    fn name(&self) -> &'static str {
        "cluster-size"
    }

    fn about(&self) -> &'static str {
        "As clusterip-short and clusterip-keepalive, with all services and with only those of the traffic, in turns on \
         the same node"
    }

    fn systems(&self) -> &'static [System] {
        &[System::NetproxySocket, System::NetproxyTc]
    }

    fn sizes(&self, pace: Pace) -> Vec<ClusterSize> {
        vec![ClusterSize {
            services: pace.choose(10_000, 100),
            endpoints_each: self.endpoints_each(),
        }]
    }

    fn endpoints_each(&self) -> u32 {
        1
    }

    fn runs(&self, pace: Pace) -> u16 {
        pace.choose(SHORT_TURNS, 1)
    }

    fn run(&self, arena: &Arena<'_>, system: System, _pace: Pace) -> Result<Vec<Sample>> {
        static RUNS: AtomicU16 = AtomicU16::new(0);
        let mut order = METRICS;
        // Neither is always the first, with one system or with two.
        if (RUNS.fetch_add(1, Ordering::Relaxed) / 2) % 2 == 1 {
            order.reverse();
        }
        let mut samples = Vec::new();
        for (extent, metrics) in order {
            samples.extend(measure(arena, system, extent, metrics)?);
        }
        Ok(samples)
    }
}

fn measure(
    arena: &Arena<'_>,
    system: System,
    extent: Extent,
    metrics: [&'static str; 2],
) -> Result<[Sample; 2]> {
    let proxy = arena.start_on(system, extent)?;
    proxy.await_synced(deadline())?;
    proxy.halt()?;
    let of = |is_kept_alive| {
        let (from, to) = arena.way(system, Way::ClusterIp, What::next_http())?;
        wrk::ask(&*from, to, is_kept_alive, 1)
    };
    let [short, kept] = [of(false)?, of(true)?];
    proxy.go_on()?;
    proxy.stop()?;
    arena.wipe(system)?;
    let [of_short, of_kept] = metrics;
    Ok([
        Sample::new(of_short, "1/s", short.rate()),
        Sample::new(of_kept, "1/s", kept.rate()),
    ])
}
