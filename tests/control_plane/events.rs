//! What users of the cluster are told by events, with no more rights than a proxy's.

use anyhow::{Context, Result, ensure};
use netproxy_lab::{AgentOptions, Serve, Traffic, wait_for};
use serde_json::{Value, json};

use crate::cluster::{Cluster, LONGEST, web, with_agents, without_agents};

/// Where load balancers ask after [`web`].
const CHECK_PORT: u16 = 32_001;
/// Where agents say how they fare.
const HEALTH_PORT: u16 = 10_256;

/// The events with this reason about an object, as events.k8s.io/v1 has them.
fn events(cluster: &Cluster<'_>, reason: &str, kind: &str, name: &str) -> Result<Vec<Value>> {
    let words = [
        "get",
        "events.v1.events.k8s.io",
        "--namespace=default",
        "-o",
        "json",
    ];
    let list: Value = serde_json::from_str(&cluster.control_plane.kubectl(&words)?)?;
    let all = list["items"].as_array().context("no list")?.iter();
    let is_it = |event: &&Value| {
        event["reason"] == reason
            && event["regarding"]["kind"] == kind
            && event["regarding"]["name"] == name
    };
    Ok(all.filter(is_it).cloned().collect())
}

#[test]
fn an_agent_that_starts_tells_it_of_its_node() -> Result<()> {
    with_agents("event-start", |cluster| {
        for node in ["a", "b"] {
            let what = format!("the start on {node}");
            let probe = || events(cluster, "Starting", "Node", node);
            let told = wait_for(&what, LONGEST, probe, |events| !events.is_empty())?;

            ensure!(told.len() == 1, "{told:#?}");
            let said = [
                ("type", "Normal"),
                ("action", "StartKubeProxy"),
                ("reportingController", "netproxy"),
                ("reportingInstance", node),
            ];
            for (field, value) in said {
                ensure!(told[0][field] == value, "{field}: {:#?}", told[0]);
            }
            // That is how `kubectl describe node` finds it.
            ensure!(told[0]["regarding"]["uid"] == node, "{:#?}", told[0]);
        }
        Ok(())
    })
}

#[test]
fn a_health_check_node_port_that_is_taken_is_told_of_the_service() -> Result<()> {
    with_agents("event-taken", |cluster| {
        cluster.node("a")?.serve(&Serve::new().http(CHECK_PORT))?;
        let mut service = web();
        service["spec"]["type"] = json!("LoadBalancer");
        service["spec"]["externalTrafficPolicy"] = json!("Local");
        service["spec"]["healthCheckNodePort"] = json!(CHECK_PORT);

        cluster.apply(&service)?;

        let probe = || events(cluster, "FailedToStartServiceHealthcheck", "Service", "web");
        let told = wait_for("the failure", LONGEST, probe, |events| !events.is_empty())?;
        ensure!(told.len() == 1, "{told:#?}");
        let note = told[0]["note"].as_str().unwrap_or_default();
        let start =
            format!("node a failed to start healthcheck \"default/web\" on port {CHECK_PORT}: ");
        ensure!(note.starts_with(&start), "{note}");
        ensure!(told[0]["type"] == "Warning", "{:#?}", told[0]);
        Ok(())
    })
}

#[test]
fn an_agent_that_may_not_go_on_without_its_health_server_tells_it_of_its_node() -> Result<()> {
    without_agents("event-hard-fail", |cluster| {
        let node = cluster.node("a")?;
        node.serve(&Serve::new().http(HEALTH_PORT))?;
        let kubeconfig = cluster.control_plane.agent_kubeconfig();
        let options = AgentOptions::kubernetes(kubeconfig).argument("--bind-address-hard-fail");

        let agent = node.start_agent(&options)?;

        let status = agent.process_handle().wait(LONGEST)?;
        let log = agent.log();
        ensure!(status.code() == Some(1), "it ended with {status}: {log}");
        let error = "error: the health server cannot listen at 0.0.0.0:10256";
        ensure!(log.contains(error), "{log}");
        // It is written before the agent ends.
        let told = events(cluster, "FailedToStartProxierHealthcheck", "Node", "a")?;
        ensure!(told.len() == 1, "{told:#?}");
        ensure!(told[0]["type"] == "Warning", "{:#?}", told[0]);
        Ok(())
    })
}

#[test]
fn what_an_operator_must_act_on_is_told_of_the_node_once_a_minute() -> Result<()> {
    without_agents("event-refused", |cluster| {
        cluster.apply(&web())?;
        let kubeconfig = cluster.control_plane.agent_kubeconfig();
        let options = AgentOptions::kubernetes(kubeconfig)
            .argument("--map-size")
            .argument("FRONTENDS_V4=1")
            .argument("--nodeport-addresses")
            .argument("203.0.113.0/24,2001:db8:203::/64");

        let agent = cluster.node("a")?.start_agent(&options)?;

        for (reason, part) in [
            ("ChangesRefused", "--map-size FRONTENDS_V4="),
            ("NoNodePortAddress", "nodePortAddresses"),
        ] {
            let probe = || events(cluster, reason, "Node", "a");
            let told = wait_for(reason, LONGEST, probe, |events| !events.is_empty())?;
            ensure!(told[0]["type"] == "Warning", "{:#?}", told[0]);
            let note = told[0]["note"].as_str().unwrap_or_default();
            ensure!(note.contains(part), "{note}");
        }
        // It is tried again and again, and the log has every time.
        wait_for(
            "three refusals",
            LONGEST,
            || {
                Ok(agent
                    .log()
                    .matches("not everything could be applied")
                    .count())
            },
            |refusals| *refusals >= 3,
        )?;
        let told = events(cluster, "ChangesRefused", "Node", "a")?;
        ensure!(told.len() == 1 && told[0]["series"].is_null(), "{told:#?}");
        Ok(())
    })
}
