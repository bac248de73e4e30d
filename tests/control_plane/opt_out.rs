//! Pods that opt out of balancing at the socket, by what the API server knows of them and of their
//! namespaces.

use anyhow::{Result, ensure};
use netproxy_lab::{
    Place, Pod, Traffic, Way,
    objects::{SOCKET_BALANCING, namespace_object},
    wait_for, wait_until,
};
use serde_json::json;

use crate::cluster::{Cluster, LONGEST, WEB_PORT, without_agents};

/// What the agents may read for it.
const RIGHTS: &str = include_str!("../../deploy/socket-opt-out.yaml");
/// A namespace besides `default`.
const MESH: &str = "mesh";

/// Does `work` in a cluster with agents that let pods opt out, and [`crate::cluster::web`] served.
fn with_opt_out(
    name: &str,
    rights: Option<&str>,
    work: impl FnOnce(&Cluster<'_>) -> Result<()>,
) -> Result<()> {
    without_agents(name, |cluster| {
        if let Some(rights) = rights {
            cluster.control_plane.apply(rights)?;
        }
        cluster.start_agents_with(|options| options.at_sockets().argument("--socket-opt-out"))?;
        cluster.serve_web(&["web-3"])?;
        work(cluster)
    })
}

#[test]
fn pods_opt_out_by_their_annotation_or_the_label_of_their_namespace() -> Result<()> {
    with_opt_out("opt-out", Some(RIGHTS), |cluster| {
        cluster.apply(&namespace_object(MESH, Some("off")))?;
        let plain = start_pod(cluster, "plain", "default")?;
        let meshed = start_pod(cluster, "meshed", MESH)?;
        await_way(cluster, &plain, Way::Socket)?;
        await_way(cluster, &meshed, Way::Wire)?;

        let kubectl = |words: &[&str]| cluster.control_plane.kubectl(words).map(drop);
        kubectl(&["label", "namespace", MESH, &format!("{SOCKET_BALANCING}-")])?;
        await_way(cluster, &meshed, Way::Socket)?;
        kubectl(&[
            "annotate",
            "pod",
            "plain",
            &format!("{SOCKET_BALANCING}=off"),
        ])?;
        await_way(cluster, &plain, Way::Wire)?;
        kubectl(&["annotate", "pod", "plain", &format!("{SOCKET_BALANCING}-")])?;
        await_way(cluster, &plain, Way::Socket)?;

        // Nobody knows any more whose processes these are.
        cluster.control_plane.delete("pod", "plain")?;
        await_way(cluster, &plain, Way::Wire)?;
        for agent in cluster.agents() {
            let log = agent.log();
            ensure!(!log.to_lowercase().contains("forbidden"), "{log}");
        }
        Ok(())
    })
}

#[test]
fn an_agent_that_may_not_read_pods_says_so_and_serves_all_of_them_by_packet() -> Result<()> {
    with_opt_out("opt-out-no-rights", None, |cluster| {
        let plain = start_pod(cluster, "plain", "default")?;
        await_way(cluster, &plain, Way::Wire)?;

        let agent = cluster.agent()?;
        wait_until("both kinds are named with a remedy", LONGEST, || {
            let log = agent.log();
            let remedy = "allow the account to get, list and watch pods and namespaces";
            Ok(log.lines().filter(|line| line.contains(remedy)).count() == 2)
        })
    })
}

/// As a kubelet does: makes the pod that the API server has bound to node `a`.
fn start_pod(cluster: &Cluster<'_>, name: &str, namespace: &str) -> Result<Pod> {
    cluster.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": "a", "containers": [{"name": "main", "image": "main"}]},
    }))?;
    let uid = cluster.control_plane.kubectl(&[
        "get",
        "pod",
        name,
        "--namespace",
        namespace,
        "--output",
        "jsonpath={.metadata.uid}",
    ])?;
    cluster.node("a")?.add_pod_of_uid(name, &uid)
}

/// Waits until a pod on node `a` asks in this way.
fn await_way(cluster: &Cluster<'_>, pod: &Pod, way: Way) -> Result<()> {
    const TIMES: u64 = 3;
    let urls = Cluster::cluster_urls(WEB_PORT)?;
    let ask = || {
        for url in &urls {
            pod.get(url, usize::try_from(TIMES)?)?.all_answered()?;
        }
        Ok(TIMES * u64::try_from(urls.len())?)
    };
    let node = cluster.node("a")?;
    let what = format!("the way of {} is {way:?}", pod.name());
    wait_for(
        &what,
        LONGEST,
        || Way::of(&node, ask),
        |found| *found == Some(way),
    )
    .map(drop)
}
