//! What happens to an agent in its life, under traffic that never ends: no request fails whose endpoint is
//! alive. Each test prints how many there were.
//!
//! Outages last for [`OUTAGE_S`] seconds, and for an hour with `NETPROXY_OUTAGE_S=3600`.

use std::{
    env,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Place as _, control_plane::Replica, wait_until};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, LONGEST, WEB_NODE_PORT, WEB_PORT, await_endpoints, with_agents},
    traffic,
};

/// How long an outage lasts in seconds, unless the environment says otherwise.
const OUTAGE_S: u64 = 20;
/// How often endpoints change in the meantime.
const STEP: Duration = Duration::from_secs(2);
/// The cluster IP of [`late`].
const LATE: &str = "10.96.0.82";
/// What an agent logs that does not reach the API server.
const NOTICED: &str = "the API server cannot be watched";

#[test]
fn an_api_server_that_is_away_for_long_costs_no_request() -> Result<()> {
    with_agents("life-away", |cluster| {
        cluster.serve_web(&["web-1", "web-3"])?;
        let urls = Cluster::cluster_urls(WEB_PORT)?;
        let outage = outage()?;
        let traffic = traffic::start(cluster)?;

        let began = Instant::now();
        cluster.control_plane.stop_apiserver()?;
        for agent in cluster.agents() {
            wait_until("the agent notices", LONGEST, || {
                Ok(agent.log().contains(NOTICED))
            })?;
        }
        sleep(outage.saturating_sub(began.elapsed()));
        await_endpoints(&cluster.shell()?, &urls, &["web-1", "web-3"])?;
        cluster.control_plane.start_apiserver()?;
        let back = Instant::now();
        // Nobody else's patience counts: controllers may try again after a minute only.
        for object in late(cluster)? {
            cluster.apply(&object)?;
        }
        let late = [format!("http://{LATE}/")];
        await_endpoints(&cluster.shell()?, &late, &["web-2"])?;

        println!(
            "a change was in force {:?} after the API server came back",
            back.elapsed()
        );
        traffic.finish("API server away")
    })
}

#[test]
fn an_agent_that_is_away_for_long_while_endpoints_change_costs_no_request() -> Result<()> {
    with_agents("life-stopped", |cluster| {
        cluster.serve_web(&["web-1", "web-3"])?;
        let urls = Cluster::cluster_urls(WEB_PORT)?;
        let (shell, agent) = (cluster.shell()?, cluster.agent()?);
        let outage = outage()?;
        let traffic = traffic::start(cluster)?;

        let began = Instant::now();
        agent.stop()?;
        let mut changes = 0;
        while began.elapsed() < outage {
            changes += 1;
            set_ready(cluster, "web-2", changes % 2 == 1)?;
            set_ready(cluster, "web-3", changes % 2 == 0)?;
            sleep(STEP);
        }
        // What was in force when it ended still is.
        await_endpoints(&shell, &urls, &["web-1", "web-3"])?;
        set_ready(cluster, "web-2", true)?;
        set_ready(cluster, "web-3", false)?;
        agent.restart()?;
        let back = Instant::now();
        await_endpoints(&shell, &urls, &["web-1", "web-2"])?;

        println!(
            "{changes} changes of endpoints were in force {:?} after the agent's start",
            back.elapsed()
        );
        traffic.finish("agent away")
    })
}

#[test]
fn a_node_that_is_drained_and_reboots_costs_no_request() -> Result<()> {
    with_agents("life-reboot", |cluster| {
        // Its pods are elsewhere by now.
        cluster.serve_web(&["web-1", "web-2"])?;
        let (shell, outside) = (cluster.shell()?, cluster.lab.client("outside")?);
        let (urls, node) = (Cluster::cluster_urls(WEB_PORT)?, cluster.node("b")?);
        let through_node: Vec<_> = node
            .internal_ips()
            .map(|address| netproxy_lab::url(address, WEB_NODE_PORT))
            .into();
        let agent = cluster.agents().get(1).context("node b has no agent")?;
        let traffic = traffic::start(cluster)?;

        agent.kill9()?;
        node.lose_pins()?;
        // The agent is there before the network is.
        cluster.control_plane.cut(&node)?;
        agent.restart()?;
        wait_until("the agent looks for the API server", LONGEST, || {
            Ok(agent.log().contains(NOTICED))
        })?;
        cluster.control_plane.restore(&node)?;
        let reachable = Instant::now();
        await_endpoints(&outside, &through_node, &["web-1", "web-2"])?;
        println!(
            "served {:?} after the API server could be reached",
            reachable.elapsed()
        );
        set_ready(cluster, "web-3", true)?;
        await_endpoints(&shell, &urls, &["web-1", "web-2", "web-3"])?;

        traffic.finish("reboot of a node")
    })
}

/// How long an outage is to last.
fn outage() -> Result<Duration> {
    let seconds = match env::var("NETPROXY_OUTAGE_S") {
        Ok(text) => text
            .parse()
            .with_context(|| format!("NETPROXY_OUTAGE_S={text} is not a number of seconds"))?,
        Err(_) => OUTAGE_S,
    };
    ensure!(seconds > 0, "an outage of no time is none");
    Ok(Duration::from_secs(seconds))
}

/// A service with the endpoint `web-2`, and its slice.
fn late(cluster: &Cluster<'_>) -> Result<[Value; 2]> {
    let pod = cluster.lab.pod("web-2")?;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "late", "namespace": "default"},
        "spec": {"clusterIP": LATE, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "late",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "late"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [pod.addresses().v4], "conditions": {"ready": true}}],
    });
    Ok([service, slice])
}

fn set_ready(cluster: &Cluster<'_>, pod: &str, is_ready: bool) -> Result<()> {
    let pod = cluster.lab.pod(pod)?;
    cluster.control_plane.register_pods(&[Replica {
        pod: &pod,
        app: "web",
        is_ready,
    }])
}
