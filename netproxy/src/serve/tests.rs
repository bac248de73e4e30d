//! Tests of what those who ask are told. Times are given, not awaited; servers are real ones, on
//! the loopback device.

mod answers;
mod complaints;
mod connections;
mod doors;
mod node_ports;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::answers::Moment;
use super::health_checks::HealthChecks;
use super::http::Answer;
use super::publisher::HealthPublisher;
use crate::metrics::{Metrics, MetricsPage};
use crate::model::{Family, Node, ObjectName, Service, TrafficPolicy};
use crate::plan::HealthCheck;
use crate::settings::NodePortAddresses;

/// Twice the usual sync period.
const LIMIT: Duration = Duration::from_mins(1);

/// When the agent of a test started.
fn start() -> Moment {
    Moment {
        instant: Instant::now(),
        timestamp: "2026-11-21T05:00:00.5Z".parse().unwrap(),
    }
}

/// Some time after `from`.
fn after(from: Moment, seconds: u64) -> Moment {
    let passed = Duration::from_secs(seconds);
    Moment {
        instant: from.instant + passed,
        timestamp: from.timestamp + passed,
    }
}

/// What an agent publishes that has just started, and serves NodePorts where they are by default.
fn publisher(now: Timestamp) -> HealthPublisher {
    HealthPublisher::new(now, HealthChecks::new(&NodePortAddresses::default()))
}

/// The metrics of an agent that has just started.
fn page() -> Arc<MetricsPage> {
    Arc::new(Metrics::new(start().timestamp, 2).1)
}

/// A Node that stays.
fn node() -> Node {
    Node {
        name: "this".into(),
        addresses: Vec::new(),
        zone: None,
        pod_cidrs: Vec::new(),
        is_leaving: false,
    }
}

/// A Service `shop/web` of these families.
fn service(families: &[Family]) -> Service {
    let address = |family: &Family| match family {
        Family::V4 => "10.96.0.1".parse().unwrap(),
        Family::V6 => "fd10:96::1".parse().unwrap(),
    };
    Service {
        name: web(),
        cluster_ips: families.iter().map(address).collect(),
        external_ips: Vec::new(),
        load_balancer_vips: Vec::new(),
        source_ranges: Vec::new(),
        ports: Vec::new(),
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Local,
        affinity_s: None,
        balancing: None,
        health_check_node_port: None,
    }
}

fn web() -> ObjectName {
    ObjectName::new("shop", "web")
}

/// A health check of that many endpoints in each of the families.
fn check(node_port: u16, counts: &[(Family, usize)]) -> HealthCheck {
    HealthCheck {
        node_port,
        local_endpoints: counts.iter().copied().collect(),
    }
}

/// The text of an answer.
async fn body_of(answer: Answer) -> String {
    let Ok(body) = answer.into_body().collect().await;
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// Sends `request` and reads until the server closes.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}
