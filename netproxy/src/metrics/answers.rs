//! How often those who ask after the agent's health were told what.

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::register;

/// A path of the health server that kube-proxy has, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthPath {
    /// `/healthz`.
    Healthz,
    /// `/livez`.
    Livez,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

/// Counts answers of the health server.
#[derive(Clone, Debug)]
pub(crate) struct AnswerCounts {
    healthz: Family<Code, Counter>,
    livez: Family<Code, Counter>,
}

impl AnswerCounts {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            healthz: register(
                registry,
                "kubeproxy_proxy_healthz",
                "Answers at /healthz, by status code",
                Family::default(),
            ),
            livez: register(
                registry,
                "kubeproxy_proxy_livez",
                "Answers at /livez, by status code",
                Family::default(),
            ),
        }
    }

    /// One more at `path`.
    pub(crate) fn count(&self, path: HealthPath, status: StatusCode) {
        let counts = match path {
            HealthPath::Healthz => &self.healthz,
            HealthPath::Livez => &self.livez,
        };
        let code = status.as_u16();
        counts.get_or_create(&Code { code }).inc();
    }
}
