//! Which ports and frontends a service has, and what else its range carries.

use netproxy_common::FrontendKind;

use super::{endpoint, ip, letters, plan_one, service, service_port, slice, this_node};
use crate::model::{Protocol, Service, TrafficPolicy};
use crate::plan::{WantedPort, plan_service};

/// Key and frontends of every wanted port, as text.
fn summary(service: &Service) -> Vec<(String, Vec<String>)> {
    let summarise = |port: WantedPort| {
        let frontends = port.frontends.iter().map(|frontend| {
            let address = frontend
                .address
                .map_or("*".to_owned(), |address| address.to_string());
            format!("{address} {} {:?}", frontend.port, frontend.kind)
        });
        (port.key.to_string(), frontends.collect())
    };
    plan_service(service, &[], &this_node())
        .into_iter()
        .map(summarise)
        .collect()
}

fn owned(frontends: &[&str]) -> Vec<String> {
    frontends.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn each_family_with_a_cluster_ip_has_its_own_ports() {
    let mut service = service();
    service.cluster_ips = vec![ip("fd00::1"), ip("10.96.0.1")];
    service.external_ips = vec![ip("192.0.2.1"), ip("2001:db8::1")];
    service.load_balancer_vips = vec![ip("2001:db8::2")];
    service.ports[0].node_port = Some(30080);

    let summary = summary(&service);

    let expected = [
        (
            "default/web:http (TCP, IPv4)".to_owned(),
            owned(&[
                "* 30080 NodePort",
                "10.96.0.1 80 ClusterIp",
                "192.0.2.1 80 ExternalIp",
            ]),
        ),
        (
            "default/web:http (TCP, IPv6)".to_owned(),
            owned(&[
                "* 30080 NodePort",
                "2001:db8::1 80 ExternalIp",
                "2001:db8::2 80 LoadBalancer",
                "fd00::1 80 ClusterIp",
            ]),
        ),
    ];
    assert_eq!(summary, expected);
}

#[test]
fn a_family_without_a_cluster_ip_is_absent() {
    let mut service = service();
    service.external_ips = vec![ip("2001:db8::1")];

    let summary = summary(&service);

    let expected = [(
        "default/web:http (TCP, IPv4)".to_owned(),
        owned(&["10.96.0.1 80 ClusterIp"]),
    )];
    assert_eq!(summary, expected);
}

#[test]
fn one_port_number_with_three_protocols_is_three_ports() {
    let mut service = service();
    service.ports = vec![
        service_port("t", Protocol::Tcp, 53),
        service_port("u", Protocol::Udp, 53),
        service_port("s", Protocol::Sctp, 53),
    ];

    let keys: Vec<_> = summary(&service).into_iter().map(|(key, _)| key).collect();

    assert_eq!(
        keys,
        [
            "default/web:t (TCP, IPv4)",
            "default/web:u (UDP, IPv4)",
            "default/web:s (SCTP, IPv4)"
        ]
    );
}

#[test]
fn of_two_ports_with_one_name_and_protocol_the_later_counts() {
    let mut service = service();
    service.ports.push(service_port("http", Protocol::Tcp, 81));

    let port = plan_one(&service, &[], &this_node());

    assert_eq!(port.frontends[0].port, 81);
}

#[test]
fn a_vip_that_is_also_an_external_ip_stays_a_vip() {
    let mut service = service();
    service.load_balancer_vips = vec![ip("192.0.2.1"), ip("192.0.2.1")];
    service.external_ips = vec![ip("192.0.2.1"), ip("192.0.2.2")];

    let port = plan_one(&service, &[], &this_node());

    let kinds: Vec<_> = port
        .frontends
        .iter()
        .map(|frontend| (frontend.address, frontend.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            (Some(ip("10.96.0.1")), FrontendKind::ClusterIp),
            (Some(ip("192.0.2.1")), FrontendKind::LoadBalancer),
            (Some(ip("192.0.2.2")), FrontendKind::ExternalIp),
        ]
    );
}

#[test]
fn an_external_ip_of_the_other_family_does_not_make_a_port_external() {
    let mut service = service();
    service.external_policy = TrafficPolicy::Local;
    service.external_ips = vec![ip("2001:db8::1")];

    let port = plan_one(
        &service,
        &[slice("s", vec![endpoint("a ready local")])],
        &this_node(),
    );

    assert!(!port.range.is_external_local);
    assert_eq!(port.range.external_local.count, 0);
}

#[test]
fn every_external_kind_makes_the_external_policy_count() {
    let external: [fn(&mut Service); 3] = [
        |service| service.ports[0].node_port = Some(30080),
        |service| service.load_balancer_vips = vec![ip("192.0.2.1")],
        |service| service.external_ips = vec![ip("192.0.2.1")],
    ];
    for make_external in external {
        let mut service = service();
        service.external_policy = TrafficPolicy::Local;
        make_external(&mut service);
        let endpoints = vec![endpoint("a ready"), endpoint("b ready local")];

        let port = plan_one(&service, &[slice("s", endpoints)], &this_node());

        assert!(port.range.is_external_local, "{:?}", port.frontends);
        assert_eq!(letters(&port, port.range.external_local), "b");
        assert_eq!(letters(&port, port.range.external_cluster), "a b");
    }
}
