//! `agent-memory`: what a proxy at rest has in memory.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{Pace, Scenario};
use crate::{
    arena::{Arena, deadline},
    cluster::ClusterSize,
    measurement::Sample,
    system::System,
};

#[derive(Debug)]
pub(crate) struct AgentMemory;

impl Scenario for AgentMemory {
    fn name(&self) -> &'static str {
        "agent-memory"
    }

    fn about(&self) -> &'static str {
        "What the process has in memory some seconds after its first sync; and the working set of its cgroup, \
         as the kubelet sees it: with what the kernel keeps for it, maps or rules"
    }

    fn sizes(&self, pace: Pace) -> Vec<ClusterSize> {
        let sizes: &[_] = pace.choose(
            &[(1, 10), (1_000, 10), (10_000, 10), (5_000, 50)],
            &[(1_000, 10)],
        );
        let sizes = sizes.iter().map(|&(services, endpoints_each)| ClusterSize {
            services,
            endpoints_each,
        });
        sizes.collect()
    }

    /// Those of what is aimed at, which is told by the number of services.
    fn endpoints_each(&self) -> u32 {
        50
    }

    fn run(&self, arena: &Arena<'_>, system: System, pace: Pace) -> Result<Vec<Sample>> {
        let proxy = arena.start(system)?;
        proxy.await_synced(deadline())?;
        // What the start has left over is given back, or never.
        thread::sleep(pace.choose(Duration::from_secs(10), Duration::from_secs(3)));

        let resident = proxy.resident()?;

        Ok(vec![
            Sample::new("resident", "MB", resident.now_bytes / 1e6),
            Sample::new("peak resident", "MB", resident.peak_bytes / 1e6),
            Sample::new("with the kernel's", "MB", proxy.working_set()? / 1e6),
            Sample::new("peak with the kernel's", "MB", proxy.peak()? / 1e6),
        ])
    }
}
