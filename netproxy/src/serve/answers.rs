//! What is answered, byte for byte as kube-proxy does where it has the same path.
//!
//! `lastUpdated` of a favourable answer is the present: older versions of kube-proxy told when the
//! sync loop last ran, even if there was nothing to do, and somebody may rely on that.

use std::time::{Duration, Instant};

use http::header::HeaderName;
use http::{Request, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use super::health::{FamilyHealth, Health};
use super::http::{Answer, answer, not_found, text, with_number};
use crate::metrics::{AnswerCounts, HealthPath, MetricsPage};
use crate::model::ObjectName;

/// How many endpoints stand behind a node, for load balancers that weigh nodes.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");
/// What stands at `/proxyMode` for `iptables` or `nftables`: neither's rules are to be looked for.
const PROXY_MODE: &str = "ebpf";

/// When a question is answered, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// For how long things have taken.
    pub(super) instant: Instant,
    /// For telling others.
    pub(super) timestamp: Timestamp,
}

impl Moment {
    /// The present.
    pub(super) fn now() -> Self {
        Self {
            instant: Instant::now(),
            timestamp: Timestamp::now(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    last_updated: Timestamp,
    current_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    status: FamilyReports,
}

#[derive(Serialize)]
struct FamilyReports {
    #[serde(rename = "IPv4")]
    v4: FamilyReport,
    #[serde(rename = "IPv6")]
    v6: FamilyReport,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyReport {
    last_updated: Timestamp,
    healthy: bool,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceReport<'a> {
    service: ServiceName<'a>,
    local_endpoints: usize,
    service_proxy_healthy: bool,
}

#[derive(Serialize)]
struct ServiceName<'a> {
    namespace: &'a str,
    name: &'a str,
}

/// The answer of the health server. Every method is a GET, as with kube-proxy.
pub(super) fn health<B>(
    request: &Request<B>,
    health: &Health,
    limit: Duration,
    now: Moment,
    counts: &AnswerCounts,
) -> Answer {
    let (path, answer) = match request.uri().path() {
        "/healthz" => {
            let answer = report(health, Some(health.is_node_eligible), limit, now);
            (HealthPath::Healthz, answer)
        }
        "/livez" => (HealthPath::Livez, report(health, None, limit, now)),
        "/readyz" => return readiness(health, now),
        _ => return not_found(),
    };
    counts.count(path, answer.status());
    answer
}

/// The answer of the metrics server.
pub(super) fn metrics<B>(request: &Request<B>, page: &MetricsPage) -> Answer {
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok"),
        "/proxyMode" => text(StatusCode::OK, PROXY_MODE),
        "/metrics" => match page.text() {
            Ok(body) => answer(StatusCode::OK, MetricsPage::CONTENT_TYPE, body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        _ => not_found(),
    }
}

/// The answer at a health-check node port, whatever is asked.
pub(super) fn service(name: &ObjectName, local_endpoints: usize, is_healthy: bool) -> Answer {
    let report = ServiceReport {
        service: ServiceName {
            namespace: &name.namespace,
            name: &name.name,
        },
        local_endpoints,
        service_proxy_healthy: is_healthy,
    };
    let answer = json(local_endpoints > 0 && is_healthy, tabbed(&report));
    with_number(answer, WEIGHT, local_endpoints)
}

fn report(health: &Health, node_eligible: Option<bool>, limit: Duration, now: Moment) -> Answer {
    let healthy = health.is_healthy(now.instant, limit);
    let is_favourable = healthy && node_eligible.unwrap_or(true);
    let [v4, v6] = health.families.map(|family: FamilyHealth| FamilyReport {
        last_updated: family.updated,
        healthy: family.is_healthy(now.instant, limit),
    });
    let report = Report {
        last_updated: if is_favourable {
            now.timestamp
        } else {
            health.updated()
        },
        current_time: now.timestamp,
        node_eligible,
        healthy,
        status: FamilyReports { v4, v6 },
    };
    json(is_favourable, serde_json::to_string(&report))
}

fn readiness(health: &Health, now: Moment) -> Answer {
    let reasons = health.shortcomings(now.instant);
    let readiness = Readiness {
        ready: reasons.is_empty(),
        reasons,
    };
    json(readiness.ready, serde_json::to_string(&readiness))
}

/// JSON indented by tabs.
fn tabbed(value: &impl Serialize) -> serde_json::Result<String> {
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut bytes, formatter,
    ))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn json(is_favourable: bool, body: serde_json::Result<String>) -> Answer {
    match body {
        Ok(body) => {
            let status = if is_favourable {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            answer(status, "application/json", body)
        }
        // Numbers, times and strings are always JSON; but nothing may panic here.
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
