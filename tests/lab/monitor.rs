//! `netproxy monitor`: what is told of real packets and real sockets, as it happens.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{
    AgentOptions, Cni, Flood, Get, Node, Place, Process, Traffic, TrafficPolicy, url, wait_until,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    cluster::{Cluster, LONGEST},
    command_line::rows,
    shape::two_nodes,
    shop::{Offer, Shop},
};

/// For requests that nobody answers.
const PATIENCE: Duration = Duration::from_millis(300);
/// The name of the program that asks, as far as the kernel keeps it.
const ASKER: &str = "netproxy-traffi";

/// A shop whose agents balance at the socket.
fn shop(name: &str) -> Result<Shop> {
    let builder = two_nodes(name, Cni::Bridge, Cni::PointToPoint);
    Shop::open_in(Cluster::up_with(builder, AgentOptions::at_sockets)?)
}

/// A monitor that listens.
fn monitor(node: &Node, words: &[&str]) -> Result<Process> {
    let process = node.start_netproxy(&[&["monitor", "-o", "json"], words].concat())?;
    wait_until("the monitor listens", LONGEST, || {
        Ok(process.log().contains("listening"))
    })?;
    Ok(process)
}

/// What it has told so far.
fn told(monitor: &Process) -> Result<Vec<Value>> {
    let text = monitor.stdout();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// Waits for an event that has these members.
fn await_event(monitor: &Process, wanted: &Value) -> Result<Value> {
    let has_all = |event: &Value| {
        let mut members = wanted.as_object().into_iter().flatten();
        members.all(|(name, value)| event[name] == *value)
    };
    monitor.wait_for_line(&wanted.to_string(), LONGEST, |line| {
        serde_json::from_str(line).ok().filter(has_all)
    })
}

fn asks(from: &dyn Place, address: SocketAddr) -> Result<()> {
    let get = Get::new(&url(address.ip(), address.port())).count(1);
    // Whether it is answered is not what is looked at here.
    from.get_with(&get.timeout(PATIENCE)).map(drop)
}

fn ends(monitor: &Process) -> Result<()> {
    let status = monitor.stop(LONGEST)?;
    ensure!(
        status.success(),
        "it ended with {status}: {}",
        monitor.log()
    );
    Ok(())
}

#[test]
fn packets_and_sockets_are_told_while_no_agent_runs() -> Result<()> {
    let shop = shop("monitor")?;
    shop.cluster.hold(|| {
        let nobodys = Offer::new("nobodys", 21)?;
        let mut strict = Offer::new("strict", 22)?.endpoint(&shop.cluster.lab.pod("web-b")?);
        strict.service = strict.service.external_policy(TrafficPolicy::Local);
        for offer in [&nobodys, &strict] {
            shop.cluster.put(&offer.service)?;
        }
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        shop.cluster.agent("a")?.kill9()?;
        let monitor = monitor(&node, &[])?;
        let endpoint = shop.cluster.lab.pod("web-b")?;

        for family in [0, 1] {
            let at = |port: u16| SocketAddr::new(node.addresses().both()[family], port);
            let of = |address: SocketAddr| {
                serde_json::json!({ "address": address.ip(), "port": address.port() })
            };
            let client = outside.addresses().both()[family].to_string();
            let door = at(shop.far.http_node_port);
            asks(&outside, door)?;
            let event = await_event(
                &monitor,
                &serde_json::json!({
                    "event": "new_flow", "by": "packet", "protocol": "TCP", "verdict": "whole",
                    "namespace": "shop", "name": "far", "port_name": "http", "frontend": of(door),
                    "endpoint": of(SocketAddr::new(endpoint.addresses().both()[family], 8080)),
                    "reason": null, "process": null,
                }),
            )?;
            ensure!(event["client"]["address"] == client.as_str(), "{event:#}");
            ensure!(event["source"]["address"] == door.ip().to_string(), "{event:#}");
            ensure!(event["device"].is_string(), "{event:#}");

            let door = shop.far.at_cluster_ips()[family].http;
            asks(&shell, door)?;
            let event = await_event(
                &monitor,
                &serde_json::json!({
                    "event": "new_flow", "by": "socket", "protocol": "TCP", "verdict": "direct",
                    "name": "far", "frontend": of(door), "client": null, "device": null,
                    "endpoint": of(SocketAddr::new(endpoint.addresses().both()[family], 8080)),
                }),
            )?;
            ensure!(event["process"]["name"] == ASKER, "{event:#}");
            ensure!(event["process"]["id"].as_u64() > Some(0), "{event:#}");

            let door = nobodys.at_cluster_ips()[family].http;
            asks(&shell, door)?;
            await_event(
                &monitor,
                &serde_json::json!({
                    "event": "refused", "by": "socket", "name": "nobodys", "frontend": of(door),
                    "endpoint": null, "reason": "socket_refused", "verdict": "refused",
                }),
            )?;

            for (port, name, event, reason) in [
                (nobodys.http_node_port, "nobodys", "refused", "no_endpoint"),
                (strict.http_node_port, "strict", "drop", "no_local_endpoint"),
            ] {
                let door = at(port);
                asks(&outside, door)?;
                let event = await_event(
                    &monitor,
                    &serde_json::json!({
                        "event": event, "by": "packet", "name": name, "frontend": of(door),
                        "endpoint": null, "reason": reason,
                    }),
                )?;
                ensure!(event["client"]["address"] == client.as_str(), "{event:#}");
            }
        }
        ends(&monitor)
    })
}

#[test]
fn only_what_is_asked_for_is_told_and_so_many_events() -> Result<()> {
    let shop = shop("monitor-filters")?;
    shop.cluster.hold(|| {
        let nobodys = Offer::new("nobodys", 21)?;
        shop.cluster.put(&nobodys.service)?;
        let (outside, node) = (shop.outside()?, shop.node("a")?);
        let [near, far, nobodys] = [&shop.near, &shop.far, &nobodys].map(|offer| {
            let [v4, _] = offer.at_node(&node);
            v4
        });
        let ask_all = || -> Result<()> {
            for door in [far, nobodys, near] {
                asks(&outside, door.http)?;
                outside.ask(door.udp, 1)?;
            }
            Ok(())
        };
        for (words, count, holds) in [
            (
                &["--service", "shop/near"][..],
                "2",
                &(|event: &Value| event["name"] == "near") as &dyn Fn(&Value) -> bool,
            ),
            (&["--protocol", "udp"], "3", &|event| {
                event["protocol"] == "UDP"
            }),
            (&["--drops"], "2", &|event| event["reason"] == "no_endpoint"),
            (&["--reason", "no_endpoint"], "2", &|event| {
                event["name"] == "nobodys"
            }),
            (&["--flows"], "4", &|event| event["event"] == "new_flow"),
        ] {
            let monitor = monitor(&node, &[words, &["--count", count]].concat())?;

            ask_all()?;
            let status = monitor.wait(LONGEST)?;

            let told = told(&monitor)?;
            ensure!(status.success(), "{words:?}: {status}");
            ensure!(told.len().to_string() == count, "{words:?}: {told:#?}");
            ensure!(told.iter().all(holds), "{words:?}: {told:#?}");
        }
        Ok(())
    })
}

#[test]
fn a_second_monitor_is_told_who_listens_and_one_that_is_killed_leaves_nothing() -> Result<()> {
    let shop = shop("monitor-twice")?;
    shop.cluster.hold(|| {
        let (outside, node) = (shop.outside()?, shop.node("a")?);
        let first = monitor(&node, &[])?;

        let second = node.netproxy(&["monitor"]);
        first.kill9()?;
        let third = monitor(&node, &[])?;
        let [door, _] = shop.far.at_node(&node);
        asks(&outside, door.http)?;

        let error = second.err().context("two listen")?;
        let error = format!("{error:#}");
        let expected = format!("process {} already listens", first.pid());
        ensure!(error.contains(&expected), "{error}");
        await_event(
            &third,
            &serde_json::json!({ "event": "new_flow", "name": "far" }),
        )?;
        ends(&third)
    })
}

/// The flood does not wait for a monitor that stands still.
#[test]
fn lost_events_are_counted_and_said() -> Result<()> {
    let shop = shop("monitor-lost")?;
    shop.cluster.hold(|| {
        let nobodys = Offer::new("nobodys", 21)?;
        shop.cluster.put(&nobodys.service)?;
        let (outside, node) = (shop.outside()?, shop.node("a")?);
        let [v4, _] = outside.addresses().both();
        node.ip(&format!("route add 198.18.0.0/15 via {v4}"))?;
        let [door, _] = nobodys.at_node(&node);
        let monitor = monitor(&node, &["--drops"])?;

        monitor.signal(Signal::SIGSTOP)?;
        let flood = Flood::of_datagrams(door.udp, "198.18.0.0/15");
        outside.flood(flood, 30_000, LONGEST)?;
        monitor.signal(Signal::SIGCONT)?;

        await_event(&monitor, &serde_json::json!({ "event": "lost" }))?;
        wait_until("all that was kept is told", LONGEST, || {
            let told = told(&monitor)?;
            Ok(told.iter().filter(|event| event["event"] != "lost").count() >= 8000)
        })?;
        ends(&monitor)?;
        let (lost, others): (Vec<_>, Vec<_>) = told(&monitor)?
            .into_iter()
            .partition(|event| event["event"] == "lost");
        let lost: u64 = lost
            .iter()
            .filter_map(|event| event["count"].as_u64())
            .sum();
        let drops = rows(&node, &["drops", "--service", "shop/nobodys"])?;
        let dropped: u64 = drops.iter().filter_map(|row| row["count"].as_u64()).sum();
        ensure!(lost > 0 && dropped > 10_000, "{lost} of {dropped}");
        // Those that came after it was taken for absent are neither.
        ensure!(
            others.len() as u64 + lost <= dropped,
            "{} and {lost} of {dropped}",
            others.len()
        );
        let log = monitor.log();
        ensure!(log.contains("events were lost"), "{log}");
        Ok(())
    })
}
