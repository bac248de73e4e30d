//! Objects that no API server would admit, in a directory beside good ones.

use anyhow::{Result, ensure};
use netproxy_lab::{Cni, Place, objects, wait_until};
use serde_json::json;

use crate::{
    cluster::LONGEST,
    shape::two_nodes,
    shop::{Offer, Shop},
};

/// A bad object, and what the line about it must hold.
const BAD: &[(&str, &[&str])] = &[
    (
        "metadata: {namespace: bad, name: ports}
spec:
  clusterIP: 10.96.7.1
  ports: [{name: a, port: 0}, {name: b, port: 70000}, {name: c, port: -1},
    {name: d, port: 80, nodePort: 99999}, {name: d, port: 81}, {name: e, port: 1, protocol: ICMP},
    {name: 'f/g', port: 2}]
",
        &[
            "Service bad/ports",
            "spec.ports[].port",
            "70000",
            "spec.ports[].nodePort",
            "spec.ports[].name",
            "spec.ports[].protocol",
        ],
    ),
    (
        "metadata: {namespace: bad, name: addresses}
spec:
  clusterIP: 10.96.7.2
  externalIPs: [0.0.0.0, 127.0.0.1, 224.0.0.1, 10.0.0.300, nonsense, '::']
  ports: [{port: 80}]
",
        &[
            "Service bad/addresses",
            "spec.externalIPs",
            "nonsense",
            "0.0.0.0",
        ],
    ),
    (
        "metadata: {namespace: bad, name: cluster-ip}
spec: {clusterIP: 10.96.7, ports: [{port: 80}]}
",
        &["Service bad/cluster-ip", "spec.clusterIP"],
    ),
    (
        "metadata: {namespace: bad, name: unspecified}
spec: {clusterIP: 0.0.0.0, ports: [{port: 80, nodePort: 30001}]}
",
        &["Service bad/unspecified", "spec.clusterIP", "0.0.0.0"],
    ),
    (
        "metadata: {namespace: bad, name: ranges}
spec:
  type: LoadBalancer
  clusterIP: 10.96.7.3
  loadBalancerSourceRanges: [10.0.0.0/33, 10.0.0.1]
  ports: [{port: 80}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.1}]}}
",
        &[
            "Service bad/ranges",
            "spec.loadBalancerSourceRanges",
            "10.0.0.0/33",
            "are not served",
        ],
    ),
    (
        "metadata: {namespace: bad, name: affinity}
spec:
  clusterIP: 10.96.7.4
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: -7}}
  internalTrafficPolicy: Sometimes
  ports: [{port: 80}]
",
        &[
            "Service bad/affinity",
            "timeoutSeconds",
            "spec.internalTrafficPolicy",
            "Sometimes",
        ],
    ),
];

/// Slices of the good Service that would harm it.
const BAD_SLICE: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: bad, labels: {kubernetes.io/service-name: near}}
addressType: IPv4
ports: [{name: http, port: 70000}, {name: dns, port: 5353, protocol: ICMP}, {name: http, port: 8080}]
endpoints:
- {addresses: ['fd00::1']}
- {addresses: [127.0.0.1]}
- {addresses: [10.244.0]}
";

#[test]
fn bad_objects_are_named_and_harm_no_good_one() -> Result<()> {
    let shop = Shop::open(two_nodes("bad", Cni::Bridge, Cni::Bridge))?;
    let cluster = &shop.cluster;
    cluster.hold(|| {
        let directory = cluster.objects.directory();
        for (number, (object, _)) in BAD.iter().enumerate() {
            let text = format!("apiVersion: v1\nkind: Service\n{object}");
            objects::replace(&directory.join(format!("bad-{number}.yaml")), &text)?;
        }
        objects::replace(&directory.join("bad-slice.yaml"), BAD_SLICE)?;
        objects::replace(&directory.join("bad-many.json"), &many_ports())?;

        let slice = [
            "EndpointSlice shop/bad",
            "ports[].port",
            "endpoints[].addresses[0]",
        ];
        for node in cluster.lab.nodes() {
            let agent = cluster.agent(node.name())?;
            for parts in BAD.iter().map(|(_, parts)| *parts).chain([&slice[..]]) {
                wait_until(&format!("{parts:?} are named"), LONGEST, || {
                    Ok(are_named(&agent.log(), parts))
                })?;
            }
            wait_until("the Service with many ports is served", LONGEST, || {
                Ok(node.netproxy(&["services", "bad/many:p9999"]).is_ok())
            })?;
        }
        shop.is_open()?;

        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        let moved = Offer::new("near", 1)?.endpoint(&cluster.lab.pod("web-b")?);
        cluster.put(&moved.service)?;
        for door in moved.at_cluster_ips() {
            door.is_answered_by(&shell, &moved.endpoints, 3)?;
        }
        for door in moved.at_node(&node) {
            door.is_answered_by(&outside, &moved.endpoints, 3)?;
        }
        for node in cluster.lab.nodes() {
            let agent = cluster.agent(node.name())?;
            ensure!(agent.is_running(), "the agent of {} has ended", node.name());
            ensure!(!agent.log().contains("panicked"), "{}", agent.log());
        }
        Ok(())
    })
}

/// Whether errors about the first part, the object, hold all the others.
fn are_named(log: &str, parts: &[&str]) -> bool {
    let [object, rest @ ..] = parts else {
        return false;
    };
    let errors: Vec<_> = log
        .lines()
        .filter(|line| line.contains("ERROR") && line.contains(object))
        .collect();
    let is_named = |part: &&str| errors.iter().any(|line| line.contains(part));
    rest.iter().all(is_named)
}

/// A Service of ten thousand ports, and a slice for it.
fn many_ports() -> String {
    let ports = |of: fn(u32) -> u32| -> Vec<_> {
        let port = |number| json!({"name": format!("p{number}"), "port": of(number)});
        (0..10_000).map(port).collect()
    };
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": "bad", "name": "many"},
            "spec": {"clusterIP": "10.96.8.1", "ports": ports(|number| 1 + number)},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"namespace": "bad", "name": "many-1",
                "labels": {"kubernetes.io/service-name": "many"}},
            "addressType": "IPv4",
            "ports": ports(|number| 20_000 + number),
            "endpoints": [{"addresses": ["10.244.0.77"]}],
        },
    ]})
    .to_string()
}
