//! Whatever an object holds, converting it neither panics nor breaks what the model promises.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::model::Family;
use crate::model::convert::{Interner, endpoint_slice, node, service};

/// Text that looks like what the fields hold, and text that does not.
fn text() -> impl Strategy<Value = Value> {
    let plausible = prop::sample::select(vec![
        "",
        "None",
        "10.0.0.1",
        "010.00.0.1",
        "fd00::1",
        "::",
        ":",
        "::ffff:1.2.3.4",
        "1.2.3",
        "10.0.0.0/8",
        "/",
        "::/129",
        "ClientIP",
        "Local",
        "Cluster",
        "LoadBalancer",
        "NodePort",
        "ClusterIP",
        "ExternalName",
        "VIP",
        "Proxy",
        "TCP",
        "SCTP",
        "IPv4",
        "IPv6",
        "FQDN",
        "InternalIP",
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
    ]);
    prop_oneof![
        4 => plausible.prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![any::<i32>(), -2..70_000].prop_map(Value::from)
}

/// An object of some of `fields`.
fn some_of(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields = fields.into_iter().map(|(key, value)| {
        prop::option::of(value).prop_map(move |value| value.map(|value| (key.to_owned(), value)))
    });
    let fields = fields.collect::<Vec<_>>();
    fields
        .prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>()))
        .boxed()
}

fn list(item: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop::collection::vec(item, 0..4)
        .prop_map(Value::from)
        .boxed()
}

fn metadata() -> BoxedStrategy<Value> {
    let labels = [
        "kubernetes.io/service-name",
        "service.kubernetes.io/headless",
        "service.kubernetes.io/service-proxy-name",
        "topology.kubernetes.io/zone",
    ];
    let labels = labels.map(|key| (key, text().boxed())).to_vec();
    let trigger = "endpoints.kubernetes.io/last-change-trigger-time";
    some_of(vec![
        ("name", text().boxed()),
        ("namespace", text().boxed()),
        ("labels", some_of(labels)),
        (
            "annotations",
            some_of(vec![
                (trigger, text().boxed()),
                ("netproxy.dev/balancing", text().boxed()),
            ]),
        ),
    ])
}

fn port() -> BoxedStrategy<Value> {
    some_of(vec![
        ("name", text().boxed()),
        ("protocol", text().boxed()),
        ("port", number().boxed()),
        ("nodePort", number().boxed()),
    ])
}

fn service_object() -> BoxedStrategy<Value> {
    let client_ip = some_of(vec![("timeoutSeconds", number().boxed())]);
    let ingress = some_of(vec![("ip", text().boxed()), ("ipMode", text().boxed())]);
    some_of(vec![
        ("metadata", metadata()),
        (
            "spec",
            some_of(vec![
                ("type", text().boxed()),
                ("clusterIP", text().boxed()),
                ("clusterIPs", list(text())),
                ("externalIPs", list(text())),
                ("loadBalancerSourceRanges", list(text())),
                ("ports", list(port())),
                ("internalTrafficPolicy", text().boxed()),
                ("externalTrafficPolicy", text().boxed()),
                ("sessionAffinity", text().boxed()),
                (
                    "sessionAffinityConfig",
                    some_of(vec![("clientIP", client_ip)]),
                ),
                ("healthCheckNodePort", number().boxed()),
            ]),
        ),
        (
            "status",
            some_of(vec![(
                "loadBalancer",
                some_of(vec![("ingress", list(ingress))]),
            )]),
        ),
    ])
}

fn slice_object() -> BoxedStrategy<Value> {
    let flag = || any::<bool>().prop_map(Value::from).boxed();
    let names = || list(text().prop_map(|name| json!({ "name": name })));
    let endpoint = some_of(vec![
        ("addresses", list(text())),
        ("nodeName", text().boxed()),
        (
            "conditions",
            some_of(vec![
                ("ready", flag()),
                ("serving", flag()),
                ("terminating", flag()),
            ]),
        ),
        (
            "hints",
            some_of(vec![("forNodes", names()), ("forZones", names())]),
        ),
    ]);
    some_of(vec![
        ("metadata", metadata()),
        ("addressType", text().boxed()),
        ("ports", list(port())),
        ("endpoints", list(endpoint)),
    ])
}

fn node_object() -> BoxedStrategy<Value> {
    let address = some_of(vec![("type", text().boxed()), ("address", text().boxed())]);
    some_of(vec![
        ("metadata", metadata()),
        (
            "spec",
            some_of(vec![
                ("podCIDR", text().boxed()),
                ("podCIDRs", list(text())),
            ]),
        ),
        ("status", some_of(vec![("addresses", list(address))])),
    ])
}

fn parsed<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("the strategy makes well-typed objects")
}

proptest! {
    #[test]
    fn services(value in service_object()) {
        if let Some(service) = service(&parsed::<core::Service>(&value), &mut Interner::default()) {
            prop_assert!(!service.cluster_ips.is_empty());
            prop_assert!(service.ports.iter().all(|port| port.port != 0));
            prop_assert!(service.affinity_s.is_none_or(|s| (1..=86_400).contains(&s)));
            prop_assert!(service.source_ranges.iter().all(|range| range.trunc() == *range));
        }
    }

    #[test]
    fn slices(value in slice_object()) {
        let object = parsed::<discovery::EndpointSlice>(&value);
        if let Some(slice) = endpoint_slice(&object, &mut Interner::default()) {
            prop_assert!(slice.ports.iter().all(|port| port.port != 0));
            let families = slice.endpoints.iter().map(|endpoint| Family::of(&endpoint.address));
            prop_assert!(families.into_iter().all(|family| family == slice.family));
        }
    }

    #[test]
    fn nodes(value in node_object()) {
        if let Some(node) = node(&parsed::<core::Node>(&value), &mut Interner::default()) {
            prop_assert!(!node.name.is_empty());
        }
    }
}
