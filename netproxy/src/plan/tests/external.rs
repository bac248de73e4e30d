//! What a range carries beside its endpoints: source ranges, masquerading, affinity; and the gate of
//! external IPs.

use netproxy_common::FrontendKind;

use super::{endpoint, ip, plan_one, service, slice, this_node};
use crate::model::{Service, TrafficPolicy};
use crate::plan::{NodeView, plan_service};
use crate::settings::Masquerade;

/// The source ranges, as text, of a service with the VIPs and ranges given, in each family.
fn ranges(vips: &[&str], ranges: &[&str], node: &NodeView) -> Vec<Vec<String>> {
    let mut service = service();
    service.cluster_ips.push(ip("fd00::1"));
    service.load_balancer_vips = vips.iter().map(|vip| ip(vip)).collect();
    service.source_ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
    plan_service(&service, &[], node)
        .iter()
        .map(|port| {
            let ranges = port.range.source_ranges.iter();
            ranges.map(ToString::to_string).collect()
        })
        .collect()
}

fn node_at(ips: &[&str]) -> NodeView {
    NodeView {
        ips: ips.iter().map(|address| ip(address)).collect(),
        ..this_node()
    }
}

/// Whether clients of cluster IPs, and of external destinations, are hidden.
fn masquerades(service: &Service, masquerade: Masquerade) -> (bool, bool) {
    let node = NodeView {
        masquerade,
        ..this_node()
    };
    let range = plan_one(service, &[], &node).range;
    (range.masquerades_internal, range.masquerades_external)
}

#[test]
fn affinity_is_carried_in_seconds() {
    let without = plan_one(&service(), &[], &this_node());
    let mut service = service();
    service.affinity_s = Some(10_800);
    let with = plan_one(&service, &[], &this_node());

    assert_eq!(
        (without.range.affinity_s, with.range.affinity_s),
        (0, 10_800)
    );
}

#[test]
fn source_ranges_are_those_of_the_family() {
    let mut service = service();
    service.cluster_ips.push(ip("fd00::1"));
    service.load_balancer_vips = vec![ip("192.0.2.1"), ip("2001:db8::1")];
    let ranges = ["198.51.100.7/24", "203.0.113.0/25", "203.0.113.128/25"];
    service.source_ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();

    let wanted = plan_service(&service, &[], &this_node());

    let ranges: Vec<_> = wanted
        .iter()
        .map(|port| {
            port.range
                .source_ranges
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(ranges[0], ["198.51.100.0/24", "203.0.113.0/24"]);
    assert!(
        ranges[1].is_empty(),
        "a family without ranges is not filtered"
    );
}

#[test]
fn a_source_range_of_everything_filters_nothing() {
    let mut service = service();
    service.load_balancer_vips = vec![ip("192.0.2.1")];
    service.source_ranges = vec!["10.0.0.0/8".parse().unwrap(), "0.0.0.0/0".parse().unwrap()];

    let port = plan_one(&service, &[], &this_node());

    assert!(port.range.source_ranges.is_empty());
}

#[test]
fn source_ranges_without_a_vip_have_no_effect() {
    let mut service = service();
    service.external_ips = vec![ip("192.0.2.1")];
    service.source_ranges = vec!["10.0.0.0/8".parse().unwrap()];

    let port = plan_one(&service, &[], &this_node());

    assert!(port.range.source_ranges.is_empty());
}

#[test]
fn ranges_that_admit_the_node_admit_the_vips_as_sources() {
    let node = node_at(&["192.0.2.10", "2001:db8:1::10"]);

    let ranges = ranges(
        &["203.0.113.1", "203.0.113.9", "2001:db8::1"],
        &["192.0.2.0/24", "2001:db8:2::/48"],
        &node,
    );

    assert_eq!(
        ranges,
        [
            vec!["192.0.2.0/24", "203.0.113.1/32", "203.0.113.9/32"],
            vec!["2001:db8:2::/48"],
        ],
        "only the IPv4 ranges admit the node"
    );
}

#[test]
fn ranges_that_do_not_admit_the_node_stay_as_they_are() {
    let ranges = ranges(
        &["203.0.113.1"],
        &["198.51.100.0/24"],
        &node_at(&["192.0.2.10"]),
    );

    assert_eq!(ranges[0], ["198.51.100.0/24"]);
}

#[test]
fn ranges_of_one_family_do_not_filter_the_other() {
    let ranges = ranges(
        &["203.0.113.1", "2001:db8::1"],
        &["2001:db8:2::/48"],
        &this_node(),
    );

    assert!(ranges[0].is_empty());
    assert_eq!(ranges[1], ["2001:db8:2::/48"]);
}

#[test]
fn external_ips_are_left_alone_where_they_are_not_to_be_served() {
    let mut service = service();
    service.external_policy = TrafficPolicy::Local;
    service.external_ips = vec![ip("192.0.2.1")];
    let node = NodeView {
        serves_external_ips: false,
        ..this_node()
    };

    let port = plan_one(&service, &[slice("s", vec![endpoint("a ready")])], &node);

    let kinds: Vec<_> = port
        .frontends
        .iter()
        .map(|frontend| frontend.kind)
        .collect();
    assert_eq!(kinds, [FrontendKind::ClusterIp]);
    assert!(!port.range.is_external_local);
    assert_eq!(port.range.external_cluster.count, 0);
}

#[test]
fn other_frontends_stay_where_external_ips_are_not_to_be_served() {
    let mut service = service();
    service.external_ips = vec![ip("192.0.2.1"), ip("192.0.2.2")];
    service.load_balancer_vips = vec![ip("192.0.2.1")];
    service.ports[0].node_port = Some(30080);
    let node = NodeView {
        serves_external_ips: false,
        ..this_node()
    };

    let port = plan_one(&service, &[], &node);

    let frontends: Vec<_> = port
        .frontends
        .iter()
        .map(|frontend| (frontend.address, frontend.kind))
        .collect();
    assert_eq!(
        frontends,
        [
            (None, FrontendKind::NodePort),
            (Some(ip("10.96.0.1")), FrontendKind::ClusterIp),
            (Some(ip("192.0.2.1")), FrontendKind::LoadBalancer),
        ]
    );
}

#[test]
fn clients_are_hidden_as_far_as_the_setting_says() {
    let mut external = service();
    external.external_ips = vec![ip("192.0.2.1")];

    for (masquerade, expected) in [
        (Masquerade::Needed, (false, false)),
        (Masquerade::External, (false, true)),
        (Masquerade::All, (true, true)),
    ] {
        assert_eq!(
            masquerades(&external, masquerade),
            expected,
            "{masquerade:?}"
        );
    }
    assert_eq!(
        masquerades(&service(), Masquerade::All),
        (true, false),
        "a service without external destinations"
    );
}
