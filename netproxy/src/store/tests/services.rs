//! Services that come, change their type and go: where they are served afterwards.

use serde_json::{Value, json};

use super::name;
use crate::model::Change;
use crate::model::convert::{self, Interner};
use crate::store::Store;

/// The store is told of the Service `web` as a source would tell it.
fn tell(store: &mut Store, spec: &Value, status: &Value) {
    let object = json!({"metadata": {"name": "web"}, "spec": spec, "status": status});
    let object = serde_json::from_value(object).unwrap();
    let model = convert::service(&object, &mut Interner::default());
    store.apply(Change::Service(name("web"), model.map(Box::new)));
}

/// Its frontends, `*` for the node's addresses.
fn frontends(store: &Store) -> Vec<String> {
    let ports = store.plan(&name("web"));
    let frontends = ports.iter().flat_map(|port| &port.frontends);
    frontends
        .map(|frontend| match frontend.address {
            Some(address) => format!("{address} {}", frontend.port),
            None => format!("* {}", frontend.port),
        })
        .collect()
}

#[test]
fn a_service_is_served_as_its_type_and_status_say_at_each_step() {
    let cluster_ip = json!({"type": "ClusterIP", "clusterIP": "10.96.0.1",
        "ports": [{"port": 80}]});
    let node_port = json!({"type": "NodePort", "clusterIP": "10.96.0.1",
        "ports": [{"port": 80, "nodePort": 30080}]});
    let balanced = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.1",
        "ports": [{"port": 80, "nodePort": 30080}]});
    let without_node_ports = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.1",
        "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}]});
    let headless = json!({"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 80}]});
    let external_name = json!({"type": "ExternalName", "externalName": "example.com",
        "clusterIP": "10.96.0.1", "ports": [{"port": 80}]});
    let ingress = |ingress: Value| json!({"loadBalancer": {"ingress": ingress}});
    let vip = ingress(json!([{"ip": "203.0.113.1"}]));
    let mut store = Store::new();

    for (step, spec, status, expected) in [
        ("new", &cluster_ip, json!({}), &["10.96.0.1 80"][..]),
        (
            "with a NodePort",
            &node_port,
            json!({}),
            &["* 30080", "10.96.0.1 80"],
        ),
        (
            "balanced, but not yet",
            &balanced,
            json!({}),
            &["* 30080", "10.96.0.1 80"],
        ),
        (
            "balanced",
            &balanced,
            vip.clone(),
            &["* 30080", "10.96.0.1 80", "203.0.113.1 80"],
        ),
        (
            "balanced by a proxy",
            &balanced,
            ingress(json!([{"ip": "203.0.113.1", "ipMode": "Proxy"}])),
            &["* 30080", "10.96.0.1 80"],
        ),
        (
            "balanced under a name",
            &balanced,
            ingress(json!([{"hostname": "lb.example.com"}])),
            &["* 30080", "10.96.0.1 80"],
        ),
        (
            "without NodePorts",
            &without_node_ports,
            vip.clone(),
            &["10.96.0.1 80", "203.0.113.1 80"],
        ),
        ("headless", &headless, json!({}), &[]),
        ("again", &cluster_ip, json!({}), &["10.96.0.1 80"]),
        (
            "a name with a left-over cluster IP",
            &external_name,
            vip,
            &[],
        ),
    ] {
        tell(&mut store, spec, &status);

        assert_eq!(frontends(&store), expected, "{step}");
    }
    store.take_dirty();
    store.apply(Change::Service(name("web"), None));
    assert_eq!(store.take_dirty(), [], "it was of no concern before");
}

#[test]
fn leading_zeros_are_read_as_decimal_everywhere() {
    let spec = json!({
        "type": "LoadBalancer",
        "clusterIP": "010.096.000.001",
        "clusterIPs": ["010.096.000.001"],
        "externalIPs": ["192.000.002.001"],
        "loadBalancerSourceRanges": ["198.051.100.000/024"],
        "ports": [{"port": 80}],
    });
    let status = json!({"loadBalancer": {"ingress": [{"ip": "203.000.113.001"}]}});
    let slice = json!({
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080}],
        "endpoints": [{"addresses": ["010.001.002.003"]}],
    });
    let slice = serde_json::from_value(slice).unwrap();
    let slice = convert::endpoint_slice(&slice, &mut Interner::default()).unwrap();
    let mut store = Store::new();

    tell(&mut store, &spec, &status);
    store.apply(Change::Slice(slice.name.clone(), Some(Box::new(slice))));

    assert_eq!(
        frontends(&store),
        ["10.96.0.1 80", "192.0.2.1 80", "203.0.113.1 80"]
    );
    let range = store.plan(&name("web"))[0].range.clone();
    assert_eq!(range.source_ranges[0].to_string(), "198.51.100.0/24");
    assert_eq!(range.endpoints[0].address.to_string(), "10.1.2.3");
}
