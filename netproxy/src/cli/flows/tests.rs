//! Tests of the flow list: which flows are listed, and how.

use clap::Parser;
use netproxy::model::{Family, ObjectName};
use serde_json::json;

use super::super::table::tests::texts;
use super::*;

/// A command line of `netproxy flows`.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    flows: FlowsArgs,
}

fn flow() -> FlowEntry {
    FlowEntry {
        protocol: Protocol::Tcp,
        client: "192.0.2.7:40000".parse().unwrap(),
        frontend: "203.0.113.1:30080".parse().unwrap(),
        endpoint: "10.1.1.3:8080".parse().unwrap(),
        source: "203.0.113.1:10300".parse().unwrap(),
        kind: FlowKind::Whole,
        state: FlowState::Established,
        is_assured: true,
        service: 7,
        expires_s: 86_000,
    }
}

fn key() -> PortKey {
    PortKey {
        service: ObjectName::new("shop", "cart"),
        port: "http".into(),
        protocol: Protocol::Tcp,
        family: Family::V4,
    }
}

/// Whether `netproxy flows` with these arguments lists [`flow`].
fn lists(arguments: &str, key: Option<&PortKey>) -> bool {
    let words = std::iter::once("flows").chain(arguments.split_whitespace());
    Line::try_parse_from(words)
        .unwrap()
        .flows
        .admits(&flow(), key)
}

#[test]
fn a_flow_is_listed_if_it_meets_every_condition() {
    let key = key();
    for (arguments, is_listed) in [
        ("", true),
        ("--service cart", true),
        ("--service shop/cart:http -n shop", true),
        ("--service basket", false),
        ("-n other", false),
        ("--client 192.0.2.7", true),
        ("--client 192.0.2.8", false),
        ("--endpoint 10.1.1.3", true),
        ("--endpoint 10.1.1.4", false),
        ("--protocol TCP", true),
        ("--protocol udp", false),
        ("--protocol sctp", false),
        ("--state established", true),
        ("--state opening", false),
        ("--client 192.0.2.7 --state closing", false),
    ] {
        assert_eq!(lists(arguments, Some(&key)), is_listed, "{arguments:?}");
    }
}

#[test]
fn a_flow_of_a_removed_service_is_listed_unless_a_service_is_asked_for() {
    assert!(lists("", None));
    assert!(lists("--client 192.0.2.7", None));
    assert!(!lists("--service cart", None));
    assert!(!lists("-n shop", None));
}

#[test]
fn a_row_names_the_service_and_the_source_that_the_endpoint_sees() {
    assert_eq!(
        texts(FlowRow::new(&flow(), Some(&key())).cells()),
        [
            "TCP",
            "192.0.2.7:40000",
            "shop/cart:http",
            "203.0.113.1:30080",
            "10.1.1.3:8080",
            "203.0.113.1:10300",
            "whole",
            "established",
            "yes",
            "23h53m",
        ]
    );
    assert_eq!(
        texts(FlowRow::new(&flow(), None).cells())[2],
        "removed (id 7)"
    );
}

#[test]
fn the_json_object_has_the_documented_fields() {
    assert_eq!(
        serde_json::to_value(FlowRow::new(&flow(), Some(&key()))).unwrap(),
        json!({
            "protocol": "TCP",
            "service_id": 7,
            "namespace": "shop",
            "name": "cart",
            "port_name": "http",
            "client": {"address": "192.0.2.7", "port": 40000},
            "frontend": {"address": "203.0.113.1", "port": 30080},
            "endpoint": {"address": "10.1.1.3", "port": 8080},
            "source": {"address": "203.0.113.1", "port": 10300},
            "kind": "whole",
            "state": "established",
            "is_assured": true,
            "expires_s": 86_000,
        })
    );
}
