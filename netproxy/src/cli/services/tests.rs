//! Tests of the service list: what a row says, and its JSON object.

use netproxy::model::{Family, ObjectName, Protocol};
use netproxy::plan::PortKey;
use netproxy_common::{Range, Verdict};
use serde_json::json;

use super::super::clients::tests::{range, window};
use super::super::table::tests::texts;
use super::*;

fn service(range: Range) -> ServiceEntry {
    ServiceEntry {
        id: 7,
        key: PortKey {
            service: ObjectName::new("shop", "cart"),
            port: "http".into(),
            protocol: Protocol::Tcp,
            family: Family::V4,
        },
        generation: 3,
        range,
    }
}

fn frontend(kind: FrontendKind, address: Option<&str>, port: u16) -> FrontendEntry {
    FrontendEntry {
        address: address.map(|address| address.parse().unwrap()),
        port,
        protocol: Protocol::Tcp,
        kind,
        service: 7,
    }
}

fn endpoint(address: &str, is_local: bool, segment: usize) -> EndpointEntry {
    EndpointEntry {
        address: address.parse().unwrap(),
        port: 8080,
        is_local,
        segment,
    }
}

/// A NodePort service with external policy Local, one local and one remote endpoint.
fn row() -> ServiceRow {
    let range = Range {
        internal: window(0, 2),
        external_cluster: window(0, 2),
        external_local: window(0, 1),
        flags: RangeFlags::EXTERNAL_LOCAL,
        affinity_s: 10_800,
        ..range([0, 1, 1, 0, 0, 0, 0])
    };
    ServiceRow::new(
        &service(range),
        &[
            endpoint("10.1.0.2", true, 1),
            endpoint("10.1.1.3", false, 2),
        ],
        &[
            frontend(FrontendKind::ClusterIp, Some("10.96.0.9"), 80),
            frontend(FrontendKind::NodePort, None, 30080),
        ],
        &[],
    )
}

#[test]
fn a_row_tells_where_the_service_answers_and_by_whom() {
    assert_eq!(
        texts(row().cells()),
        [
            "shop/cart:http",
            "TCP",
            "IPv4",
            "ClusterIP 10.96.0.9:80, NodePort 30080",
            "2/2 (1 local)",
            "external Local, affinity 3h",
        ]
    );
}

#[test]
fn the_json_object_has_the_documented_fields() {
    assert_eq!(
        serde_json::to_value(row()).unwrap(),
        json!({
            "id": 7,
            "generation": 3,
            "namespace": "shop",
            "name": "cart",
            "port_name": "http",
            "protocol": "TCP",
            "family": "IPv4",
            "frontends": [
                {"kind": "ClusterIP", "address": "10.96.0.9", "port": 80},
                {"kind": "NodePort", "address": null, "port": 30080},
            ],
            "endpoints": {
                "total": 2,
                "local": 1,
                "internal": 2,
                "external_cluster": 2,
                "external_local": 1,
            },
            "external_policy_local": true,
            "affinity_s": 10_800,
            "source_ranges": [],
            "masquerade": {"internal": false, "external": false},
            "balancing": {"internal": "random", "external": "random"},
            "refused": [],
        })
    );
}

#[test]
fn it_is_noted_whose_flows_have_the_same_endpoint_on_every_node() {
    const INTERNAL: u8 = RangeFlags::CONSISTENT_INTERNAL;
    const EXTERNAL: u8 = RangeFlags::CONSISTENT_EXTERNAL;
    for (flags, note) in [
        (EXTERNAL, "external balanced consistently"),
        (INTERNAL, "balanced consistently"),
        (INTERNAL | EXTERNAL, "balanced consistently"),
    ] {
        let range = Range {
            internal: window(0, 2),
            flags,
            ..range([0, 2, 0, 0, 0, 0, 0])
        };
        let endpoints = ["10.1.0.2", "10.1.0.3"].map(|it| endpoint(it, true, 1));

        let row = ServiceRow::new(&service(range), &endpoints, &[], &[]);

        assert_eq!(row.notes(), [note]);
    }
}

#[test]
fn clients_without_an_endpoint_are_noted() {
    let remote_only = Range {
        internal: window(0, 1),
        external_cluster: window(0, 1),
        flags: RangeFlags::EXTERNAL_LOCAL,
        verdicts: [Verdict::Drop as u8; 3],
        ..range([0, 0, 1, 0, 0, 0, 0])
    };
    let node_port = [frontend(FrontendKind::NodePort, None, 30080)];

    let remote_only = ServiceRow::new(
        &service(remote_only),
        &[endpoint("10.1.1.3", false, 2)],
        &node_port,
        &[],
    );
    let empty = ServiceRow::new(&service(range([0; 7])), &[], &node_port, &[]);

    assert_eq!(
        remote_only.notes(),
        ["external Local", "external-local clients dropped"]
    );
    assert_eq!(empty.notes(), ["no endpoint: rejected"]);
}

#[test]
fn an_ipv6_frontend_is_written_in_brackets() {
    let entry = frontend(FrontendKind::ExternalIp, Some("2001:db8::1"), 443);

    assert_eq!(
        Frontend::from(&entry).to_string(),
        "ExternalIP [2001:db8::1]:443"
    );
}

#[test]
fn source_ranges_are_noted_as_far_as_there_is_room_and_listed_whole() {
    let ranges = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.0.2.0/24",
        "203.0.113.0/24",
    ];
    let ranges = ranges.map(|range| range.parse().unwrap());
    let row = |ranges| ServiceRow::new(&service(range([0; 7])), &[], &[], ranges);

    let (two, four) = (row(&ranges[..2]), row(&ranges));

    assert_eq!(two.notes()[0], "open to 10.0.0.0/8 172.16.0.0/12");
    assert_eq!(
        four.notes()[0],
        "open to 10.0.0.0/8 172.16.0.0/12 192.0.2.0/24 and 1 more"
    );
    assert_eq!(
        serde_json::to_value(four).unwrap()["source_ranges"],
        json!([
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.0.2.0/24",
            "203.0.113.0/24"
        ])
    );
}

#[test]
fn hidden_clients_are_noted() {
    for (flags, note, internal, external) in [
        (
            RangeFlags::MASQUERADE_EXTERNAL,
            "external clients hidden",
            false,
            true,
        ),
        (
            RangeFlags::MASQUERADE_EXTERNAL | RangeFlags::MASQUERADE_INTERNAL,
            "clients hidden",
            true,
            true,
        ),
    ] {
        let range = Range {
            flags,
            ..range([0; 7])
        };

        let row = ServiceRow::new(&service(range), &[], &[], &[]);

        assert_eq!(row.notes()[0], note);
        assert_eq!(
            serde_json::to_value(row).unwrap()["masquerade"],
            json!({"internal": internal, "external": external})
        );
    }
}
