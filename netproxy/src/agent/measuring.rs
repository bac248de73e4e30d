//! What the pass over the flow table brings to light, noted for whoever asks for metrics.

use rustc_hash::FxHashMap;
use tracing::warn;

use super::Agent;
use crate::datapath::Seen;

impl Agent {
    /// Notes what a pass has seen, and what else is known without looking far.
    pub(super) fn measure(&mut self, seen: &Seen) {
        let Seen { fills, flows } = seen;
        let metrics = &mut self.metrics;
        metrics.datapath.fills(fills);
        metrics.datapath.fills(&self.datapath.fills());
        metrics.datapath.flows(&flows.classes);
        metrics.source_ports.used(&flows.destinations);
        let services = self.datapath.services_by_id();
        let services: FxHashMap<_, _> = services.map(|(id, name)| (id, name.clone())).collect();
        metrics.services.flows(&services, &flows.services);
        match self.datapath.drops() {
            Ok(drops) => metrics.services.drops(&services, drops),
            Err(error) => warn!(%error, "drops are not told by service"),
        }
    }
}
