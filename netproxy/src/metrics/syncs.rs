//! How changes come from the source into the maps, by kube-proxy's names.
//!
//! One pass of the agent serves both families, so a pass counts for each family that it concerns,
//! with the same duration. Packets see a change as soon as the pass is over: nothing is between the
//! maps and them.

use std::collections::BTreeSet;
use std::mem;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::{as_i64, register};
use crate::model::Family;
use crate::store::Arrivals;

type Seconds = Gauge<f64, AtomicU64>;
type Histograms = Labelled<OfFamily, Histogram, fn() -> Histogram>;

/// Of which services a pass compares the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    Full,
    /// Those that have changed, or are tried again.
    Partial,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFamily {
    ip_family: &'static str,
}

/// Notes of passes.
#[derive(Debug)]
pub struct Syncs {
    started: Timestamp,
    durations: Histograms,
    full_durations: Histograms,
    partial_durations: Histograms,
    latencies: Histograms,
    last: Labelled<OfFamily, Seconds>,
    last_queued: Labelled<OfFamily, Seconds>,
    failures: Counter,
    service_changes: Counter,
    services_pending: Gauge,
    endpoint_changes: Counter,
    endpoints_pending: Gauge,
    /// What has come and is not in force yet.
    pending: Arrivals,
}

impl Syncs {
    /// Of changes that were before `started` nobody can tell how long they took.
    pub(super) fn new(registry: &mut Registry, started: Timestamp) -> Self {
        Self {
            started,
            durations: register(
                registry,
                "kubeproxy_sync_proxy_rules_duration_seconds",
                "How long passes took that bring the maps to the wanted state",
                Labelled::new_with_constructor(durations),
            ),
            full_durations: register(
                registry,
                "kubeproxy_sync_full_proxy_rules_duration_seconds",
                "How long those over all services took: at the start, and each minute",
                Labelled::new_with_constructor(durations),
            ),
            partial_durations: register(
                registry,
                "kubeproxy_sync_partial_proxy_rules_duration_seconds",
                "How long those took that were over services that changed or were refused before",
                Labelled::new_with_constructor(durations),
            ),
            latencies: register(
                registry,
                "kubeproxy_network_programming_duration_seconds",
                "From the change of a Pod or Service that led to one of an EndpointSlice (its \
                 annotation last-change-trigger-time) until packets see it",
                Labelled::new_with_constructor(latencies),
            ),
            last: register(
                registry,
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "When a pass last succeeded, in seconds since 1970",
                Labelled::default(),
            ),
            last_queued: register(
                registry,
                "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                "When a pass was last begun, in seconds since 1970",
                Labelled::default(),
            ),
            failures: register(
                registry,
                "netproxy_sync_failures",
                "Passes of which the kernel refused a part; it is tried again",
                Counter::default(),
            ),
            service_changes: register(
                registry,
                "kubeproxy_sync_proxy_rules_service_changes",
                "Changes of Services",
                Counter::default(),
            ),
            services_pending: register(
                registry,
                "kubeproxy_sync_proxy_rules_service_changes_pending",
                "Changed Services that are not in force yet",
                Gauge::default(),
            ),
            endpoint_changes: register(
                registry,
                "kubeproxy_sync_proxy_rules_endpoint_changes",
                "Changes of a Service's EndpointSlices",
                Counter::default(),
            ),
            endpoints_pending: register(
                registry,
                "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                "Services whose changed EndpointSlices are not in force yet",
                Gauge::default(),
            ),
            pending: Arrivals::default(),
        }
    }

    /// These changes have come, and wait for the next pass.
    pub fn arrived(&mut self, arrivals: Arrivals) {
        self.service_changes.inc_by(arrivals.services.len() as u64);
        self.endpoint_changes
            .inc_by(arrivals.endpoints.len() as u64);
        self.pending.join(arrivals);
        self.tell_pending();
    }

    /// A pass begins that concerns these families.
    pub fn begun(&self, families: &BTreeSet<Family>, now: Timestamp) {
        set_all(&self.last_queued, families, now);
    }

    /// It has succeeded: all that had come is in force.
    pub fn succeeded(
        &mut self,
        extent: Extent,
        families: &BTreeSet<Family>,
        took: Duration,
        now: Timestamp,
    ) {
        let by_extent = match extent {
            Extent::Full => &self.full_durations,
            Extent::Partial => &self.partial_durations,
        };
        for family in families {
            for histograms in [&self.durations, by_extent] {
                let histogram = histograms.get_or_create(&of(*family));
                histogram.observe(took.as_secs_f64());
            }
        }
        set_all(&self.last, families, now);
        let pending = mem::take(&mut self.pending);
        for (family, triggered) in pending.triggers.into_values().flatten() {
            if triggered > self.started {
                let latency = now.duration_since(triggered).as_secs_f64().max(0.0);
                self.latencies.get_or_create(&of(family)).observe(latency);
            }
        }
        self.tell_pending();
    }

    /// The kernel has refused a part of it.
    pub fn failed(&self) {
        self.failures.inc();
    }

    fn tell_pending(&self) {
        let Arrivals {
            services,
            endpoints,
            ..
        } = &self.pending;
        self.services_pending.set(as_i64(services.len()));
        self.endpoints_pending.set(as_i64(endpoints.len()));
    }
}

fn set_all(gauges: &Labelled<OfFamily, Seconds>, families: &BTreeSet<Family>, now: Timestamp) {
    for family in families {
        gauges.get_or_create(&of(*family)).set(unix_s(now));
    }
}

/// Seconds since 1970.
pub(super) fn unix_s(time: Timestamp) -> f64 {
    time.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

const fn of(family: Family) -> OfFamily {
    OfFamily {
        ip_family: family.name(),
    }
}

/// The buckets are kube-proxy's, so that its dashboards fit.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

fn latencies() -> Histogram {
    let seconds = (1..60)
        .chain((60..120).step_by(5))
        .chain((120..=300).step_by(30));
    Histogram::new([0.25, 0.5].into_iter().chain(seconds.map(f64::from)))
}
