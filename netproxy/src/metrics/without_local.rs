//! Ports of services that are dropped on this node, as their policy is Local and all of their
//! endpoints are elsewhere.

use std::collections::BTreeMap;

use netproxy_common::{Verdict, Window};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{as_i64, register};
use crate::model::{Family, ObjectName};
use crate::plan::{WantedPort, WantedRange};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Policy {
    traffic_policy: &'static str,
    ip_family: &'static str,
}

const POLICIES: [&str; 2] = ["internal", "external"];

/// How many ports of a service, by policy as in [`POLICIES`] and family as in [`Family::BOTH`].
type Counts = [[usize; 2]; 2];

/// Counts them.
#[derive(Debug)]
pub struct WithoutLocal {
    gauges: Labelled<Policy, Gauge>,
    /// Services that have such ports.
    services: BTreeMap<ObjectName, Counts>,
}

impl WithoutLocal {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let it = Self {
            gauges: register(
                registry,
                "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
                "Ports of services that are dropped, as their policy is Local and all of their \
                 endpoints are elsewhere",
                Labelled::default(),
            ),
            services: BTreeMap::new(),
        };
        it.tell();
        it
    }

    /// These are all ports of the services named.
    pub fn set(&mut self, wanted: &[(ObjectName, Vec<WantedPort>)]) {
        for (service, ports) in wanted {
            let mut counts = Counts::default();
            for port in ports {
                let family = usize::from(port.key.family == Family::V6);
                let [internal, external] = is_without(&port.range);
                counts[0][family] += usize::from(internal);
                counts[1][family] += usize::from(external);
            }
            if counts == Counts::default() {
                self.services.remove(service);
            } else {
                self.services.insert(service.clone(), counts);
            }
        }
        self.tell();
    }

    fn tell(&self) {
        for (policy, traffic_policy) in POLICIES.into_iter().enumerate() {
            for (family, known) in Family::BOTH.into_iter().enumerate() {
                let counts = self.services.values();
                let ports: usize = counts.map(|counts| counts[policy][family]).sum();
                let labels = Policy {
                    traffic_policy,
                    ip_family: known.name(),
                };
                self.gauges.get_or_create(&labels).set(as_i64(ports));
            }
        }
    }
}

/// Whether the policy for clients of cluster IPs leaves none, and that for others.
fn is_without(range: &WantedRange) -> [bool; 2] {
    let [internal, _, external] = range.verdicts;
    let is_dropped = |window: Window, verdict| window.count == 0 && verdict == Verdict::Drop;
    [
        is_dropped(range.internal, internal),
        range.is_external_local && is_dropped(range.external_local, external),
    ]
}
