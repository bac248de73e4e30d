//! Nodes.

use serde_json::{Value, json};

use super::object;
use crate::model::Node;
use crate::model::convert::{Interner, node};

fn converted(patch: Value) -> Node {
    let base = json!({"metadata": {"name": "worker-1"}});
    node(&object(base, patch), &mut Interner::default()).unwrap()
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[test]
fn internal_addresses_come_before_external_ones() {
    let node = converted(json!({"status": {"addresses": [
        {"type": "Hostname", "address": "worker-1"},
        {"type": "ExternalIP", "address": "203.0.113.1"},
        {"type": "InternalIP", "address": "192.168.000.1"},
        {"type": "InternalIP", "address": "fd00::1"},
    ]}}));

    assert_eq!(
        texts(&node.addresses),
        ["192.168.0.1", "fd00::1", "203.0.113.1"]
    );
}

#[test]
fn an_empty_zone_is_none() {
    let zone = |value| {
        let labels = json!({"topology.kubernetes.io/zone": value});
        converted(json!({"metadata": {"labels": labels}})).zone
    };

    assert_eq!(zone("a").as_deref(), Some("a"));
    assert_eq!(zone(""), None);
    assert_eq!(converted(json!({})).zone, None);
}

#[test]
fn pod_ranges_are_the_list_else_the_single_one() {
    for (spec, expected) in [
        (
            json!({"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00::/64"]}),
            vec!["10.1.0.0/24", "fd00::/64"],
        ),
        (json!({"podCIDR": "010.1.0.0/24"}), vec!["10.1.0.0/24"]),
        (json!({}), vec![]),
    ] {
        let node = converted(json!({ "spec": spec }));
        assert_eq!(texts(&node.pod_cidrs), expected, "{spec}");
    }
}

#[test]
fn a_node_is_leaving_when_deleted_or_about_to_be() {
    for (patch, expected) in [
        (json!({}), false),
        (
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            true,
        ),
        (
            json!({"spec": {"taints": [
                {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"},
            ]}}),
            true,
        ),
        (
            json!({"spec": {"taints": [{"key": "other", "effect": "NoSchedule"}]}}),
            false,
        ),
    ] {
        assert_eq!(converted(patch.clone()).is_leaving, expected, "{patch}");
    }
}
