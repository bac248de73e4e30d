//! Health checks of load balancers.

use std::collections::BTreeMap;

use super::{endpoint, ip, service, service_port, slice, slice_port, this_node};
use crate::model::{Endpoint, EndpointSlice, Family, Protocol, Service};
use crate::plan::health_check;

/// `default/web` with a health check at port 32000.
fn checked_service() -> Service {
    Service {
        health_check_node_port: Some(32_000),
        ..service()
    }
}

/// How many endpoints the check of a service counts, by family.
fn count(service: &Service, slices: &[EndpointSlice]) -> BTreeMap<Family, usize> {
    let slices: Vec<_> = slices.iter().collect();
    let check = health_check(service, &slices, &this_node()).unwrap();
    assert_eq!(check.node_port, 32_000);
    check.local_endpoints
}

fn count_v4(endpoints: Vec<Endpoint>) -> usize {
    count(&checked_service(), &[slice("web-1", endpoints)])[&Family::V4]
}

#[test]
fn a_service_without_the_port_has_no_health_check() {
    let slice = slice("web-1", vec![endpoint("a ready local")]);

    let check = health_check(&service(), &[&slice], &this_node());

    assert_eq!(check, None);
}

#[test]
fn only_ready_endpoints_of_this_node_are_counted() {
    let counted = count_v4(vec![
        endpoint("a ready local"),
        endpoint("b ready local"),
        endpoint("c local"),
        endpoint("d serving local"),
        endpoint("e ready"),
        Endpoint {
            node: None,
            ..endpoint("f ready")
        },
    ]);

    assert_eq!(counted, 2);
}

#[test]
fn terminating_endpoints_are_not_counted_even_if_they_are_all_there_is() {
    let counted = count_v4(vec![
        endpoint("a serving terminating local"),
        endpoint("b terminating local"),
    ]);

    assert_eq!(counted, 0);
}

#[test]
fn what_publish_not_ready_addresses_calls_ready_is_counted() {
    let counted = count_v4(vec![endpoint("a ready terminating local")]);

    assert_eq!(counted, 1);
}

#[test]
fn an_address_counts_once_over_all_ports_and_slices() {
    let mut service = checked_service();
    service.ports.push(service_port("dns", Protocol::Udp, 53));
    let mut both = slice("web-1", vec![endpoint("a ready local")]);
    both.ports.push(slice_port("dns", Protocol::Udp, 5353));
    let again = slice(
        "web-2",
        vec![endpoint("a ready local"), endpoint("b ready local")],
    );

    let counted = count(&service, &[both, again]);

    assert_eq!(counted[&Family::V4], 2);
}

#[test]
fn an_endpoint_that_is_ready_on_one_port_only_counts() {
    let mut service = checked_service();
    service.ports.push(service_port("dns", Protocol::Udp, 53));
    let dns = EndpointSlice {
        ports: vec![slice_port("dns", Protocol::Udp, 5353)],
        ..slice("web-2", vec![endpoint("b ready local")])
    };

    let counted = count(&service, &[slice("web-1", vec![endpoint("a local")]), dns]);

    assert_eq!(counted[&Family::V4], 1);
}

#[test]
fn families_are_counted_apart_and_only_those_of_the_service() {
    let mut service = checked_service();
    let v6 = EndpointSlice {
        family: Family::V6,
        ..slice(
            "web-6",
            vec![Endpoint {
                address: ip("fd00::1"),
                ..endpoint("a ready local")
            }],
        )
    };
    let slices = [slice("web-4", Vec::new()), v6];

    let single = count(&service, &slices);
    service.cluster_ips.push(ip("fd10:96::1"));
    let dual = count(&service, &slices);

    assert_eq!(single, BTreeMap::from([(Family::V4, 0)]));
    assert_eq!(dual, BTreeMap::from([(Family::V4, 0), (Family::V6, 1)]));
}
