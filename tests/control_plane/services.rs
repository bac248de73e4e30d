//! What is done to Services and Pods with kubectl reaches packets, live.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Get, Place, Traffic, wait_until};
use serde_json::{Value, json};

use crate::cluster::{
    Cluster, LONGEST, WEB_NODE_PORT, WEB_PORT, await_endpoints, await_silence, web, with_agents,
};

#[test]
fn a_new_service_is_served_to_pods_and_to_those_outside() -> Result<()> {
    with_agents("svc-new", |cluster| {
        cluster.scale_web(&["web-1", "web-3"])?;
        cluster.apply(&web())?;
        let endpoints = ["web-1", "web-3"];
        await_endpoints(
            &cluster.shell()?,
            &Cluster::cluster_urls(WEB_PORT)?,
            &endpoints,
        )?;
        let outside = cluster.lab.client("outside")?;
        await_endpoints(&outside, &cluster.node_urls(WEB_NODE_PORT), &endpoints)
    })
}

#[test]
fn scaling_reaches_packets_up_and_down_to_none() -> Result<()> {
    with_agents("svc-scale", |cluster| {
        let (shell, urls) = (cluster.shell()?, Cluster::cluster_urls(WEB_PORT)?);
        cluster.apply(&web())?;
        cluster.scale_web(&["web-1"])?;
        await_endpoints(&shell, &urls, &["web-1"])?;
        cluster.scale_web(&["web-2", "web-3"])?;
        await_endpoints(&shell, &urls, &["web-1", "web-2", "web-3"])?;
        for (gone, left) in [("web-1", &["web-2", "web-3"][..]), ("web-3", &["web-2"])] {
            cluster.control_plane.delete("pod", gone)?;
            await_endpoints(&shell, &urls, left)?;
        }
        cluster.control_plane.delete("pod", "web-2")?;
        await_silence(&shell, &urls)
    })
}

#[test]
fn ports_that_are_changed_move_the_frontends() -> Result<()> {
    with_agents("svc-ports", |cluster| {
        let (shell, outside) = (cluster.shell()?, cluster.lab.client("outside")?);
        cluster.scale_web(&["web-1"])?;
        cluster.apply(&web())?;
        await_endpoints(&shell, &Cluster::cluster_urls(WEB_PORT)?, &["web-1"])?;
        await_endpoints(&outside, &cluster.node_urls(WEB_NODE_PORT), &["web-1"])?;

        let mut moved = web();
        moved["spec"]["ports"][0]["port"] = json!(81);
        moved["spec"]["ports"][0]["nodePort"] = json!(30_081);
        cluster.apply(&moved)?;

        await_endpoints(&shell, &Cluster::cluster_urls(81)?, &["web-1"])?;
        await_endpoints(&outside, &cluster.node_urls(30_081), &["web-1"])?;
        await_silence(&shell, &Cluster::cluster_urls(WEB_PORT)?)?;
        await_silence(&outside, &cluster.node_urls(WEB_NODE_PORT))
    })
}

#[test]
fn a_deleted_service_is_served_no_longer() -> Result<()> {
    with_agents("svc-deleted", |cluster| {
        let (shell, outside) = (cluster.shell()?, cluster.lab.client("outside")?);
        cluster.scale_web(&["web-1"])?;
        cluster.apply(&web())?;
        await_endpoints(&shell, &Cluster::cluster_urls(WEB_PORT)?, &["web-1"])?;
        await_endpoints(&outside, &cluster.node_urls(WEB_NODE_PORT), &["web-1"])?;

        cluster.control_plane.delete("service", "web")?;

        await_silence(&shell, &Cluster::cluster_urls(WEB_PORT)?)?;
        await_silence(&outside, &cluster.node_urls(WEB_NODE_PORT))
    })
}

#[test]
fn the_label_that_names_another_proxy_takes_effect_when_it_comes_and_goes() -> Result<()> {
    with_agents("svc-label", |cluster| {
        let (shell, urls) = (cluster.shell()?, Cluster::cluster_urls(WEB_PORT)?);
        cluster.scale_web(&["web-1"])?;
        cluster.apply(&web())?;
        await_endpoints(&shell, &urls, &["web-1"])?;

        let label = |change| {
            let words = ["label", "service", "web", change];
            cluster.control_plane.kubectl(&words)
        };
        label("service.kubernetes.io/service-proxy-name=another")?;
        await_silence(&shell, &urls)?;
        label("service.kubernetes.io/service-proxy-name-")?;
        await_endpoints(&shell, &urls, &["web-1"])
    })
}

#[test]
fn headless_and_external_services_are_never_served() -> Result<()> {
    with_agents("svc-headless", |cluster| {
        cluster.scale_web(&["web-1"])?;
        let headless =
            json!({"selector": {"app": "web"}, "clusterIP": "None", "ports": [{"port": 8080}]});
        let external = json!({"type": "ExternalName", "externalName": "example.test"});
        for (name, spec) in [("headless", headless), ("external", external)] {
            cluster.apply(&json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "default"},
                "spec": spec,
            }))?;
        }
        // Made last, so when it is served the others would be.
        cluster.apply(&web())?;
        let urls = Cluster::cluster_urls(WEB_PORT)?;
        await_endpoints(&cluster.shell()?, &urls, &["web-1"])?;

        let served: Vec<Value> = cluster
            .node("a")?
            .netproxy_json(&["services", "-o", "json"])?;
        let names: BTreeSet<_> = served.iter().filter_map(|it| it["name"].as_str()).collect();
        ensure!(names == BTreeSet::from(["kubernetes", "web"]), "{names:?}");
        Ok(())
    })
}

#[test]
fn a_service_that_becomes_external_is_served_no_longer() -> Result<()> {
    with_agents("svc-external", |cluster| {
        let (shell, urls) = (cluster.shell()?, Cluster::cluster_urls(WEB_PORT)?);
        cluster.scale_web(&["web-1"])?;
        cluster.apply(&web())?;
        await_endpoints(&shell, &urls, &["web-1"])?;

        let mut external = web();
        external["spec"] = json!({"type": "ExternalName", "externalName": "example.test"});
        cluster.apply(&external)?;

        await_silence(&shell, &urls)
    })
}

#[test]
fn the_api_server_is_reached_through_its_own_service_also_after_it_was_away() -> Result<()> {
    with_agents("svc-apiserver", |cluster| {
        let shell = cluster.shell()?;
        let authority = cluster.control_plane.certificate_authority().display();
        let authority = authority.to_string();
        let url = "https://10.96.0.1/livez";
        let is_reached = || {
            let words = ["curl", "-s", "-m1", "--cacert", &authority, url];
            Ok(shell.run(&words)? == "ok")
        };
        wait_until("a pod reaches it", LONGEST, is_reached)?;

        // It takes its address out of its service when it ends.
        cluster.control_plane.stop_apiserver()?;
        ensure!(is_reached().is_err(), "it is not away");
        cluster.control_plane.start_apiserver()?;

        wait_until("a pod reaches it again", LONGEST, is_reached)
    })
}

#[test]
fn packets_to_unallocated_cluster_ips_are_dropped_as_the_servers_service_cidr_says() -> Result<()> {
    with_agents("svc-cidr", |cluster| {
        let (shell, node) = (cluster.shell()?, cluster.lab.node("a")?);
        let get = Get::new("http://10.96.0.250/").timeout(Duration::from_millis(200));
        let dropped = || {
            let rows: Value = node.netproxy_json(&["counters", "-o", "json"])?;
            let rows = rows.as_array().into_iter().flatten();
            let mut found = rows.filter(|row| row["name"] == "unused_address");
            let count = found.next().and_then(|row| row["count"].as_u64());
            count.context("no such counter")
        };
        wait_until("packets to nobody are dropped", LONGEST, || {
            let before = dropped()?;
            shell.get_with(&get)?;
            Ok(dropped()? > before)
        })
    })
}
