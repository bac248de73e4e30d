//! The Helm chart: what it renders, and that an agent serves with what it installs, and with no more.

mod golden;
mod pod;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Place, Traffic, wait_until};
use serde_json::{Value, json};

use self::pod::PlayedPod;
use crate::cluster::{Cluster, LONGEST, WEB_PORT, await_endpoints, without_agents};

/// The chart.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/helm/netproxy");
/// Where it is installed.
const NAMESPACE: &str = "kube-system";
/// Its account there.
const ACCOUNT: &str = "system:serviceaccount:kube-system:netproxy";
/// The priority of what a node cannot do without (`SystemCriticalPriority` and the thousand above it).
const NODE_CRITICAL: u64 = 2_000_001_000;

/// Installs or upgrades the chart for the lab's API server, with more values.
fn install(cluster: &Cluster<'_>, values: &[&str]) -> Result<()> {
    let address = cluster.control_plane.address();
    let host = format!("apiServer.host={}", address.ip());
    let port = format!("apiServer.port={}", address.port());
    let mut words = vec!["upgrade", "--install", "netproxy", CHART];
    words.extend(["--namespace", NAMESPACE, "--set", &host, "--set", &port]);
    // The lab's nodes share a machine: each has its own part of the cgroups.
    words.extend(["--set", "extraArgs={--cgroup=/host/sys/fs/cgroup}"]);
    for value in values {
        words.extend(["--set", value]);
    }
    cluster.control_plane.helm(&words).map(drop)
}

/// Tells the API server of the resources of the Prometheus Operator.
fn define_monitors(cluster: &Cluster<'_>) -> Result<()> {
    let directory = cluster.control_plane.definitions()?;
    let directory = directory.to_str().context("the path is UTF-8")?;
    let words = ["create", "--filename", directory];
    cluster.control_plane.kubectl(&words)?;
    let words = ["wait", "--for=condition=Established", "crd", "--all"];
    cluster.control_plane.kubectl(&words).map(drop)
}

/// What the API server has.
fn get(cluster: &Cluster<'_>, kind: &str) -> Result<Value> {
    let words = [
        "get",
        kind,
        "netproxy",
        "--namespace",
        NAMESPACE,
        "-o",
        "json",
    ];
    Ok(serde_json::from_str(
        &cluster.control_plane.kubectl(&words)?,
    )?)
}

/// Whether the chart's account may do this.
fn may(cluster: &Cluster<'_>, verb: &str, resource: &str) -> Result<bool> {
    // It exits with 1 to say no.
    let words = ["auth", "can-i", verb, resource, "--all-namespaces", "--as"];
    let words = [&words[..], &[ACCOUNT]].concat();
    match cluster.control_plane.kubectl(&words) {
        Ok(_) => Ok(true),
        Err(error) if format!("{error:#}").contains("exit status: 1") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Installs the chart with these values, and plays the pods that it asks for.
fn play(cluster: &mut Cluster<'_>, values: &[&str]) -> Result<()> {
    install(cluster, values)?;
    let program = PlayedPod::of_chart(cluster)?.program(cluster)?;
    cluster.start_agents_with(|options| options.at_sockets().binary(&program))
}

/// Sees that the chart's pods serve, with none of these complaints in their logs.
fn serve(name: &str, values: &[&str], complaints: &[&str]) -> Result<()> {
    without_agents(name, |cluster| {
        play(cluster, values)?;

        cluster.serve_web(&["web-1", "web-3"])?;
        await_endpoints(
            &cluster.node("b")?,
            &Cluster::cluster_urls(WEB_PORT)?,
            &["web-1", "web-3"],
        )?;
        for agent in cluster.agents() {
            let log = agent.log();
            ensure!(!log.to_lowercase().contains("forbidden"), "{log}");
            // The file of the ConfigMap is the one that is read.
            ensure!(log.contains("masquerade: External"), "{log}");
            for complaint in complaints {
                ensure!(!log.contains(complaint), "{complaint} {log}");
            }
        }
        wait_until("both agents tell that they start", LONGEST, || {
            let words = ["get", "events.v1.events.k8s.io", "-A", "-o", "json"];
            let events: Value = serde_json::from_str(&cluster.control_plane.kubectl(&words)?)?;
            let events = events["items"].as_array().context("no list")?;
            let is_start = |event: &&Value| event["reason"] == "Starting";
            Ok(events.iter().filter(is_start).count() == 2)
        })
    })
}

#[test]
fn agents_serve_with_the_account_capabilities_and_files_that_the_chart_installs() -> Result<()> {
    serve(
        "chart",
        &["netproxyConfig.masquerade=external"],
        // What `netproxy check` would find wrong, and what was not understood.
        &["privileges:", "bpffs:", "connected UDP sockets", "ignored"],
    )
}

#[test]
fn sockets_of_other_pods_are_ended_from_a_pod_of_the_chart() -> Result<()> {
    without_agents("chart-sockets", |cluster| {
        play(cluster, &["netproxyConfig.terminateTcp=true"])?;
        cluster.serve_web(&["web-3"])?;
        let shell = cluster.shell()?;
        let urls = Cluster::cluster_urls(WEB_PORT)?;
        let held: Vec<_> = urls
            .iter()
            .map(|url| shell.hold(url))
            .collect::<Result<_>>()?;

        cluster.control_plane.delete("pod", "web-3")?;

        for hold in held {
            let report = hold.finish(LONGEST)?;
            ensure!(report.broken.is_some(), "{report:?}");
        }
        Ok(())
    })
}

#[test]
fn three_capabilities_and_no_pid_namespace_are_enough_where_no_socket_is_ended() -> Result<()> {
    serve(
        "chart-frugal",
        &[
            "netproxyConfig.masquerade=external",
            "netproxyConfig.terminateUdp=false",
            "init.enabled=false",
        ],
        &["nothing can be attached", "bpffs:", "ignored"],
    )
}

#[test]
fn what_prometheus_scrapes_and_judges_by_is_admitted_and_agents_answer_at_the_nodes_address()
-> Result<()> {
    without_agents("chart-metrics", |cluster| {
        define_monitors(cluster)?;
        let switches = ["serviceMonitor", "prometheusRule", "dashboard"];
        let switches = switches.map(|it| format!("metrics.{it}.enabled=true"));
        let mut values: Vec<_> = switches.iter().map(String::as_str).collect();
        values.push("metrics.serviceMonitor.interval=30s");

        play(cluster, &values)?;

        let monitor = get(cluster, "servicemonitor")?["spec"].take();
        let words = [
            "get",
            "service",
            "netproxy-metrics",
            "--namespace",
            NAMESPACE,
            "-o",
            "json",
        ];
        let service: Value = serde_json::from_str(&cluster.control_plane.kubectl(&words)?)?;
        let wanted = monitor["selector"]["matchLabels"]
            .as_object()
            .context("labels")?;
        let labels = &service["metadata"]["labels"];
        ensure!(
            wanted.iter().all(|(label, value)| labels[label] == *value),
            "{labels}"
        );
        let pods = &get(cluster, "daemonset")?["spec"]["template"]["metadata"]["labels"];
        let selected = service["spec"]["selector"]
            .as_object()
            .context("a selector")?;
        ensure!(
            selected.iter().all(|(label, value)| pods[label] == *value),
            "{pods}"
        );
        let port = &service["spec"]["ports"][0];
        ensure!(port["name"] == monitor["endpoints"][0]["port"], "{monitor}");
        let outside = cluster.lab.client("outside")?;
        for node in cluster.lab.nodes() {
            let page = format!("http://{}:{}/metrics", node.ipv4(), port["targetPort"]);
            wait_until(&page, LONGEST, || {
                Ok(outside.fetch("GET", &page)?.status == 200)
            })?;
        }
        let rules = get(cluster, "prometheusrule")?["spec"]["groups"].take();
        ensure!(
            rules[0]["rules"]
                .as_array()
                .is_some_and(|rules| rules.len() > 10),
            "{rules}"
        );
        Ok(())
    })
}

#[test]
fn a_pod_of_the_daemon_set_is_admitted_with_the_priority_of_what_a_node_needs() -> Result<()> {
    without_agents("chart-pod", |cluster| {
        install(cluster, &[])?;
        let template = &get(cluster, "daemonset")?["spec"]["template"];
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": template["metadata"],
            "spec": template["spec"],
        });
        pod["metadata"]["name"] = json!("netproxy-dry");
        pod["metadata"]["namespace"] = json!(NAMESPACE);
        let file = cluster.control_plane.directory().join("pod.json");
        std::fs::write(&file, pod.to_string())?;

        let file = file.to_str().context("the path is UTF-8")?;
        let words = ["create", "--dry-run=server", "-o", "json", "-f", file];
        let admitted: Value = serde_json::from_str(&cluster.control_plane.kubectl(&words)?)?;

        let spec = &admitted["spec"];
        ensure!(spec["priority"] == NODE_CRITICAL, "{spec:#}");
        ensure!(
            spec["hostNetwork"] == true && spec["hostPID"] == true,
            "{spec:#}"
        );
        ensure!(
            spec["tolerations"][0] == json!({"operator": "Exists"}),
            "{spec:#}"
        );
        for container in ["initContainers", "containers"] {
            let security = &spec[container][0]["securityContext"];
            ensure!(security["privileged"] == false, "{security:#}");
            ensure!(security["readOnlyRootFilesystem"] == true, "{security:#}");
            ensure!(
                security["capabilities"]["drop"] == json!(["ALL"]),
                "{security:#}"
            );
        }
        Ok(())
    })
}

#[test]
fn the_service_of_the_cluster_in_kind_is_admitted() -> Result<()> {
    without_agents("chart-kind", |cluster| {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kind/hello.yaml");
        let words = ["create", "--dry-run=server", "-o", "name", "-f", file];

        let admitted = cluster.control_plane.kubectl(&words)?;

        let objects: Vec<_> = admitted.lines().collect();
        ensure!(
            objects == ["deployment.apps/hello", "service/hello"],
            "{admitted}"
        );
        Ok(())
    })
}

#[test]
fn the_account_may_read_what_is_asked_for_only() -> Result<()> {
    without_agents("chart-rights", |cluster| {
        let may = |verb, resource| may(cluster, verb, resource);
        install(cluster, &[])?;
        for resource in [
            "services",
            "endpointslices.discovery.k8s.io",
            "nodes",
            "servicecidrs.networking.k8s.io",
        ] {
            ensure!(may("watch", resource)?, "{resource}");
            ensure!(!may("update", resource)?, "{resource}");
        }
        ensure!(may("create", "events.events.k8s.io")?, "events");
        for resource in ["secrets", "pods", "namespaces", "configmaps"] {
            ensure!(!may("list", resource)?, "{resource}");
        }

        install(cluster, &["netproxyConfig.socketOptOut=true"])?;

        ensure!(
            may("watch", "pods")? && may("watch", "namespaces")?,
            "opt-out"
        );
        ensure!(!may("list", "secrets")?, "secrets");
        let words = ["uninstall", "netproxy", "--namespace", NAMESPACE];
        cluster.control_plane.helm(&words)?;
        ensure!(get(cluster, "daemonset").is_err(), "it is still there");
        ensure!(get(cluster, "clusterrole").is_err(), "it is still there");
        Ok(())
    })
}
