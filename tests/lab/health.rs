//! How those who ask after an agent are answered: kubelets, and load balancers.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use netproxy_lab::{
    AgentOptions, Cni, EndpointObject, Lab, Node, Place, Serve, ServiceObject, Traffic,
    TrafficPolicy, report::Fetched, url, wait_for, wait_until,
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, LONGEST},
    shop::{Offer, is},
};

/// Where agents say how they fare.
const HEALTH_PORT: u16 = 10_256;
/// Where they are measured, for processes of the node only.
const METRICS_PORT: u16 = 10_249;
/// Where load balancers ask after the Service of these tests.
const CHECK_PORT: u16 = 32_001;

/// Node `a` with the pods `web-1` and `web-2`, node `b` with none, and the load balancer `outside`.
fn cluster(name: &str) -> Result<Cluster> {
    cluster_with(name, &[])
}

/// The same, with agents that are told more.
fn cluster_with(name: &str, arguments: &[&str]) -> Result<Cluster> {
    let lab = Lab::builder(name)
        .node("a", Cni::Bridge)
        .pod("web-1")
        .pod("web-2")
        .node("b", Cni::PointToPoint)
        .client("outside");
    Cluster::up_with(lab, |options| {
        arguments.iter().fold(options, AgentOptions::argument)
    })
}

/// A Service of type `LoadBalancer` whose nodes are asked after their endpoints.
fn checked_service() -> Result<ServiceObject> {
    let service = Offer::new("web", 1)?.service;
    Ok(service
        .external_policy(TrafficPolicy::Local)
        .health_check_node_port(CHECK_PORT))
}

fn fetch(from: &dyn Place, address: IpAddr, port: u16, path: &str) -> Result<Fetched> {
    from.fetch("GET", &(url(address, port) + path))
}

/// What the node's health server says at `path`, once it says so with `status`.
fn await_status(from: &dyn Place, node: &Node, path: &str, status: u16) -> Result<Fetched> {
    let what = format!("{}: {status} at /{path}", node.name());
    let probe = || fetch(from, node.ipv4().into(), HEALTH_PORT, path);
    wait_for(&what, LONGEST, probe, |fetched| fetched.status == status)
}

/// Waits until load balancers hear of this many endpoints on the node, in both families, and holds
/// that they hear it in the very words of kube-proxy.
fn await_count(from: &dyn Place, node: &Node, count: usize) -> Result<()> {
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"web\"\n\t}},\n\t\
         \"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": true\n}}"
    );
    for address in node.internal_ips() {
        let what = format!("{address} has {count} endpoints");
        let probe = || fetch(from, address, CHECK_PORT, "");
        let fetched = wait_for(&what, LONGEST, probe, |fetched| fetched.body == body)?;
        let status = if count > 0 { 200 } else { 503 };
        is(&what, &fetched.status, &status)?;
        let weight = fetched.headers.get("x-load-balancing-endpoint-weight");
        is(&what, &weight, &Some(&count.to_string()))?;
        has_json_headers(&fetched)?;
    }
    Ok(())
}

fn has_json_headers(fetched: &Fetched) -> Result<()> {
    let header = |name: &str| fetched.headers.get(name).map(String::as_str);
    is("type", &header("content-type"), &Some("application/json"))?;
    is(
        "sniffing",
        &header("x-content-type-options"),
        &Some("nosniff"),
    )
}

/// Holds that the body is what kube-proxy would write, field for field, with the times that are in
/// it and these values.
fn is_report(body: &str, node_eligible: Option<bool>, is_healthy: bool) -> Result<()> {
    let report: Value = serde_json::from_str(body).context("not JSON")?;
    let (status, now) = (&report["status"], &report["currentTime"]);
    let (v4, v6) = (
        &status["IPv4"]["lastUpdated"],
        &status["IPv6"]["lastUpdated"],
    );
    for time in [now, v4, v6, &report["lastUpdated"]] {
        let text = time.as_str().unwrap_or_default();
        ensure!(
            text.starts_with("20") && text.ends_with('Z'),
            "{time} is no time: {body}"
        );
    }
    let eligible = node_eligible.map_or_else(String::new, |it| format!(r#""nodeEligible":{it},"#));
    let updated = &report["lastUpdated"];
    let expected = format!(
        r#"{{"lastUpdated":{updated},"currentTime":{now},{eligible}"healthy":{is_healthy},"status":{{"IPv4":{{"lastUpdated":{v4},"healthy":{is_healthy}}},"IPv6":{{"lastUpdated":{v6},"healthy":{is_healthy}}}}}}}"#
    );
    is("the report", &body, &expected.as_str())
}

#[test]
fn an_agent_that_has_synced_is_healthy_alive_and_ready_in_both_families() -> Result<()> {
    let cluster = cluster("health-synced")?;
    cluster.hold(|| {
        let outside = cluster.lab.client("outside")?;
        for node in cluster.lab.nodes() {
            await_status(&outside, node, "readyz", 200)?;
            for address in node.internal_ips() {
                let get = |path| fetch(&outside, address, HEALTH_PORT, path);
                let (healthz, livez, readyz) = (get("healthz")?, get("livez")?, get("readyz")?);
                for fetched in [&healthz, &livez, &readyz] {
                    is("status", &fetched.status, &200)?;
                    has_json_headers(fetched)?;
                }
                is_report(&healthz.body, Some(true), true)?;
                is_report(&livez.body, None, true)?;
                is(
                    "readiness",
                    &&*readyz.body,
                    &r#"{"ready":true,"reasons":[]}"#,
                )?;
                is("another path", &get("metrics")?.status, &404)?;
            }
        }
        Ok(())
    })
}

#[test]
fn an_agent_that_waits_for_its_source_is_healthy_but_not_ready() -> Result<()> {
    let lab = Lab::builder("health-waiting").node("a", Cni::Bridge).up()?;
    let work = || {
        let node = lab.node("a")?;
        // Nobody has this address: it is TEST-NET-1's.
        let kubeconfig = lab.directory().join("nowhere.kubeconfig");
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "a", "cluster": {"server": "http://192.0.2.1:6443"}}],
            "users": [{"name": "a", "user": {}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        });
        netproxy_lab::objects::replace(&kubeconfig, &text.to_string())?;

        node.start_agent(&AgentOptions::kubernetes(&kubeconfig))?;

        let healthz = await_status(&node, &node, "healthz", 200)?;
        is_report(&healthz.body, Some(true), true)?;
        let readyz = await_status(&node, &node, "readyz", 503)?;
        is(
            "readiness",
            &&*readyz.body,
            &r#"{"ready":false,"reasons":["the first complete sync has not been done"]}"#,
        )
    };
    work().inspect_err(|_| eprintln!("{}", lab.logs()))
}

#[test]
fn a_node_whose_object_is_gone_takes_no_new_connections_but_lives() -> Result<()> {
    let cluster = cluster("health-node")?;
    cluster.hold(|| {
        let (outside, node) = (cluster.lab.client("outside")?, cluster.lab.node("a")?);
        await_status(&outside, &node, "readyz", 200)?;

        cluster.objects.remove_node(&node)?;

        let healthz = await_status(&outside, &node, "healthz", 503)?;
        is_report(&healthz.body, Some(false), true)?;
        let livez = await_status(&outside, &node, "livez", 200)?;
        is_report(&livez.body, None, true)?;

        cluster.objects.put_node(&node)?;
        await_status(&outside, &node, "healthz", 200).map(drop)
    })
}

#[test]
fn load_balancers_hear_of_endpoints_as_they_come_drain_and_go() -> Result<()> {
    let cluster = cluster("health-check")?;
    cluster.hold(|| {
        let lab = &cluster.lab;
        let outside = lab.client("outside")?;
        let (with, without) = (lab.node("a")?, lab.node("b")?);
        let (one, two) = (lab.pod("web-1")?, lab.pod("web-2")?);
        let service = checked_service()?;

        cluster.put(&service.clone().endpoint(&one).endpoint(&two))?;
        await_count(&outside, &with, 2)?;
        await_count(&outside, &without, 0)?;
        let any = url(with.ipv4(), CHECK_PORT) + "any/path";
        is("POST", &outside.fetch("POST", &any)?.status, &200)?;

        let drained = EndpointObject::from(&one).terminating();
        cluster.put(&service.clone().endpoint(drained.clone()).endpoint(&two))?;
        await_count(&outside, &with, 1)?;
        let last = EndpointObject::from(&two).terminating();
        cluster.put(&service.clone().endpoint(drained).endpoint(last))?;
        await_count(&outside, &with, 0)?;

        cluster.objects.remove(&service)?;
        wait_until("nobody listens", LONGEST, || {
            let refused = fetch(&outside, with.ipv4().into(), CHECK_PORT, "");
            let error = refused.err().context("somebody listens")?;
            Ok(format!("{error:#}").contains("refused"))
        })
    })
}

#[test]
fn a_port_that_is_taken_is_named_and_answered_once_it_is_free() -> Result<()> {
    let cluster = cluster("health-taken")?;
    cluster.hold(|| {
        let (outside, node) = (cluster.lab.client("outside")?, cluster.lab.node("a")?);
        let service = checked_service()?;
        let taken = node.serve(&Serve::new().http(CHECK_PORT))?;

        cluster.put(&service.clone().endpoint(&cluster.lab.pod("web-1")?))?;
        let agent = cluster.agent("a")?;
        wait_until("the agent names the port", LONGEST, || {
            let log = agent.log();
            let mut lines = log.lines();
            let port = format!(":{CHECK_PORT}");
            Ok(lines.any(|line| line.contains("ERROR") && line.contains(&port)))
        })?;
        taken.kill9()?;

        // With the next sync, if not before.
        cluster.put(&service.endpoint(&cluster.lab.pod("web-2")?))?;
        await_count(&outside, &node, 1)
    })
}

#[test]
fn the_mode_is_told_to_processes_of_the_node_only() -> Result<()> {
    let cluster = cluster("health-mode")?;
    cluster.hold(|| {
        let (outside, node) = (cluster.lab.client("outside")?, cluster.lab.node("a")?);
        await_status(&outside, &node, "readyz", 200)?;

        let localhost = IpAddr::from([127, 0, 0, 1]);
        for (path, body) in [("proxyMode", "ebpf"), ("healthz", "ok")] {
            let fetched = fetch(&node, localhost, METRICS_PORT, path)?;
            is(path, &(fetched.status, &*fetched.body), &(200, body))?;
        }
        let from_outside = fetch(&outside, node.ipv4().into(), METRICS_PORT, "proxyMode");
        ensure!(from_outside.is_err(), "{from_outside:?}");
        Ok(())
    })
}

#[test]
fn only_the_chosen_addresses_of_node_ports_answer_load_balancers() -> Result<()> {
    // Those of the Nodes, of IPv4; and all of IPv6, of which nothing is said.
    let cluster = cluster_with("health-chosen", &["--nodeport-addresses", "172.31.0.0/24"])?;
    cluster.hold(|| {
        let (outside, node) = (cluster.lab.client("outside")?, cluster.lab.node("a")?);
        let second: IpAddr = "192.0.2.77".parse()?;
        node.ip(&format!("addr add {second}/32 dev lo"))?;
        outside.route_via(IpNet::from(second), &node)?;
        let service = checked_service()?.endpoint(&cluster.lab.pod("web-1")?);

        cluster.put(&service)?;

        await_count(&outside, &node, 1)?;
        let other = fetch(&outside, second, CHECK_PORT, "");
        ensure!(other.is_err(), "another address answers: {other:?}");
        // Unlike the health server, which is the node's.
        let health = fetch(&outside, second, HEALTH_PORT, "livez")?;
        is("the health server", &health.status, &200)
    })
}

#[test]
fn an_agent_is_not_ready_while_the_kernel_refuses_a_service() -> Result<()> {
    let cluster = cluster_with("health-refused", &["--map-size", "FRONTENDS_V4=2"])?;
    cluster.hold(|| {
        let (outside, node) = (cluster.lab.client("outside")?, cluster.lab.node("a")?);
        await_status(&outside, &node, "readyz", 200)?;
        let service = Offer::new("web", 1)?.service;

        cluster.objects.put(&service)?;

        let readyz = await_status(&outside, &node, "readyz", 503)?;
        ensure!(readyz.body.contains("FRONTENDS_V4"), "{readyz:?}");
        // That alone is no reason to start it anew or to send traffic elsewhere, at first.
        await_status(&outside, &node, "livez", 200)?;
        await_status(&outside, &node, "healthz", 200)?;

        cluster.objects.remove(&service)?;
        await_status(&outside, &node, "readyz", 200).map(drop)
    })
}
