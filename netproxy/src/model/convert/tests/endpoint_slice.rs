//! EndpointSlices.

use std::sync::Arc;

use serde_json::{Value, json};

use super::object;
use crate::model::convert::{Interner, endpoint_slice};
use crate::model::{EndpointSlice, Family, ObjectName, Protocol};

fn converted(patch: Value) -> Option<EndpointSlice> {
    let base = json!({
        "metadata": {
            "namespace": "shop",
            "name": "web-x7k2p",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1"]}],
    });
    endpoint_slice(&object(base, patch), &mut Interner::default())
}

#[test]
fn a_plain_slice_has_kubernetes_defaults() {
    let slice = converted(json!({})).unwrap();

    assert_eq!(slice.name, ObjectName::new("shop", "web-x7k2p"));
    assert_eq!(slice.service, ObjectName::new("shop", "web"));
    assert_eq!(slice.family, Family::V4);
    assert_eq!(slice.triggered_unix_ns, None);
    let endpoint = &slice.endpoints[0];
    assert!(endpoint.ready && endpoint.serving && !endpoint.terminating);
    assert_eq!((&endpoint.node, &endpoint.hints), (&None, &None));
}

#[test]
fn slices_of_no_concern_to_a_proxy_are_skipped() {
    for (why, patch) in [
        ("names, not addresses", json!({"addressType": "FQDN"})),
        ("unknown family", json!({"addressType": "IPv5"})),
        ("no service", json!({"metadata": {"labels": null}})),
        (
            "no service's name",
            json!({"metadata": {"labels": {"kubernetes.io/service-name": ""}}}),
        ),
        (
            "headless, whatever the label says",
            json!({"metadata": {"labels": {"service.kubernetes.io/headless": "false"}}}),
        ),
    ] {
        assert_eq!(converted(patch), None, "{why}");
    }
}

#[test]
fn slices_are_not_filtered_by_the_proxy_name_label() {
    let label = json!({"service.kubernetes.io/service-proxy-name": "other"});

    assert!(converted(json!({"metadata": {"labels": label}})).is_some());
}

#[test]
fn ports_need_a_name_a_number_and_a_known_protocol() {
    let slice = converted(json!({"ports": [
        {"name": "", "port": 1},
        {"name": "u", "protocol": "UDP", "port": 2},
        {"name": "s", "protocol": "SCTP", "port": 3},
        {"port": 4},
        {"name": "all"},
        {"name": "zero", "port": 0},
        {"name": "high", "port": 65536},
        {"name": "d", "protocol": "DCCP", "port": 5},
    ]}))
    .unwrap();

    let ports = slice.ports.iter();
    let ports: Vec<_> = ports
        .map(|port| (&*port.name, port.protocol, port.port))
        .collect();
    assert_eq!(
        ports,
        [
            ("", Protocol::Tcp, 1),
            ("u", Protocol::Udp, 2),
            ("s", Protocol::Sctp, 3)
        ]
    );
}

#[test]
fn an_endpoint_is_its_first_address_of_the_slices_family() {
    let endpoints = json!([
        {"addresses": ["010.0.0.001", "10.0.0.9"]},
        {"addresses": ["fd00::1", "10.0.0.2"]},
        {"addresses": []},
        {"addresses": ["backend.example.com"]},
        {"addresses": ["::ffff:10.0.0.3"]},
    ]);
    let addresses = |family| {
        let patch = json!({"addressType": family, "endpoints": endpoints});
        let endpoints = converted(patch).unwrap().endpoints.into_iter();
        endpoints
            .map(|endpoint| endpoint.address.to_string())
            .collect::<Vec<_>>()
    };

    assert_eq!(addresses("IPv4"), ["10.0.0.1", "10.0.0.3"]);
    assert_eq!(addresses("IPv6"), ["fd00::1"]);
}

#[test]
fn conditions_are_taken_as_they_are() {
    for (conditions, expected) in [
        (json!({}), (true, true, false)),
        (json!({"ready": false}), (false, true, false)),
        (
            json!({"ready": true, "serving": false}),
            (true, false, false),
        ),
        (
            json!({"ready": false, "serving": true, "terminating": true}),
            (false, true, true),
        ),
    ] {
        let endpoints = json!([{"addresses": ["10.0.0.1"], "conditions": conditions}]);
        let slice = converted(json!({ "endpoints": endpoints })).unwrap();

        let endpoint = &slice.endpoints[0];
        let found = (endpoint.ready, endpoint.serving, endpoint.terminating);
        assert_eq!(found, expected, "{conditions}");
    }
}

#[test]
fn hints_are_kept_and_empty_hints_are_none() {
    let slice = converted(json!({"endpoints": [
        {"addresses": ["10.0.0.1"], "hints": {
            "forNodes": [{"name": "n1"}],
            "forZones": [{"name": "a"}, {"name": "b"}],
        }},
        {"addresses": ["10.0.0.2"], "hints": {"forZones": []}},
    ]}))
    .unwrap();

    let hints = slice.endpoints[0].hints.as_ref().unwrap();
    assert_eq!(hints.nodes.iter().map(|n| &**n).collect::<Vec<_>>(), ["n1"]);
    assert_eq!(
        hints.zones.iter().map(|z| &**z).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(slice.endpoints[1].hints, None);
}

#[test]
fn endpoints_of_one_node_share_its_name() {
    let slice = converted(json!({"endpoints": [
        {"addresses": ["10.0.0.1"], "nodeName": "worker-1"},
        {"addresses": ["10.0.0.2"], "nodeName": "worker-1"},
    ]}))
    .unwrap();

    let name = |index: usize| slice.endpoints[index].node.clone().unwrap();
    assert_eq!(&*name(0), "worker-1");
    assert!(Arc::ptr_eq(&name(0), &name(1)));
}

#[test]
fn the_trigger_time_is_kept_to_the_nanosecond() {
    let triggered = |text: &str| {
        let key = "endpoints.kubernetes.io/last-change-trigger-time";
        let slice = converted(json!({"metadata": {"annotations": {key: text}}}));
        slice.unwrap().triggered_unix_ns
    };

    assert_eq!(
        triggered("1970-01-01T00:00:01.000000002Z"),
        Some(1_000_000_002)
    );
    assert_eq!(
        triggered("2026-01-01T00:00:00Z"),
        Some(1_767_225_600_000_000_000)
    );
    assert_eq!(triggered("yesterday"), None);
}
