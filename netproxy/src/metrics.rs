//! What the agent measures, for Prometheus: kube-proxy's names where the meaning is the same, and
//! `netproxy_*`. docs/operations.md lists all of them.
//!
//! The agent notes what it does as it does it, and what its periodic pass over the flow table saw.
//! Whoever asks is answered from that: no scrape walks a map, or waits for the agent's task.

mod answers;
mod attachments;
mod datapath;
mod process;
mod requests;
mod services;
mod source_ports;
mod syncs;
mod text;
mod without_local;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

pub(crate) use self::answers::{AnswerCounts, HealthPath};
pub use self::attachments::AttachMetrics;
pub use self::datapath::DatapathMetrics;
pub(crate) use self::requests::note_request;
pub use self::services::ServiceMetrics;
pub use self::source_ports::SourcePortMetrics;
pub use self::syncs::{Extent, Syncs};
pub use self::without_local::WithoutLocal;

use self::process::ProcessMetrics;

/// The page that is answered at `/metrics`.
#[derive(Debug)]
pub struct MetricsPage {
    registry: Registry,
    answers: AnswerCounts,
}

impl MetricsPage {
    /// The content type of [`Self::text`]: version 0.0.4 of the text format, which everything that
    /// scrapes understands.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// All values as they are now.
    ///
    /// # Errors
    /// When a value cannot be written as text, which none of ours is.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        text::encode(&self.registry)
    }

    /// Counts what the health server answers.
    pub(crate) const fn answers(&self) -> &AnswerCounts {
        &self.answers
    }
}

/// The agent's pens, by which the page is written.
#[derive(Debug)]
pub struct Metrics {
    /// From the source into the maps.
    pub syncs: Syncs,
    /// Ports that a policy leaves without an endpoint.
    pub without_local: WithoutLocal,
    /// What the programs count, and how full their maps are.
    pub datapath: DatapathMetrics,
    /// Flows and drops by service.
    pub services: ServiceMetrics,
    /// Source ports by endpoint.
    pub source_ports: SourcePortMetrics,
    /// Devices and programs.
    pub attachments: AttachMetrics,
}

/// Who stands for all that have no series of their own.
const OTHER: &str = "other";

impl Metrics {
    /// Of an agent that starts `now`, and the page that tells of it. No more than `limit` services,
    /// endpoints and devices each have series of their own.
    #[must_use]
    pub fn new(now: Timestamp, limit: usize) -> (Self, MetricsPage) {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics::new(now)));
        // Not `kubernetes_build_info`: alerts on components of a cluster whose versions differ
        // would take ours for one of Kubernetes.
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("netproxy_build", "The running netproxy", build);
        let answers = AnswerCounts::new(&mut registry);
        requests::put_on(&mut registry);
        let metrics = Self {
            syncs: Syncs::new(&mut registry, now),
            without_local: WithoutLocal::new(&mut registry),
            datapath: DatapathMetrics::new(&mut registry),
            services: ServiceMetrics::new(&mut registry, limit),
            source_ports: SourcePortMetrics::new(&mut registry, limit),
            attachments: AttachMetrics::new(&mut registry, limit),
        };
        (metrics, MetricsPage { registry, answers })
    }
}

/// Puts a metric on the page; what is done to the clone that stays is seen there.
fn register<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

/// A number of things as a gauge has it.
fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
