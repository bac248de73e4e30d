//! The API server is away, or out of a node's reach: what was known is served, and what happened
//! meanwhile is known soon after.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netproxy_lab::{Node, Place, wait_until};
use serde_json::json;

use crate::{
    cluster::{Cluster, WEB_NODE_PORT, WEB_PORT, await_endpoints, await_silence, web, with_agents},
    traffic,
};

/// How long an agent may take to notice that nothing comes through any more.
const LONGEST_BLINDNESS: Duration = Duration::from_mins(1);
/// What the agent logs then.
const NOTICED: &str = "the API server cannot be watched";

#[test]
fn a_watch_that_is_cut_costs_no_request_and_catches_up() -> Result<()> {
    with_agents("outage-cut", |cluster| {
        cluster.serve_web(&["web-1", "web-3"])?;
        let (shell, outside) = (cluster.shell()?, cluster.lab.client("outside")?);
        let urls = Cluster::cluster_urls(WEB_PORT)?;
        let through = |name: &str| -> Result<_> { Ok(node_urls(&cluster.node(name)?)) };
        let traffic = traffic::start(cluster)?;

        let cut_at = Instant::now();
        cluster.control_plane.cut(&cluster.node("a")?)?;
        cluster.scale_web(&["web-2"])?;
        // Node `b` knows; node `a` serves what it knew.
        await_endpoints(&outside, &through("b")?, &["web-1", "web-2", "web-3"])?;
        await_endpoints(&outside, &through("a")?, &["web-1", "web-3"])?;
        await_endpoints(&shell, &urls, &["web-1", "web-3"])?;
        wait_until("the agent notices", LONGEST_BLINDNESS, || {
            Ok(cluster.agent()?.log().contains(NOTICED))
        })?;
        println!("the cut was noticed after {:?}", cut_at.elapsed());

        let restored_at = Instant::now();
        cluster.control_plane.restore(&cluster.node("a")?)?;
        await_endpoints(&shell, &urls, &["web-1", "web-2", "web-3"])?;
        println!("caught up {:?} after the cut ended", restored_at.elapsed());
        traffic.finish("a watch that is cut")
    })
}

#[test]
fn what_changed_and_vanished_while_the_api_server_restarted_is_known_afterwards() -> Result<()> {
    with_agents("outage-restart", |cluster| {
        let mut doomed = web();
        doomed["metadata"]["name"] = json!("doomed");
        doomed["spec"] = json!({
            "selector": {"app": "web"},
            "clusterIP": "10.96.0.81",
            "ports": [{"port": 80, "targetPort": 8080}],
        });
        cluster.apply(&doomed)?;
        cluster.serve_web(&["web-1", "web-3"])?;
        let shell = cluster.shell()?;
        let doomed = ["http://10.96.0.81/".to_owned()];
        await_endpoints(&shell, &doomed, &["web-1", "web-3"])?;
        let traffic = traffic::start(cluster)?;

        // The node comes back to an API server that knows nothing of its watches.
        cluster.control_plane.cut(&cluster.node("a")?)?;
        cluster.control_plane.stop_apiserver()?;
        cluster.control_plane.start_apiserver()?;
        cluster.control_plane.delete("service", "doomed")?;
        cluster.scale_web(&["web-2"])?;
        await_endpoints(&shell, &doomed, &["web-1", "web-3"])?;
        let restored_at = Instant::now();
        cluster.control_plane.restore(&cluster.node("a")?)?;

        await_silence(&shell, &doomed)?;
        let urls = Cluster::cluster_urls(WEB_PORT)?;
        await_endpoints(&shell, &urls, &["web-1", "web-2", "web-3"])?;
        println!("caught up after {:?}", restored_at.elapsed());
        let log = cluster.agent()?.log();
        ensure!(
            log.contains("410: too old resource version"),
            "the lists were not begun anew: {log}"
        );
        traffic.finish("an API server that restarts")
    })
}

fn node_urls(node: &Node) -> Vec<String> {
    let addresses = node.addresses().both();
    addresses
        .map(|address| netproxy_lab::url(address, WEB_NODE_PORT))
        .into()
}
