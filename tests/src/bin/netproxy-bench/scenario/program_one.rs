//! `program-one`: from the event of a watch that an endpoint has changed to the first packet to the new one.

use anyhow::Result;

use super::{
    Pace, Scenario,
    sample_service::{Latencies, SampleService},
};
use crate::{
    arena::{Arena, deadline},
    measurement::Sample,
    system::{Proxy, System},
};

/// In one run: kube-proxy takes a second for each.
fn changes_of(system: System) -> usize {
    match system.proxy() {
        Some(Proxy::KubeProxy(_)) => 20,
        _ => 200,
    }
}

#[derive(Debug)]
pub(crate) struct ProgramOne;

impl Scenario for ProgramOne {
    fn name(&self) -> &'static str {
        "program-one"
    }

    fn about(&self) -> &'static str {
        "A service gets another endpoint: from the moment when a watch of the API server tells it, to the \
         first connection that reaches it; asked about every half millisecond. kube-proxy has its default \
         minSyncPeriod of one second"
    }

    fn run(&self, arena: &Arena<'_>, system: System, pace: Pace) -> Result<Vec<Sample>> {
        let asker = arena.asker(system)?;
        let proxy = arena.start(system)?;
        proxy.await_synced(deadline())?;
        asker.await_all(&arena.size.frontends()[..1], deadline())?;
        let sample = SampleService::new(arena, asker)?;

        let Latencies {
            from_event,
            from_write,
        } = sample.changes(pace.choose(changes_of(system), 20))?;

        let of_event = |part| Latencies::quantile(&from_event, part);
        let of_write = |part| Latencies::quantile(&from_write, part);
        Ok(vec![
            Sample::new("event to packet, p50", "ms", of_event(0.5)),
            Sample::new("event to packet, p90", "ms", of_event(0.9)),
            Sample::new("event to packet, p99", "ms", of_event(0.99)),
            Sample::new("event to packet, max", "ms", of_event(1.0)),
            Sample::new("write to packet, p50", "ms", of_write(0.5)),
            Sample::new("write to packet, p99", "ms", of_write(0.99)),
        ])
    }
}
