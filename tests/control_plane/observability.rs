//! What the chart gives to Prometheus and Grafana, on a real Prometheus that scrapes real agents.

mod alerts;
mod dashboard;
mod healthy;
mod troubled;

use std::{collections::BTreeSet, fs, net::SocketAddr};

use anyhow::{Result, ensure};
use netproxy_lab::{
    AgentOptions, Place,
    control_plane::{Alert, Prometheus},
    wait_for,
};
use serde_json::{Value, json};

use crate::cluster::{Cluster, LONGEST};

/// The rule file.
const ALERTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../deploy/helm/netproxy/files/alerts.yaml"
);
/// What the scrape job of agents is called.
const JOB: &str = "netproxy";
/// Where agents answer.
const PORT: u16 = 10_249;

/// Agents that answer at their nodes' addresses, as the chart has them.
fn reachable(options: AgentOptions) -> AgentOptions {
    options
        .argument("--metrics-bind-address")
        .argument(format!("0.0.0.0:{PORT}"))
}

/// Starts a Prometheus with the chart's alerts, none of which waits before it fires.
fn observe<'lab>(cluster: &Cluster<'lab>) -> Result<Prometheus<'lab>> {
    let is_wait = |line: &str| line.trim_start().starts_with("for: ");
    let rules: Vec<_> = fs::read_to_string(ALERTS)?
        .lines()
        .filter(|line| !is_wait(line))
        .map(str::to_owned)
        .collect();
    let file = cluster.control_plane.directory().join("alerts.yaml");
    fs::write(&file, rules.join("\n"))?;
    let nodes = cluster.lab.nodes();
    let targets: Vec<_> = nodes
        .iter()
        .map(|node| (node.name(), SocketAddr::new(node.ipv4().into(), PORT)))
        .collect();
    cluster.control_plane.start_prometheus(JOB, &targets, &file)
}

/// The alerts that fire, all of whose texts must be filled in.
fn firing(prometheus: &Prometheus<'_>) -> Result<Vec<Alert>> {
    let alerts = prometheus.alerts()?;
    for alert in &alerts {
        ensure!(alert.state == "firing", "it waits: {alert:#?}");
        for text in alert.annotations.values() {
            let is_whole = !text.contains("<no value>") && !text.contains("<error expanding");
            ensure!(is_whole, "{alert:#?}");
        }
    }
    Ok(alerts)
}

/// Waits until all of these fire: by name, with this value of a label unless that is empty.
fn await_firing(prometheus: &Prometheus<'_>, wanted: &[(&str, &str, &str)]) -> Result<()> {
    let missing = || {
        let alerts = firing(prometheus)?;
        let fires = |(name, label, value): &&(&str, &str, &str)| {
            alerts.iter().any(|alert| {
                let has =
                    |label: &str, value| alert.labels.get(label).is_some_and(|it| it == value);
                has("alertname", *name) && (label.is_empty() || has(label, *value))
            })
        };
        Ok(wanted.iter().filter(|it| !fires(it)).collect::<Vec<_>>())
    };
    wait_for("no alert is missing", LONGEST, missing, Vec::is_empty).map(drop)
}

/// The names of those that fire.
fn names(alerts: &[Alert]) -> BTreeSet<&str> {
    let names = alerts
        .iter()
        .filter_map(|alert| alert.labels.get("alertname"));
    names.map(String::as_str).collect()
}

/// A Service with this cluster IP and these other fields, for TCP.
fn service(name: &str, cluster_ip: &str, more: &Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": cluster_ip, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        service["spec"][field] = value.clone();
    }
    service
}
