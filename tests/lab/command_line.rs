//! What the viewing commands say of traffic that is known.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Node, Place, Traffic, wait_for};
use serde_json::Value;

use crate::{cluster::LONGEST, shape, shape::two_nodes, shop::Shop};

#[test]
fn services_tell_frontends_and_endpoints() -> Result<()> {
    shape::in_each(|shop| {
        for (node, local) in [("a", 1), ("b", 0)] {
            let rows = rows(&shop.node(node)?, &["services", "shop/near"])?;
            ensure!(rows.len() == 4, "two ports in two families: {rows:#?}");
            for row in &rows {
                let [v4, v6] = shop.near.cluster_ips;
                let (cluster_ip, index) = if row["family"] == "IPv4" {
                    (v4, 0)
                } else {
                    (v6, 1)
                };
                let (port, node_port) = if row["protocol"] == "TCP" {
                    (80, shop.near.http_node_port)
                } else {
                    (53, shop.near.udp_node_port)
                };
                let of = |kind: &str, address: Option<IpAddr>, port: u16| serde_json::json!({ "kind": kind, "address": address, "port": port });
                for frontend in [
                    of("ClusterIP", Some(cluster_ip), port),
                    of("ExternalIP", Some(shop.near.external_ips[index]), port),
                    of(
                        "LoadBalancer",
                        Some(shop.near.load_balancer_ips[index]),
                        port,
                    ),
                    of("NodePort", None, node_port),
                ] {
                    let frontends = row["frontends"].as_array().context("no frontends")?;
                    ensure!(frontends.contains(&frontend), "no {frontend} in {row:#}");
                }
                ensure!(row["endpoints"]["total"] == 1, "{row:#}");
                ensure!(row["endpoints"]["local"] == local, "{row:#}");
            }
        }
        Ok(())
    })
}

#[test]
fn endpoints_tell_who_is_on_this_node() -> Result<()> {
    shape::in_each(|shop| {
        for node in shop.cluster.lab.nodes() {
            let rows = rows(node, &["endpoints", "shop/both"])?;
            ensure!(rows.len() == 8, "two pods, ports and families: {rows:#?}");
            for pod in ["web-a", "web-b"] {
                let pod = shop.cluster.lab.pod(pod)?;
                for address in pod.addresses().both() {
                    let text = address.to_string();
                    let of_pod: Vec<_> = rows
                        .iter()
                        .filter(|row| row["address"] == text.as_str())
                        .collect();
                    ensure!(of_pod.len() == 2, "{text}: {rows:#?}");
                    for row in of_pod {
                        ensure!(row["is_local"] == (pod.node() == node.name()), "{row:#}");
                        ensure!(row["state"] == "ready", "{row:#}");
                    }
                }
            }
        }
        Ok(())
    })
}

#[test]
fn flows_tell_client_frontend_endpoint_and_kind() -> Result<()> {
    let shop = Shop::open(two_nodes("flows", Cni::Bridge, Cni::PointToPoint))?;
    shop.cluster.hold(|| {
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        let endpoint = shop.cluster.lab.pod("web-b")?;
        let cluster_ips = shop.far.at_cluster_ips();
        let node_ports = shop.far.at_node(&node);
        for (from, doors, kind) in [
            (&shell as &dyn Place, cluster_ips, "edge"),
            (&outside, node_ports, "whole"),
            (&node, cluster_ips, "host"),
        ] {
            for door in doors {
                let held = from.hold(&door.url())?;
                let client = from.address_like(door.http.ip()).to_string();
                let probe = || {
                    rows(
                        &node,
                        &["flows", "--client", &client, "--state", "established"],
                    )
                };
                let flows = wait_for("one flow", LONGEST, probe, |flows| flows.len() == 1)?;
                let flow = flows.first().context("no flow")?;
                ensure!(flow["kind"] == kind, "{flow:#}");
                ensure!(
                    flow["protocol"] == "TCP" && flow["is_assured"] == true,
                    "{flow:#}"
                );
                ensure!(
                    flow["namespace"] == "shop"
                        && flow["name"] == "far"
                        && flow["port_name"] == "http",
                    "{flow:#}"
                );
                ensure!(socket(&flow["frontend"])? == door.http, "{flow:#}");
                let to = SocketAddr::new(endpoint.address_like(door.http.ip()), 8080);
                ensure!(socket(&flow["endpoint"])? == to, "{flow:#}");
                let report = held.stop()?;
                ensure!(report.broken.is_none(), "{report:?}");
                let probe = || {
                    rows(
                        &node,
                        &["flows", "--client", &client, "--state", "established"],
                    )
                };
                wait_for("no flow", LONGEST, probe, Vec::is_empty)?;
            }
        }
        Ok(())
    })
}

#[test]
fn check_finds_an_attached_node_without_problems() -> Result<()> {
    shape::in_each(|shop| {
        for node in shop.cluster.lab.nodes() {
            let findings = rows(node, &["check"])?;
            for subject in [
                "privileges",
                "bpffs",
                "cgroup v2",
                "IPv4 forwarding",
                "IPv6 forwarding",
                "devices",
                "sockets",
            ] {
                let found: Vec<_> = findings
                    .iter()
                    .filter(|row| row["subject"] == subject)
                    .collect();
                ensure!(!found.is_empty(), "nothing about {subject}: {findings:#?}");
                for row in found {
                    ensure!(row["level"] == "ok" || row["level"] == "note", "{row:#}");
                }
            }
        }
        Ok(())
    })
}

/// What a command prints as JSON.
pub(crate) fn rows(node: &Node, words: &[&str]) -> Result<Vec<Value>> {
    node.netproxy_json(&[words, &["-o", "json"]].concat())
}

fn socket(value: &Value) -> Result<SocketAddr> {
    let address = value["address"].as_str().context("no address")?.parse()?;
    let port = value["port"].as_u64().context("no port")?;
    Ok(SocketAddr::new(address, u16::try_from(port)?))
}
