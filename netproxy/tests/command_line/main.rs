//! The real binary on a real datapath, in a network and mount namespace of its own. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod cleanup;
mod configuration;
mod documentation;
mod explain;
mod init;
mod live;
mod node;
mod objects;
mod termination;
mod trace;

use std::path::Path;
use std::process::Stdio;

use aya::programs::{SchedClassifier, TcAttachType};
use netproxy_common::Counter;
use serde_json::{Value, json};

use crate::node::{BpfFs, Node, command, datapath, enter_drops, enter_flow, text, uplink};
use crate::objects::{basket, cart};

#[test]
fn services_are_listed_by_name_after_the_agent_is_gone() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart(), basket()]).unwrap();
    drop(datapath);

    let table = node.prints("services");
    let services = node.json("services");

    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert!(lines[1].starts_with("shop/basket "), "{table}");
    assert!(lines[1].ends_with("no endpoint: rejected"), "{table}");
    assert!(
        lines[2].contains(
            "ClusterIP 10.96.0.9:80, NodePort 30080, LoadBalancer 198.51.100.1:80, \
             ExternalIP 203.0.113.1:80"
        ),
        "{table}"
    );
    assert!(lines[2].contains("2/3 (1 local)"), "{table}");
    assert!(lines[2].ends_with("external Local, affinity 3h"), "{table}");
    assert_eq!(services.as_array().unwrap().len(), 5);
    assert_eq!(services[1]["endpoints"]["external_local"], 1);
    assert_eq!(
        services[1]["frontends"][1],
        json!({"kind": "NodePort", "address": null, "port": 30080})
    );
}

#[test]
fn endpoints_tell_their_state_and_who_may_be_sent_there() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart(), basket()]).unwrap();

    let told: Vec<_> = node
        .prints("endpoints shop/cart:http")
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();

    assert_eq!(
        told,
        [
            "shop/cart:http TCP 10.1.0.2:8080 local ready internal, external, external-local",
            "shop/cart:http TCP 10.1.1.2:8080 remote ready internal, external",
            "shop/cart:http TCP 10.1.1.3:8080 remote terminating none",
            "shop/cart:http TCP [fd00:1::2]:8080 remote ready internal, external",
        ]
    );
    assert_eq!(node.prints("endpoints basket"), "no endpoints\n");
}

#[test]
fn a_flow_is_listed_with_the_name_of_its_service() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart()]).unwrap();
    let id = node.json("services cart:http")[0]["id"].as_u64().unwrap();
    enter_flow(&node, u32::try_from(id).unwrap(), [192, 0, 2, 7]);
    enter_flow(&node, 9999, [192, 0, 2, 8]);

    let named = node.prints("flows --service shop/cart");
    let all = node.json("flows");

    assert_eq!(named.lines().count(), 2, "{named}");
    for word in ["192.0.2.7:40000", "shop/cart:http", "192.0.2.1:10240"] {
        assert!(named.contains(word), "{named}");
    }
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(all[1]["name"], Value::Null);
    assert_eq!(node.prints("flows --protocol udp"), "no flows\n");
}

#[test]
fn counters_are_listed_by_name() {
    let node = Node::new();
    let _datapath = node.datapath();

    let counters = node.json("counters");

    let counters = counters.as_array().unwrap();
    assert!(counters.contains(&json!({"name": "no_endpoint", "count": 0, "is_drop": true})));
    assert!(counters.contains(&json!({"name": "new_flow", "count": 0, "is_drop": false})));
}

#[test]
fn drops_are_listed_by_service_and_reason() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart()]).unwrap();

    let nothing = node.prints("drops");
    enter_drops(&node, 1, Counter::NoEndpoint, 3);
    enter_drops(&node, 9999, Counter::NoRoute, 2);
    let named = node.prints("drops --service shop/cart");
    let all = node.json("drops");

    assert_eq!(nothing, "nothing was dropped\n");
    assert_eq!(named.lines().count(), 2, "{named}");
    for word in ["shop/cart:http", "no_endpoint", " 3 "] {
        assert!(named.contains(word), "{named}");
    }
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(all[1]["name"], Value::Null);
    assert_eq!(all[1]["count"], 2);
}

#[test]
fn check_names_devices_and_foreign_programs_that_come_before_ours() {
    let node = Node::new();
    let uplink = [uplink()];
    let mut ours = node.datapath();
    ours.set_devices(&uplink).unwrap();
    // Another proxy of our own kind: it, too, wants to be first at ingress and last at egress.
    let foreign_bpffs = BpfFs::new();
    let mut foreign = datapath(foreign_bpffs.path());
    foreign.set_devices(&uplink).unwrap();

    let findings: Vec<Value> =
        serde_json::from_slice(&node.netproxy("check -o json").stdout).unwrap();

    let about = |start: &str| {
        findings
            .iter()
            .find(|finding| finding["found"].as_str().unwrap().starts_with(start))
            .unwrap_or_else(|| panic!("{start:?} is not in {findings:?}"))["level"]
            .clone()
    };
    assert_eq!(about("attached by tcx: uplink (outside)"), "ok");
    assert_eq!(about("uplink: the program tc_ingress"), "warning");
    assert_eq!(about("uplink: the program tc_egress"), "warning");
}

#[test]
fn check_exits_with_one_if_there_is_a_problem() {
    let node = Node::new();
    let nowhere = Path::new("/nowhere");

    let output = command(nowhere, "check").output().unwrap();
    let problems = node.netproxy("check -o json");

    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(table.contains("PROBLEM"), "{table}");
    assert!(table.contains("-> mkdir -p /nowhere && mount"), "{table}");
    let findings: Vec<Value> = serde_json::from_slice(&problems.stdout).unwrap();
    let has_problem = findings.iter().any(|finding| finding["level"] == "problem");
    assert_eq!(problems.status.code(), Some(i32::from(has_problem)));
}

#[test]
fn cleanup_removes_everything_once() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.set_devices(&[uplink()]).unwrap();
    drop(datapath);

    let first = node.prints("cleanup");
    let second = node.prints("cleanup");

    assert!(first.contains(" maps and 2 links"), "{first}");
    assert!(second.starts_with("nothing to remove"), "{second}");
    assert!(!node.path().join("netproxy").exists());
    let (_, programs) = SchedClassifier::query_tcx("uplink", TcAttachType::Ingress).unwrap();
    assert!(programs.is_empty());
}

#[test]
fn the_flow_tables_maps_are_listed_with_their_room() {
    let node = Node::new();
    let _datapath = node.datapath();

    let maps = node.json("maps");

    let names: Vec<_> = maps
        .as_array()
        .unwrap()
        .iter()
        .map(|map| &map["map"])
        .collect();
    assert_eq!(names, ["FLOWS_V4", "PENDING_V4", "FLOWS_V6", "PENDING_V6"]);
    assert!(maps[0]["capacity"].as_u64().unwrap() >= 262_144);
    assert_eq!(maps[0]["entries"], 0);
}

#[test]
fn what_is_absent_is_an_error_with_a_remedy() {
    let node = Node::new();

    for words in [
        "services",
        "endpoints",
        "flows",
        "drops",
        "monitor",
        "top",
        "counters",
        "maps",
        "trace 192.0.2.7 192.0.2.8:80",
    ] {
        let error = node.fails(words);

        assert!(
            error.starts_with("error: no datapath is pinned at"),
            "{error}"
        );
        assert!(error.contains("--bpffs"), "{error}");
    }
    let _datapath = node.datapath();
    let error = node.fails("endpoints shop/nothing");
    assert!(
        error.starts_with("error: service shop/nothing: "),
        "{error}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart()]).unwrap();

    for words in ["services", "services -o json", "endpoints", "counters"] {
        let mut child = command(node.path(), words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before anything can have been written to it in full.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();

        assert_eq!(text(&output.stderr), "", "netproxy {words}");
        assert!(output.status.success(), "netproxy {words}");
    }
}

#[test]
fn shells_and_man_are_told_of_every_command() {
    let node = Node::new();
    let pages = tempfile::TempDir::new().unwrap();

    for shell in ["bash", "zsh", "fish"] {
        let script = node.prints(&format!("completions {shell}"));
        assert!(script.contains("endpoints"), "{script}");
    }
    node.prints(&format!("man {}", pages.path().join("man1").display()));

    for page in ["netproxy.1", "netproxy-run.1", "netproxy-explain.1"] {
        let text = std::fs::read_to_string(pages.path().join("man1").join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}: {text}");
    }
}

#[test]
fn wrong_usage_exits_with_two() {
    let output = command(Path::new("/nowhere"), "flows --client nobody")
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(2));
}
