//! `netproxy trace`: what it tells is what becomes of packets; it sends nothing, and leaves nothing behind.

mod ground;

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{AgentOptions, Cni, Place, Traffic, TrafficPolicy, wait_until};
use serde_json::Value;

use self::ground::{ends, in_shop, last, packets, refused, trace, untraced};
use crate::{
    cluster::{Cluster, LONGEST},
    command_line::rows,
    shape,
    shape::two_nodes,
    shop::{Offer, Shop, is},
};

#[test]
fn every_kind_of_flow_is_told_there_and_back() -> Result<()> {
    in_shop(|shop| {
        let (node, peer) = (shop.node("a")?, shop.node("b")?);
        let (shell, web) = (shop.shell()?, shop.cluster.lab.pod("web-a")?);
        let outside = shop.outside()?;
        for family in 0..2 {
            let cluster_ip = |offer: &Offer| offer.at_cluster_ips()[family];
            let node_port = |offer: &Offer| offer.at_node(&node)[family];
            let (near, far) = (&shop.near, &shop.far);
            for (from, door, flow, is_kept) in [
                (&shell as &dyn Place, cluster_ip(far), "edge", true),
                (&shell, cluster_ip(near), "edge", true),
                (&outside, node_port(near), "edge", true),
                (&outside, node_port(far), "whole", false),
                (&web, cluster_ip(near), "whole", false),
                (&node, cluster_ip(far), "host", true),
                (&node, cluster_ip(near), "host", true),
            ] {
                for place in [door.http, door.udp] {
                    let client = from.address_like(place.ip());
                    let told = trace(shop, &[&client.to_string(), &place.to_string()])?;

                    let what = || format!("{} asks {place}: {told:#}", from.name());
                    let first = &told["steps"][0];
                    ensure!(told["outcome"] == "answered", "{}", what());
                    ensure!(first["flow"] == flow, "{}", what());
                    ensure!(first["source"]["is_kept"] == is_kept, "{}", what());
                    let (offer, endpoint) =
                        if door.http == cluster_ip(far).http || door.http == node_port(far).http {
                            ("shop/far:", shop.cluster.lab.pod("web-b")?)
                        } else {
                            ("shop/near:", web.clone())
                        };
                    let asked = first["asks_for"].as_str().context("nothing is asked")?;
                    ensure!(asked.starts_with(offer), "{}", what());
                    let address = endpoint.address_like(place.ip());
                    is("the endpoint", &ends(&first["after"])?.1.ip(), &address)?;
                    let (frontend, back) = ends(&last(&told)?["after"])?;
                    is("who the client sees answer", &frontend, &place)?;
                    is("the client", &back.ip(), &client)?;
                    if flow == "whole" && from.name() == "outside" {
                        let next_hop = peer.address_like(place.ip()).to_string();
                        ensure!(first["verdict"] == "redirected", "{}", what());
                        ensure!(first["next_hop"] == next_hop.as_str(), "{}", what());
                    }
                }
            }
        }
        Ok(())
    })
}

#[test]
fn what_is_told_is_what_clients_meet_in_each_shape() -> Result<()> {
    shape::in_each(|shop| {
        let node = shop.node("a")?;
        let from: [&dyn Place; 3] = [&shop.shell()?, &shop.outside()?, &node];
        for (client, offer) in from.into_iter().zip([&shop.both, &shop.far, &shop.far]) {
            let doors = if client.name() == "outside" {
                offer.at_node(&node)
            } else {
                offer.at_cluster_ips()
            };
            for door in doors {
                let address = client.address_like(door.http.ip()).to_string();
                let told = untraced(&node, &[&address, &door.http.to_string()])?;
                ensure!(told["outcome"] == "answered", "{}: {told:#}", client.name());
                ensure!(told["steps"][0]["set"]["total"] == offer.endpoints.len());
            }
        }
        Ok(())
    })
}

#[test]
fn a_service_is_asked_by_name() -> Result<()> {
    in_shop(|shop| {
        let shell = shop.shell()?;
        for address in shell.addresses().both() {
            let told = trace(shop, &[&address.to_string(), "shop/far:dns"])?;
            let (_, asked) = ends(&told["steps"][0]["before"])?;

            ensure!(told["protocol"] == "UDP", "{told:#}");
            is(
                "what is asked",
                &asked,
                &shop.far.at_cluster_ips()[usize::from(address.is_ipv6())].udp,
            )?;
        }
        let error = refused(shop, &["10.244.1.2", "shop/far"])?;
        ensure!(
            error.contains("shop/far:http (TCP), shop/far:dns (UDP)"),
            "{error}"
        );
        let error = refused(shop, &["10.244.1.2", "shop/nothing"])?;
        ensure!(error.contains("service shop/nothing"), "{error}");
        Ok(())
    })
}

#[test]
fn what_is_not_served_is_told_with_its_reason() -> Result<()> {
    in_shop(|shop| {
        let node = shop.node("a")?;
        let far = shop.cluster.lab.pod("web-b")?;
        let empty = Offer::new("empty", 21)?;
        let mut kept = Offer::new("kept", 22)?.endpoint(&far);
        kept.service = kept.service.external_policy(TrafficPolicy::Local);
        let mut closed = Offer::new("closed", 23)?.endpoint(&far);
        closed.service = closed
            .service
            .source_range("203.0.113.0/24")
            .source_range("2001:db8:113::/48");
        for offer in [&empty, &kept, &closed] {
            shop.cluster.put(&offer.service)?;
        }
        let (shell, outside) = (shop.shell()?, shop.outside()?);
        for family in 0..2 {
            let unused = shop.near.at_cluster_ips()[family].http.ip();
            let unused = SocketAddr::new(unused, 81);
            let cases: [(&dyn Place, _, _, _); 4] = [
                (
                    &shell,
                    empty.at_cluster_ips()[family].http,
                    "refused",
                    "no_endpoint",
                ),
                (&shell, unused, "refused", "unused_port"),
                (
                    &outside,
                    kept.at_node(&node)[family].http,
                    "dropped",
                    "no_local_endpoint",
                ),
                (
                    &outside,
                    Offer::at(closed.load_balancer_ips[family]).http,
                    "dropped",
                    "source_range",
                ),
            ];
            for (from, place, outcome, reason) in cases {
                let client = from.address_like(place.ip()).to_string();
                let told = trace(shop, &[&client, &place.to_string()])?;

                let step = last(&told)?;
                ensure!(told["outcome"] == outcome, "{place}: {told:#}");
                ensure!(step["reason"] == reason, "{place}: {told:#}");
                ensure!(
                    !step["meaning"].as_str().unwrap_or("").is_empty(),
                    "{told:#}"
                );
                if reason == "no_local_endpoint" {
                    let set =
                        serde_json::json!({"clients": "external-local", "usable": 0, "total": 1});
                    ensure!(step["set"] == set, "{told:#}");
                }
            }
        }
        for offer in [&empty, &kept, &closed] {
            shop.cluster.objects.remove(&offer.service)?;
        }
        Ok(())
    })
}

#[test]
fn a_client_sticks_to_its_endpoint_and_a_trace_tells_it_of_none() -> Result<()> {
    in_shop(|shop| {
        let (shell, web) = (shop.shell()?, shop.cluster.lab.pod("web-a")?);
        let mut offer = Offer::new("sticky", 24)?
            .endpoint(&web)
            .endpoint(&shop.cluster.lab.pod("web-b")?);
        offer.service = offer.service.affinity_s(600);
        shop.cluster.put(&offer.service)?;
        for door in offer.at_cluster_ips() {
            let client = shell.address_like(door.http.ip()).to_string();
            // The endpoint that it would have got is not remembered: `trace` sees to it.
            trace(shop, &[&client, &door.http.to_string()])?;
            let answers = shell.get(&door.url(), 1)?.all_answered()?;
            let sticks_to = answers
                .by_endpoint
                .keys()
                .next()
                .context("nobody answers")?;
            let sticks_to = shop
                .cluster
                .lab
                .pod(sticks_to)?
                .address_like(door.http.ip());

            for _ in 0..8 {
                let told = trace(shop, &[&client, &door.http.to_string()])?;
                let (_, endpoint) = ends(&told["steps"][0]["after"])?;
                is("the endpoint", &endpoint.ip(), &sticks_to)?;
            }
        }
        shop.cluster.objects.remove(&offer.service)
    })
}

#[test]
fn what_asks_for_no_service_passes_untouched() -> Result<()> {
    in_shop(|shop| {
        let shell = shop.shell()?;
        let places = ["1.1.1.1:81", "[2001:db8:9::1]:81"];
        for (client, place) in shell.addresses().both().into_iter().zip(places) {
            for words in [&[][..], &["--protocol", "udp"]] {
                let client = client.to_string();
                let words = [&[client.as_str(), place], words].concat();
                let told = trace(shop, &words)?;

                ensure!(told["outcome"] == "untouched", "{told:#}");
                ensure!(told["steps"][0]["verdict"] == "passed", "{told:#}");
            }
        }
        // Nor does a segment of a connection that nobody knows.
        let door = shop.far.at_cluster_ips()[0].http.to_string();
        let words = [
            &shell.ipv4().to_string(),
            door.as_str(),
            "--flags",
            "ack,psh",
        ];
        let told = trace(shop, &words)?;
        let is_left =
            told["outcome"] == "untouched" || told["steps"][0]["reason"] == "connection_reset";
        ensure!(is_left, "{told:#}");
        Ok(())
    })
}

#[test]
fn a_packet_to_the_node_itself_crosses_no_hook() -> Result<()> {
    in_shop(|shop| {
        let node = shop.node("a")?;
        for door in shop.near.at_node(&node) {
            let from = node.address_like(door.http.ip()).to_string();
            let told = trace(shop, &[&from, &door.http.to_string()])?;

            ensure!(told["outcome"] == "left-to-sockets", "{told:#}");
            ensure!(told["steps"] == serde_json::json!([]), "{told:#}");
        }
        Ok(())
    })
}

#[test]
fn a_live_flow_is_told_and_left_in_peace() -> Result<()> {
    in_shop(|shop| {
        let (node, shell) = (shop.node("a")?, shop.shell()?);
        for door in shop.far.at_cluster_ips() {
            let held = shell.hold_idle(&door.url())?;
            let client = shell.address_like(door.http.ip()).to_string();
            let flows = || {
                let words = ["flows", "--client", &client, "--state", "established"];
                rows(&node, &words)
            };
            let flow = flows()?.pop().context("no flow")?;
            let port = &flow["client"]["port"];
            let address: IpAddr = client.parse()?;
            let from = SocketAddr::new(address, port.to_string().parse()?);
            let told = trace(shop, &[&from.to_string(), &door.http.to_string()])?;

            ensure!(told["outcome"] == "live-flow", "{told:#}");
            ensure!(told["steps"] == serde_json::json!([]), "{told:#}");
            let answer = flows()?.pop().context("the flow is gone")?;
            ensure!(answer["endpoint"] == flow["endpoint"], "{answer:#}");
            let report = held.stop()?;
            ensure!(report.broken.is_none(), "{report:?}");
        }
        Ok(())
    })
}

#[test]
fn a_trace_is_counted_as_the_flow_that_it_opens() -> Result<()> {
    in_shop(|shop| {
        let node = shop.node("a")?;
        let opened = || -> Result<u64> {
            let rows = rows(&node, &["counters"])?;
            let row = rows.iter().find(|row| row["name"] == "new_flow");
            row.and_then(|row| row["count"].as_u64())
                .context("no count")
        };
        let before = opened()?;

        trace(shop, &[&shop.shell()?.ipv4().to_string(), "shop/far:http"])?;

        ensure!(
            opened()? == before + 1,
            "what is said to be left is not: {before}"
        );
        Ok(())
    })
}

/// Else that no packet was sent would show nothing.
#[test]
fn a_packet_that_is_sent_is_noticed() -> Result<()> {
    in_shop(|shop| {
        let before = packets(shop)?;

        shop.shell()?
            .get(&shop.far.at_cluster_ips()[0].url(), 1)?
            .all_answered()?;

        ensure!(packets(shop)? != before, "nobody has counted any");
        Ok(())
    })
}

/// The value of one that takes text.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn what_processes_are_told_at_their_socket_is_told_first() -> Result<()> {
    let lab = two_nodes("trace-sockets", Cni::PointToPoint, Cni::Bridge);
    let shop = Shop::open_in(Cluster::up_with(lab, AgentOptions::at_sockets)?)?;
    shop.cluster.hold(|| {
        let (node, shell, outside) = (shop.node("a")?, shop.shell()?, shop.outside()?);
        let door = shop.both.at_cluster_ips()[0].http.to_string();
        for from in [shell.ipv4().to_string(), "host".to_owned()] {
            let told = untraced(&node, &[&from, &door])?;
            ensure!(told["socket"]["is_balanced"] == true, "{told:#}");
            ensure!(
                text(&told["socket"]["why"]).contains("one of 2 endpoints"),
                "{told:#}"
            );
        }
        let door = shop.both.at_node(&node)[0].http.to_string();
        let told = untraced(&node, &[&outside.ipv4().to_string(), &door])?;
        ensure!(told["socket"] == Value::Null, "{told:#}");
        // With the agent gone, and when the next one has put its programs in place of those.
        let agent = shop.cluster.agent("a")?;
        agent.kill9()?;
        let told = untraced(&node, &[&shell.ipv4().to_string(), "shop/far:http"])?;
        ensure!(told["outcome"] == "answered", "{told:#}");
        agent.restart()?;
        wait_until("the agent runs again", LONGEST, || {
            Ok(agent.log().contains("agent running"))
        })?;
        let told = untraced(&node, &[&shell.ipv4().to_string(), "shop/far:http"])?;
        ensure!(told["outcome"] == "answered", "{told:#}");
        ensure!(
            !told["notes"].to_string().contains("another program"),
            "{told:#}"
        );
        Ok(())
    })
}
