//! Tests of the plan. This file holds what they share: small objects to start from, and a way to
//! read a window as endpoint names.

mod balancing;
mod categorise;
mod explain;
mod external;
mod health;
mod maglev;
mod merge;
mod node_ports;
mod ports;
mod reference;
mod socket_clients;
mod terminating;

use std::net::{IpAddr, Ipv4Addr};

use netproxy_common::Window;

use super::{NodeView, WantedPort, plan_service};
use crate::model::{
    Endpoint, EndpointSlice, Family, Hints, ObjectName, Protocol, Service, ServicePort, SlicePort,
    TrafficPolicy,
};

/// The node that all tests plan for, in zone `a`.
fn this_node() -> NodeView {
    NodeView {
        zone: Some("a".into()),
        ..NodeView::named("this")
    }
}

/// A service `default/web` at 10.96.0.1 with one TCP port, `http` 80.
fn service() -> Service {
    Service {
        name: ObjectName::new("default", "web"),
        cluster_ips: vec![ip("10.96.0.1")],
        external_ips: Vec::new(),
        load_balancer_vips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![service_port("http", Protocol::Tcp, 80)],
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        affinity_s: None,
        balancing: None,
        health_check_node_port: None,
    }
}

fn service_port(name: &str, protocol: Protocol, port: u16) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol,
        port,
        node_port: None,
    }
}

/// An IPv4 slice of `default/web` with the TCP port `http` 8080.
fn slice(name: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
    EndpointSlice {
        name: ObjectName::new("default", name),
        service: ObjectName::new("default", "web"),
        family: Family::V4,
        ports: vec![slice_port("http", Protocol::Tcp, 8080)],
        endpoints,
        triggered_unix_ns: None,
    }
}

fn slice_port(name: &str, protocol: Protocol, port: u16) -> SlicePort {
    SlicePort {
        name: name.into(),
        protocol,
        port,
    }
}

/// The endpoint that `words` describe: its letter, then `ready` (which implies serving),
/// `serving`, `terminating`, `local`, `zone:…` and `node:…` (hints).
fn endpoint(words: &str) -> Endpoint {
    let (letter, words) = words.split_once(' ').unwrap_or((words, ""));
    let mut endpoint = Endpoint {
        address: address_of(letter),
        node: Some("other".into()),
        ready: false,
        serving: false,
        terminating: false,
        hints: None,
    };
    for word in words.split_whitespace() {
        match word.split_once(':') {
            None if word == "ready" => (endpoint.ready, endpoint.serving) = (true, true),
            None if word == "serving" => endpoint.serving = true,
            None if word == "terminating" => endpoint.terminating = true,
            None if word == "local" => endpoint.node = Some("this".into()),
            Some(("zone", zone)) => hints(&mut endpoint).zones.push(zone.into()),
            Some(("node", node)) => hints(&mut endpoint).nodes.push(node.into()),
            _ => panic!("unknown word {word:?}"),
        }
    }
    endpoint
}

fn hints(endpoint: &mut Endpoint) -> &mut Hints {
    endpoint.hints.get_or_insert_default()
}

/// The endpoint named by one letter has the address 10.1.0.LETTER.
fn address_of(letter: &str) -> IpAddr {
    let [letter] = letter.as_bytes() else {
        panic!("{letter:?} is not one letter")
    };
    IpAddr::V4(Ipv4Addr::new(10, 1, 0, *letter))
}

fn letter_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => char::from(address.octets()[3]).to_string(),
        IpAddr::V6(_) => panic!("{address} has no letter"),
    }
}

/// The letters of the endpoints in `window`, in alphabetical order: `"a b"`.
fn letters(port: &WantedPort, window: Window) -> String {
    let from = window.offset as usize;
    let mut letters: Vec<_> = port.range.endpoints[from..from + window.count as usize]
        .iter()
        .map(|endpoint| letter_of(endpoint.address))
        .collect();
    letters.sort_unstable();
    letters.join(" ")
}

/// The plan of a service that has a single port in a single family.
fn plan_one(service: &Service, slices: &[EndpointSlice], node: &NodeView) -> WantedPort {
    let slices: Vec<_> = slices.iter().collect();
    let mut wanted = plan_service(service, &slices, node);
    assert_eq!(wanted.len(), 1, "one port in one family: {wanted:?}");
    wanted.remove(0)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
