//! `program-full`: from the last object of a complete list to the last frontend correct on the wire.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Pace, Scenario};
use crate::{
    arena::{Arena, deadline},
    cluster::ClusterSize,
    measurement::Sample,
    system::System,
};

/// So many frontends, spread over all, are awaited first. Then all are asked.
const SPREAD: usize = 50;

#[derive(Debug)]
pub(crate) struct ProgramFull;

impl Scenario for ProgramFull {
    fn name(&self) -> &'static str {
        "program-full"
    }

    fn about(&self) -> &'static str {
        "From the moment when the proxy has the last object of the complete lists (by its log) until the \
         last frontend is answered by one of its endpoints, from nothing; and what the proxy has used \
         by then, from its start on"
    }

    fn sizes(&self, pace: Pace) -> Vec<ClusterSize> {
        let (services, endpoints_each) = pace.choose((5_000, self.endpoints_each()), (200, 10));
        vec![ClusterSize {
            services,
            endpoints_each,
        }]
    }

    fn endpoints_each(&self) -> u32 {
        50
    }

    fn run(&self, arena: &Arena<'_>, system: System, _pace: Pace) -> Result<Vec<Sample>> {
        let all = arena.size.frontends();
        let step = all.len().div_ceil(SPREAD);
        let spread: Vec<_> = all.iter().rev().step_by(step).copied().collect();
        let asker = arena.asker(system)?;
        let proxy = arena.start(system)?;

        let first = asker.await_all(&spread, deadline())?;
        let (cpu, resident, peak) = (proxy.cpu()?, proxy.resident()?, proxy.peak()?);
        let later = asker.await_all(&all, deadline())?;

        let last = later.or(first).context("served before it was started")?;
        let listed = proxy.listed_at()?;
        let programmed = last.clock.duration_since(listed).unwrap_or(Duration::ZERO);
        let since_start = last.at.duration_since(proxy.started.at);
        Ok(vec![
            Sample::new("list to wire", "ms", programmed.as_secs_f64() * 1e3),
            Sample::new("start to wire", "ms", since_start.as_secs_f64() * 1e3),
            Sample::new("user CPU", "s", cpu.user.as_secs_f64()),
            Sample::new("system CPU", "s", cpu.system.as_secs_f64()),
            Sample::new("peak resident", "MB", resident.peak_bytes / 1e6),
            Sample::new("peak with the kernel's", "MB", peak / 1e6),
        ])
    }
}
