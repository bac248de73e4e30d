//! Services.

use serde_json::{Value, json};

use super::object;
use crate::model::convert::{Interner, service};
use crate::model::{Balancing, ObjectName, Protocol, Service, TrafficPolicy};

fn converted(patch: Value) -> Option<Service> {
    let base = json!({
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "10.96.0.10",
            "clusterIPs": ["10.96.0.10"],
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web"}],
        },
    });
    service(&object(base, patch), &mut Interner::default())
}

fn of_spec(spec: &Value) -> Service {
    converted(json!({ "spec": spec })).expect("the service is of concern")
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[test]
fn a_plain_service_has_kubernetes_defaults() {
    let service = of_spec(&json!({}));

    assert_eq!(service.name, ObjectName::new("shop", "web"));
    assert_eq!(texts(&service.cluster_ips), ["10.96.0.10"]);
    assert_eq!(service.ports.len(), 1);
    assert_eq!(&*service.ports[0].name, "http");
    assert_eq!(service.ports[0].protocol, Protocol::Tcp);
    assert_eq!(service.ports[0].port, 80);
    assert_eq!(service.ports[0].node_port, None);
    assert_eq!(service.internal_policy, TrafficPolicy::Cluster);
    assert_eq!(service.external_policy, TrafficPolicy::Cluster);
    assert_eq!(service.affinity_s, None);
    assert_eq!(service.health_check_node_port, None);
}

#[test]
fn services_of_no_concern_to_a_proxy_are_skipped() {
    for (why, patch) in [
        (
            "headless",
            json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}),
        ),
        (
            "no cluster IP yet",
            json!({"spec": {"clusterIP": "", "clusterIPs": null}}),
        ),
        (
            "no cluster IP",
            json!({"spec": {"clusterIP": null, "clusterIPs": null}}),
        ),
        (
            "ExternalName with a left-over",
            json!({"spec": {"type": "ExternalName"}}),
        ),
        ("no spec", json!({"spec": null})),
        (
            "unusable cluster IP",
            json!({"spec": {"clusterIPs": ["10.96.0"]}}),
        ),
        (
            "another proxy's",
            json!({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": "x"}}}),
        ),
        (
            "another proxy's, whatever the label says",
            json!({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": ""}}}),
        ),
    ] {
        assert_eq!(converted(patch), None, "{why}");
    }
}

#[test]
fn cluster_ips_are_the_first_of_each_family_else_the_single_one() {
    for (patch, expected) in [
        (
            json!({"clusterIPs": ["010.96.0.010", "fd00::1"]}),
            vec!["10.96.0.10", "fd00::1"],
        ),
        (
            json!({"clusterIPs": ["fd00::1", "10.96.0.10"]}),
            vec!["fd00::1", "10.96.0.10"],
        ),
        (
            json!({"clusterIPs": ["10.96.0.10", "10.96.0.11"]}),
            vec!["10.96.0.10"],
        ),
        (json!({"clusterIPs": null}), vec!["10.96.0.10"]),
        (json!({"clusterIPs": []}), vec!["10.96.0.10"]),
    ] {
        assert_eq!(texts(&of_spec(&patch).cluster_ips), expected, "{patch}");
    }
}

#[test]
fn only_ingress_addresses_that_arrive_unchanged_are_vips() {
    let ingress = json!([
        {"ip": "203.0.113.1"},
        {"ip": "203.0.113.2", "ipMode": "VIP"},
        {"ip": "203.0.113.3", "ipMode": "Proxy"},
        {"hostname": "lb.example.com"},
        {"ip": "203.000.113.004"},
        {"ip": "2001:db8::5"},
        {"ip": "nonsense"},
    ]);

    let service = converted(json!({"status": {"loadBalancer": {"ingress": ingress}}})).unwrap();

    assert_eq!(
        texts(&service.load_balancer_vips),
        ["203.0.113.1", "203.0.113.2", "203.0.113.4", "2001:db8::5"]
    );
}

#[test]
fn external_ips_and_source_ranges_may_have_leading_zeros() {
    let service = of_spec(&json!({
        "externalIPs": ["192.000.002.1", "2001:db8::1"],
        "loadBalancerSourceRanges": ["010.0.0.0/08", " 192.0.2.7/24 ", "2001:db8::/32", "x"],
    }));

    assert_eq!(texts(&service.external_ips), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(
        texts(&service.source_ranges),
        ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]
    );
}

#[test]
fn ports_without_a_number_or_of_unknown_protocols_are_left_out() {
    let service = of_spec(&json!({"ports": [
        {"name": "a", "protocol": "UDP", "port": 53, "nodePort": 30053},
        {"name": "b", "protocol": "SCTP", "port": 9, "nodePort": 0},
        {"port": 81},
        {"name": "c", "protocol": "DCCP", "port": 1},
        {"name": "d", "port": 0},
        {"name": "e", "port": 65536},
        {"name": "f", "port": -1},
    ]}));

    let ports = service.ports.iter();
    let ports: Vec<_> = ports
        .map(|port| (&*port.name, port.protocol, port.port, port.node_port))
        .collect();
    assert_eq!(
        ports,
        [
            ("a", Protocol::Udp, 53, Some(30053)),
            ("b", Protocol::Sctp, 9, None),
            ("", Protocol::Tcp, 81, None),
        ]
    );
}

#[test]
fn external_policy_is_consulted_only_where_kubernetes_consults_it() {
    use TrafficPolicy::{Cluster, Local};
    for (kind, external_ips, expected) in [
        ("LoadBalancer", json!([]), Local),
        ("NodePort", json!([]), Local),
        ("ClusterIP", json!(["192.0.2.1"]), Local),
        ("ClusterIP", json!([]), Cluster),
        ("Unheard-of", json!(["192.0.2.1"]), Cluster),
    ] {
        let service = of_spec(&json!({
            "type": kind,
            "externalIPs": external_ips,
            "externalTrafficPolicy": "Local",
            "internalTrafficPolicy": "Local",
        }));

        assert_eq!(service.external_policy, expected, "{kind} {external_ips}");
        assert_eq!(service.internal_policy, Local);
    }
}

#[test]
fn the_health_check_port_is_for_load_balancers_with_local_policy() {
    for (kind, policy, port, expected) in [
        ("LoadBalancer", "Local", 32000, Some(32000)),
        ("LoadBalancer", "Local", 0, None),
        ("LoadBalancer", "Cluster", 32000, None),
        ("NodePort", "Local", 32000, None),
    ] {
        let service = of_spec(&json!({
            "type": kind,
            "externalTrafficPolicy": policy,
            "healthCheckNodePort": port,
        }));

        assert_eq!(
            service.health_check_node_port, expected,
            "{kind} {policy} {port}"
        );
    }
}

#[test]
fn affinity_lasts_three_hours_unless_the_service_says_otherwise() {
    for (affinity, timeout, expected) in [
        ("ClientIP", json!(null), Some(10_800)),
        ("ClientIP", json!(30), Some(30)),
        ("ClientIP", json!(86_400), Some(86_400)),
        ("ClientIP", json!(86_401), Some(86_400)),
        ("ClientIP", json!(0), Some(10_800)),
        ("ClientIP", json!(-5), Some(10_800)),
        ("None", json!(30), None),
    ] {
        let service = of_spec(&json!({
            "sessionAffinity": affinity,
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": timeout}},
        }));

        assert_eq!(service.affinity_s, expected, "{affinity} {timeout}");
    }
}

#[test]
fn a_service_without_a_namespace_is_in_default() {
    let service = converted(json!({"metadata": {"namespace": null}})).unwrap();

    assert_eq!(service.name, ObjectName::new("default", "web"));
}

#[test]
fn an_annotation_says_how_endpoints_are_chosen() {
    for (annotations, expected) in [
        (json!(null), None),
        (
            json!({"netproxy.dev/balancing": "random"}),
            Some(Balancing::Random),
        ),
        (
            json!({"netproxy.dev/balancing": "consistent"}),
            Some(Balancing::Consistent),
        ),
        (json!({"netproxy.dev/balancing": "Maglev"}), None),
        (json!({"netproxy.dev/balancing": ""}), None),
    ] {
        let service = converted(json!({"metadata": {"annotations": annotations}})).unwrap();

        assert_eq!(service.balancing, expected, "{annotations}");
    }
}
