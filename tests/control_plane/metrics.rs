//! What an agent measures of a real API server and its controllers.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use netproxy_lab::{Metrics, Node, wait_for};

use crate::cluster::{Cluster, LONGEST, WEB_PORT, await_endpoints, web, with_agents};

#[test]
fn programming_latency_is_measured_from_the_controllers_trigger() -> Result<()> {
    with_agents("metrics", |cluster| {
        let node = cluster.lab.node("a")?;
        await_a_second_after_the_start(&node)?;
        cluster.apply(&web())?;
        cluster.scale_web(&["web-1"])?;
        let urls = Cluster::cluster_urls(WEB_PORT)?;
        await_endpoints(&cluster.shell()?, &urls, &["web-1"])?;

        let latency = |part: &str| {
            format!("kubeproxy_network_programming_duration_seconds_{part}{{ip_family=\"IPv4\"}}")
        };
        let count = latency("count");
        let is_measured = |page: &Metrics| page.find(&count).is_some_and(|count| count >= 1.0);
        let page = wait_for("a latency", LONGEST, || Metrics::of(&node), is_measured)?;

        // The trigger is told in whole seconds, rounded down.
        let mean = page.value(&latency("sum"))? / page.value(&count)?;
        ensure!((0.0..30.0).contains(&mean), "{mean} s");
        let requests = page.starting_with("rest_client_requests_total{code=\"200\"");
        let asked: f64 = requests.map(|(_, count)| count).sum();
        // Services, slices, nodes: each is listed and watched.
        ensure!(asked >= 3.0, "{asked} requests");
        Ok(())
    })
}

/// What was triggered before an agent started is none of its latencies, and triggers have no fractions of
/// a second.
fn await_a_second_after_the_start(node: &Node) -> Result<()> {
    let page = wait_for("the page", LONGEST, || Metrics::of(node), |_| true)?;
    let started = page.value("process_start_time_seconds")?;
    let age = || Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() - started);
    wait_for("a second", LONGEST, age, |age| *age > 1.0)?;
    Ok(())
}
