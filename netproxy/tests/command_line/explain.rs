//! Why endpoints are used or not, from manifests.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::Node;
use crate::objects::cart;

/// `shop/cart` as `objects::cart` has it.
const CART: &str = r#"
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: cart}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.9
  clusterIPs: [10.96.0.9, "fd00:96::9"]
  externalIPs: [203.0.113.1]
  externalTrafficPolicy: Local
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 10800}}
  ports:
  - {name: http, port: 80, nodePort: 30080, protocol: TCP}
  - {name: quic, port: 443, protocol: UDP}
status:
  loadBalancer: {ingress: [{ip: 198.51.100.1}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  namespace: shop
  name: cart-v4
  labels: {kubernetes.io/service-name: cart}
addressType: IPv4
ports:
- {name: http, port: 8080, protocol: TCP}
- {name: quic, port: 8443, protocol: UDP}
endpoints:
- {addresses: [10.1.0.2], nodeName: here, conditions: {ready: true, serving: true}}
- {addresses: [10.1.1.2], nodeName: there, conditions: {ready: true, serving: true}}
- {addresses: [10.1.1.3], nodeName: there, conditions: {ready: false, serving: true, terminating: true}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  namespace: shop
  name: cart-v6
  labels: {kubernetes.io/service-name: cart}
addressType: IPv6
ports:
- {name: http, port: 8080, protocol: TCP}
- {name: quic, port: 8443, protocol: UDP}
endpoints:
- {addresses: ["fd00:1::2"], nodeName: there, conditions: {ready: true, serving: true}}
"#;

struct Manifests(TempDir);

impl Manifests {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("cart.yaml"), CART).unwrap();
        Self(directory)
    }

    /// The command line that explains this service to a node called `here`.
    fn explain(&self, service: &str) -> String {
        let directory = self.0.path().display();
        format!("explain {service} --source manifests:{directory} --node-name here")
    }
}

#[test]
fn every_endpoint_has_a_reason_for_every_kind_of_client() {
    let node = Node::new();
    let manifests = Manifests::new();

    let table = node.prints(&manifests.explain("cart:http"));
    let rows = node.json(&manifests.explain("cart:http"));

    let has = |words: [&str; 4]| {
        let mut lines = table.lines();
        lines.any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(
        has([
            "10.1.0.2:8080",
            "here (this)",
            "internal, external, external-local",
            "yes"
        ]),
        "{table}"
    );
    assert!(
        has([
            "10.1.1.2:8080",
            "external-local",
            "no",
            "on another node, and the traffic policy is Local"
        ]),
        "{table}"
    );
    assert!(
        has([
            "10.1.1.3:8080",
            "internal, external",
            "no",
            "terminating, and others are ready"
        ]),
        "{table}"
    );
    let of = |address: &str, reason: &str| {
        let rows = rows.as_array().unwrap();
        let row = rows
            .iter()
            .find(|row| row["address"] == address && row["reason"] == reason);
        row.map_or(Value::Null, |row| row["clients"].clone())
    };
    assert_eq!(of("10.1.1.2", "elsewhere"), json!(["external-local"]));
    assert_eq!(of("10.1.1.2", "ready"), json!(["internal", "external"]));
    assert_eq!(of("fd00:1::2", "ready"), json!(["internal", "external"]));
}

#[test]
fn it_is_told_whether_the_kernel_holds_what_is_wanted() {
    let node = Node::new();
    let manifests = Manifests::new();
    let nothing = node.prints(&manifests.explain("cart"));
    let mut datapath = node.datapath();
    let unknown = node.prints(&manifests.explain("cart"));
    let (name, mut ports) = cart();
    datapath.apply(&[(name.clone(), ports.clone())]).unwrap();

    let same = node.prints(&manifests.explain("cart"));
    for port in &mut ports {
        port.range.endpoints[0].port += 1;
    }
    datapath.apply(&[(name, ports)]).unwrap();
    let other = node.prints(&manifests.explain("cart"));

    for (table, told) in [
        (nothing, "not in force: nothing is pinned on this node"),
        (
            unknown,
            "not in force: the kernel does not know the service",
        ),
        (same, "in force; chosen at random"),
        (other, "not in force: the kernel holds other endpoints"),
    ] {
        let lines = table.lines().filter(|line| line.trim().starts_with(told));
        assert_eq!(lines.count(), 4, "{table}");
    }
}

#[test]
fn what_cannot_be_explained_is_an_error_with_a_reason() {
    let node = Node::new();
    let manifests = Manifests::new();

    let missing = node.fails(&manifests.explain("shop/basket"));
    let nowhere = node.fails("explain cart --source manifests:/does/not/exist --node-name here");

    assert!(
        missing.contains("service shop/basket: there is none that netproxy serves"),
        "{missing}"
    );
    assert!(nowhere.contains("/does/not/exist"), "{nowhere}");
}
