//! Services as the plan wants them.

use std::net::IpAddr;

use netproxy::model::{
    Endpoint, EndpointSlice, Family, ObjectName, Protocol, Service, ServicePort, SlicePort,
    TrafficPolicy,
};
use netproxy::plan::{NodeView, WantedPort, plan_service};

/// `shop/cart`: dual stack, two ports, external policy Local, one local and two remote endpoints
/// of which one terminates.
pub(crate) fn cart() -> (ObjectName, Vec<WantedPort>) {
    let name = ObjectName::new("shop", "cart");
    let service = Service {
        name: name.clone(),
        cluster_ips: vec![ip("10.96.0.9"), ip("fd00:96::9")],
        external_ips: vec![ip("203.0.113.1")],
        load_balancer_vips: vec![ip("198.51.100.1")],
        source_ranges: Vec::new(),
        ports: vec![
            port("http", Protocol::Tcp, 80, Some(30080)),
            port("quic", Protocol::Udp, 443, None),
        ],
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Local,
        affinity_s: Some(10_800),
        balancing: None,
        health_check_node_port: None,
    };
    let slices = [
        slice(
            &name,
            Family::V4,
            vec![
                endpoint("10.1.0.2", "here", true),
                endpoint("10.1.1.2", "there", true),
                endpoint("10.1.1.3", "there", false),
            ],
        ),
        slice(
            &name,
            Family::V6,
            vec![endpoint("fd00:1::2", "there", true)],
        ),
    ];
    let slices: Vec<_> = slices.iter().collect();
    let wanted = plan_service(&service, &slices, &this_node());
    (name, wanted)
}

/// `shop/basket`: one unnamed port, no endpoint.
pub(crate) fn basket() -> (ObjectName, Vec<WantedPort>) {
    let name = ObjectName::new("shop", "basket");
    let service = Service {
        name: name.clone(),
        cluster_ips: vec![ip("10.96.0.10")],
        external_ips: Vec::new(),
        load_balancer_vips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![port("", Protocol::Sctp, 7, None)],
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        affinity_s: None,
        balancing: None,
        health_check_node_port: None,
    };
    let wanted = plan_service(&service, &[], &this_node());
    (name, wanted)
}

fn this_node() -> NodeView {
    NodeView::named("here")
}

fn port(name: &str, protocol: Protocol, port: u16, node_port: Option<u16>) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol,
        port,
        node_port,
    }
}

fn slice(service: &ObjectName, family: Family, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let port = |name: &str, protocol, port| SlicePort {
        name: name.into(),
        protocol,
        port,
    };
    EndpointSlice {
        name: ObjectName::new("shop", format!("cart-{family}")),
        service: service.clone(),
        family,
        ports: vec![
            port("http", Protocol::Tcp, 8080),
            port("quic", Protocol::Udp, 8443),
        ],
        endpoints,
        triggered_unix_ns: None,
    }
}

fn endpoint(address: &str, node: &str, ready: bool) -> Endpoint {
    Endpoint {
        address: ip(address),
        node: Some(node.into()),
        ready,
        serving: true,
        terminating: !ready,
        hints: None,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
