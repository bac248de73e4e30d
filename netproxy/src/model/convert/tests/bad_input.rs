//! What cannot be used is left out and named, and everything else of the object stays.

use serde_json::{Value, json};

use super::object;
use crate::model::convert::complaint::Complaints;
use crate::model::convert::{Interner, endpoint_slice, node, service, service_cidr};
use crate::model::{EndpointSlice, Service};

/// What is served of a Service, and `field: value` of each complaint about it.
fn of_service(patch: Value) -> (Option<Service>, Vec<String>) {
    let base = json!({
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.96.0.10",
            "clusterIPs": ["10.96.0.10", "fd00::10"],
            "externalIPs": ["192.0.2.1"],
            "ports": [{"name": "good", "port": 80}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"ip": "2001:db8::1"}]}},
    });
    let mut complaints = Complaints::default();
    let service = service::read(
        &object(base, patch),
        &mut Interner::default(),
        &mut complaints,
    );
    (service, told(&complaints))
}

fn of_slice(patch: Value) -> (Option<EndpointSlice>, Vec<String>) {
    let base = json!({
        "metadata": {
            "namespace": "shop",
            "name": "web-1",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "good", "port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1"]}],
    });
    let mut complaints = Complaints::default();
    let slice = endpoint_slice::read(
        &object(base, patch),
        &mut Interner::default(),
        &mut complaints,
    );
    (slice, told(&complaints))
}

fn told(complaints: &Complaints) -> Vec<String> {
    let told = complaints.told().iter();
    told.map(|complaint| format!("{}: {}", complaint.field, complaint.value))
        .collect()
}

/// The ports of a Service as `name number/node-port`.
fn ports(service: &Service) -> Vec<String> {
    let ports = service.ports.iter();
    ports
        .map(|port| match port.node_port {
            Some(node_port) => format!("{} {}/{node_port}", port.name, port.port),
            None => format!("{} {}", port.name, port.port),
        })
        .collect()
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[test]
fn a_port_that_is_none_is_named_and_the_others_are_served() {
    for (bad, complaint, served) in [
        (json!({"name": "a", "port": 0}), "port: 0", None),
        (json!({"name": "a", "port": 70_000}), "port: 70000", None),
        (json!({"name": "a", "port": -1}), "port: -1", None),
        (
            json!({"name": "a", "port": 81, "nodePort": 70_000}),
            "nodePort: 70000",
            Some("a 81"),
        ),
        (
            json!({"name": "a", "port": 81, "nodePort": -5}),
            "nodePort: -5",
            Some("a 81"),
        ),
        (
            json!({"name": "a", "port": 81, "protocol": "DCCP"}),
            "protocol: DCCP",
            None,
        ),
        (json!({"name": "a:b", "port": 81}), "name: a:b", None),
        (json!({"name": "a/b", "port": 81}), "name: a/b", None),
        (
            json!({"name": "good", "port": 81}),
            "name: good",
            Some("good 81"),
        ),
    ] {
        let patch = json!({"spec": {"ports": [{"name": "good", "port": 80}, bad]}});

        let (service, told) = of_service(patch);

        let expected: Vec<_> = ["good 80"].into_iter().chain(served).collect();
        assert_eq!(ports(&service.unwrap()), expected, "{bad}");
        assert_eq!(told, [format!("spec.ports[].{complaint}")], "{bad}");
    }
}

#[test]
fn addresses_at_which_nothing_can_be_served_are_named() {
    for address in [
        "0.0.0.0",
        "::",
        "127.0.0.1",
        "::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "10.0.0.256",
        "web.example.com",
    ] {
        let (service, told) = of_service(json!({
            "spec": {"externalIPs": ["192.0.2.1", address]},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"ip": address}]}},
        }));

        let service = service.unwrap();
        assert_eq!(texts(&service.external_ips), ["192.0.2.1"], "{address}");
        assert_eq!(
            texts(&service.load_balancer_vips),
            ["203.0.113.1"],
            "{address}"
        );
        assert_eq!(
            told,
            [
                format!("spec.externalIPs: {address}"),
                format!("status.loadBalancer.ingress[].ip: {address}"),
            ]
        );
    }
}

#[test]
fn a_bad_cluster_ip_leaves_the_other_family() {
    let (service, told) = of_service(json!({"spec": {"clusterIPs": ["10.96.0", "fd00::10"]}}));

    assert_eq!(texts(&service.unwrap().cluster_ips), ["fd00::10"]);
    assert_eq!(told, ["spec.clusterIPs: 10.96.0"]);
}

#[test]
fn without_a_good_cluster_ip_there_is_no_service() {
    let (service, told) = of_service(json!({"spec": {"clusterIPs": ["0.0.0.0", "x"]}}));

    assert_eq!(service, None);
    assert!(
        told.iter()
            .any(|line| line.contains("spec.clusterIPs: 0.0.0.0, x")),
        "{told:?}"
    );
}

#[test]
fn unreadable_source_ranges_do_not_open_what_was_to_be_closed() {
    let (v4, v6) = ("203.0.113.1", "2001:db8::1");
    for (ranges, vips, complaints) in [
        (json!(["10.0.0.0/8"]), vec![v4, v6], 0),
        (json!([" "]), vec![v4, v6], 0),
        (json!(["10.0.0.0/8", "10.0.0.0/33"]), vec![v4, v6], 1),
        // The family that was meant is known by its separators.
        (json!(["10.0.0.0/33"]), vec![v6], 2),
        (json!(["10.0.0.1", "fd00::/8"]), vec![v6], 2),
        (json!(["fd00::/129"]), vec![v4], 2),
        (json!(["fd00::/129", "10.0.0.0/8"]), vec![v4], 2),
        (json!(["nonsense"]), vec![], 3),
        (json!(["nonsense", "10.0.0.0/8"]), vec![v4], 2),
        (json!(["10.0.0/8", "fd00::1"]), vec![], 4),
    ] {
        let (service, told) = of_service(json!({"spec": {"loadBalancerSourceRanges": ranges}}));

        let service = service.unwrap();
        assert_eq!(texts(&service.load_balancer_vips), vips, "{ranges}");
        assert_eq!(service.cluster_ips.len(), 2, "{ranges}");
        assert_eq!(told.len(), complaints, "{ranges}: {told:?}");
        let is_named = |line: &String| line.starts_with("spec.loadBalancerSourceRanges: ");
        assert!(told.iter().all(is_named), "{told:?}");
    }
}

#[test]
fn other_fields_of_a_service_fall_back_to_their_defaults() {
    for (spec, complaint) in [
        (
            json!({"sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": -5}}}),
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: -5",
        ),
        (
            json!({"sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86_401}}}),
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 86401",
        ),
        (
            json!({"sessionAffinity": "Cookie"}),
            "spec.sessionAffinity: Cookie",
        ),
        (
            json!({"internalTrafficPolicy": "local"}),
            "spec.internalTrafficPolicy: local",
        ),
        (
            json!({"externalTrafficPolicy": "Global"}),
            "spec.externalTrafficPolicy: Global",
        ),
        (
            json!({"externalTrafficPolicy": "Local", "healthCheckNodePort": 70_000}),
            "spec.healthCheckNodePort: 70000",
        ),
    ] {
        let (service, told) = of_service(json!({"spec": spec}));

        assert_eq!(ports(&service.unwrap()), ["good 80"], "{spec}");
        assert_eq!(told, [complaint]);
    }
}

#[test]
fn an_annotation_that_says_neither_of_two_ways_to_balance_is_named() {
    let annotations = json!({"netproxy.dev/balancing": "fair"});
    let (service, told) = of_service(json!({"metadata": {"annotations": annotations}}));

    assert_eq!(service.unwrap().balancing, None);
    assert_eq!(told, ["metadata.annotations.netproxy.dev/balancing: fair"]);
}

#[test]
fn a_good_service_and_a_good_slice_give_no_cause_for_complaint() {
    let (service, of_service) = of_service(json!({"spec": {
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 0,
        "ports": [{"name": "a", "port": 80, "nodePort": 0}, {"name": "a", "port": 80,
            "protocol": "UDP"}],
    }}));
    let (slice, of_slice) = of_slice(json!({"ports": [{"name": "good", "port": null}]}));

    assert!(service.is_some() && slice.is_some());
    assert_eq!((of_service, of_slice), (vec![], vec![]));
}

#[test]
fn a_name_that_does_not_fit_the_maps_is_refused() {
    let long = "x".repeat(64);

    let (service, told) = of_service(json!({"metadata": {"name": long}}));

    assert_eq!(service, None);
    assert_eq!(told, [format!("metadata.name: {long}")]);
    for name in ["a/b", "a:b", "a b", ""] {
        assert_eq!(
            of_service(json!({"metadata": {"name": name}})).0,
            None,
            "{name}"
        );
        assert_eq!(
            of_service(json!({"metadata": {"namespace": "x/y", "name": "z"}})).0,
            None
        );
    }
}

#[test]
fn bad_endpoints_are_named_and_the_others_are_used() {
    for address in [
        "10.0.0",
        "fd00::1",
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        let endpoints = json!([{"addresses": [address]}, {"addresses": ["10.0.0.2"]}]);

        let (slice, told) = of_slice(json!({"endpoints": endpoints}));

        let endpoints = slice.unwrap().endpoints;
        let addresses: Vec<_> = endpoints.iter().map(|found| found.address).collect();
        assert_eq!(texts(&addresses), ["10.0.0.2"], "{address}");
        assert_eq!(told, [format!("endpoints[].addresses[0]: {address}")]);
    }
}

#[test]
fn bad_ports_of_a_slice_are_named_and_the_others_are_used() {
    for (bad, complaint) in [
        (json!({"port": 1}), "name: null (port 1)"),
        (json!({"name": "x y", "port": 1}), "name: x y"),
        (json!({"name": "a", "port": 70_000}), "port: 70000"),
        (json!({"name": "a", "port": -1}), "port: -1"),
        (
            json!({"name": "a", "port": 1, "protocol": "ICMP"}),
            "protocol: ICMP",
        ),
    ] {
        let ports = json!([bad, {"name": "good", "port": 8080}]);

        let (slice, told) = of_slice(json!({"ports": ports}));

        assert_eq!(slice.unwrap().ports.len(), 1, "{bad}");
        assert_eq!(told, [format!("ports[].{complaint}")]);
    }
}

#[test]
fn a_slice_that_says_nothing_usable_is_named() {
    for (patch, complaint) in [
        (json!({"addressType": "IPv5"}), "addressType: IPv5"),
        (
            json!({"metadata": {"labels": {"kubernetes.io/service-name": "a/b"}}}),
            "metadata.labels[kubernetes.io/service-name]: a/b",
        ),
    ] {
        let (slice, told) = of_slice(patch);

        assert_eq!(slice, None);
        assert_eq!(told, [complaint]);
    }
}

#[test]
fn bad_networks_of_the_node_and_the_cluster_are_named() {
    let mut complaints = Complaints::default();
    let object = object(
        json!({"metadata": {"name": "worker-1"}}),
        json!({
            "spec": {"podCIDRs": ["10.244.0.0/24", "10.244.0.0"]},
            "status": {"addresses": [
                {"type": "InternalIP", "address": "192.0.2.10"},
                {"type": "InternalIP", "address": "192.0.2.300"},
            ]},
        }),
    );
    let node = node::read(&object, &mut Interner::default(), &mut complaints).unwrap();
    assert_eq!(texts(&node.addresses), ["192.0.2.10"]);
    assert_eq!(texts(&node.pod_cidrs), ["10.244.0.0/24"]);
    assert_eq!(
        told(&complaints),
        ["status.addresses: 192.0.2.300", "spec.podCIDRs: 10.244.0.0"]
    );

    let mut complaints = Complaints::default();
    let object = super::object(
        json!({"metadata": {"name": "kubernetes"}}),
        json!({"spec": {"cidrs": ["10.96.0.0/16", "0.0.0.0/0", "x"]}}),
    );
    let (_, networks) =
        service_cidr::read(&object, &mut Interner::default(), &mut complaints).unwrap();
    assert_eq!(texts(&networks), ["10.96.0.0/16"]);
    assert_eq!(
        told(&complaints),
        ["spec.cidrs: x", "spec.cidrs: 0.0.0.0/0"]
    );
}

#[test]
fn however_much_is_wrong_the_log_stays_readable() {
    let ports: Vec<_> = (0..10_000)
        .map(|number| json!({"name": format!("p{number}"), "port": 70_000 + number}))
        .collect();
    let base = json!({
        "metadata": {"name": "web"},
        "spec": {"clusterIP": "10.96.0.10", "ports": ports, "externalIPs": ["x".repeat(10_000)]},
    });
    let mut complaints = Complaints::default();

    let service = service::read(
        &object(base, json!({})),
        &mut Interner::default(),
        &mut complaints,
    );

    assert!(service.unwrap().ports.is_empty());
    assert_eq!(complaints.count(), 10_001);
    assert_eq!(complaints.told().len(), 8);
    assert!(complaints.told().iter().all(|told| told.value.len() < 100));
}

#[test]
fn a_service_with_many_ports_is_served_with_as_many_addresses_as_there_is_room() {
    let ports: Vec<_> = (1..=10_000)
        .map(|number| json!({"name": format!("p{number}"), "port": number}))
        .collect();
    let external: Vec<_> = (1..=100).map(|last| format!("192.0.2.{last}")).collect();

    let (service, told) = of_service(json!({"spec": {"ports": ports, "externalIPs": external}}));

    let service = service.unwrap();
    assert_eq!(service.ports.len(), 10_000);
    assert_eq!(service.load_balancer_vips.len(), 2);
    assert_eq!(texts(&service.external_ips), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(told, ["spec.externalIPs: 100 addresses"]);
}
