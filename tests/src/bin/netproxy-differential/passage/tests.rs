use super::*;
use crate::case::{Endpoint, Kind, Policy, Protocol, Server, SlicePort};

fn port(name: &str) -> Port {
    Port {
        name: name.to_owned(),
        protocol: Protocol::Udp,
        number: 53,
        place: 0,
    }
}

fn slice(number: usize, port: &str, servers: &[Server]) -> Slice {
    let endpoint = |&server: &Server| Endpoint {
        server,
        ready: Some(true),
        serving: None,
        terminating: None,
        for_zones: Vec::new(),
        for_nodes: Vec::new(),
    };
    Slice {
        number,
        family: Family::V4,
        ports: vec![SlicePort {
            name: port.to_owned(),
            protocol: Protocol::Udp,
            number: Some(8080),
        }],
        endpoints: servers.iter().map(endpoint).collect(),
    }
}

fn service(port_name: &str, slices: Vec<Slice>) -> Service {
    Service {
        exists: true,
        has_other_proxy: false,
        families: vec![Family::V4],
        kind: Kind::ClusterIp,
        internal_policy: Policy::Cluster,
        external_policy: Policy::Cluster,
        has_affinity: false,
        has_external_ip: false,
        vip: None,
        source_ranges: Vec::new(),
        has_node_ports: true,
        ports: vec![port(port_name)],
        slices,
    }
}

fn shaken_by(before: &Service, now: &Service) -> Vec<Server> {
    let shaken = shaken(before, now, &now.ports[0], Family::V4);
    shaken.into_iter().map(|(server, _)| server).collect()
}

#[test]
fn a_renamed_port_shakes_all_its_endpoints() {
    let servers = [Server::A1, Server::B1];
    let before = service("dns", vec![slice(0, "dns", &servers)]);
    let now = service("dnsx", vec![slice(0, "dnsx", &servers)]);
    assert_eq!(shaken_by(&before, &now), servers);
}

#[test]
fn an_endpoint_that_moves_to_another_slice_is_shaken() {
    let [a1, b1] = [Server::A1, Server::B1];
    let before = service(
        "dns",
        vec![slice(0, "dns", &[a1, b1]), slice(1, "dns", &[])],
    );
    let now = service(
        "dns",
        vec![slice(0, "dns", &[b1]), slice(1, "dns", &[a1, b1])],
    );
    assert_eq!(shaken_by(&before, &now), [a1]);
}

#[test]
fn who_stays_comes_or_goes_is_not_shaken() {
    let [a1, b1, b2] = [Server::A1, Server::B1, Server::B2];
    let before = service("dns", vec![slice(0, "dns", &[a1, b1])]);
    let now = service("dns", vec![slice(0, "dns", &[a1, b2])]);
    assert_eq!(shaken_by(&before, &now), []);
}
