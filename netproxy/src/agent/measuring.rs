//! What the pass over the flow table brings to light, noted for whoever asks for metrics.

use rustc_hash::{FxHashMap, FxHashSet};
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
        let drops = self.datapath.drops();
        if let Err(error) = &drops {
            warn!(%error, "drops are not told by service");
        }
        let traffic = self.datapath.traffic();
        if let Err(error) = &traffic {
            warn!(%error, "traffic is not told by service");
        }
        let dropped = drops.iter().flatten().map(|((id, _), _)| *id);
        let carrying = traffic.iter().flatten().map(|(id, _)| *id);
        let told_of = flows
            .services
            .keys()
            .copied()
            .chain(dropped)
            .chain(carrying);
        let told_of: FxHashSet<u32> = told_of.collect();
        let services = self.datapath.services_by_id();
        let services = services.filter(|(id, _)| told_of.contains(id));
        let services: FxHashMap<_, _> = services.map(|(id, name)| (id, name.clone())).collect();
        let by_service = &mut metrics.services;
        by_service.forget_but(|name| self.datapath.has_service(name));
        by_service.flows(&services, &flows.services);
        if let Ok(drops) = drops {
            by_service.drops(&services, drops);
        }
        if let Ok(traffic) = traffic {
            by_service.traffic(&services, traffic);
        }
    }
}
