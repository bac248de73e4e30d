//! How slices become the endpoints of a port, and in which order these come out.

use netproxy_common::{Verdict, Window};

use super::{
    address_of, endpoint, ip, letter_of, letters, plan_one, service, service_port, slice,
    slice_port, this_node,
};
use crate::model::{Family, Protocol};
use crate::plan::{WantedPort, plan_service};

/// Where the endpoints of `port` listen, in the range's order: `"a:8080"`.
fn places(port: &WantedPort) -> Vec<String> {
    let place = |endpoint: &crate::plan::WantedEndpoint| {
        format!("{}:{}", letter_of(endpoint.address), endpoint.port)
    };
    port.range.endpoints.iter().map(place).collect()
}

#[test]
fn slices_are_joined_by_port_name_and_protocol() {
    let mut other_name = slice("other-name", vec![endpoint("b ready")]);
    other_name.ports = vec![slice_port("https", Protocol::Tcp, 8443)];
    let mut other_protocol = slice("other-protocol", vec![endpoint("c ready")]);
    other_protocol.ports = vec![slice_port("http", Protocol::Udp, 8080)];
    let matching = slice("matching", vec![endpoint("a ready")]);

    let port = plan_one(
        &service(),
        &[matching, other_name, other_protocol],
        &this_node(),
    );

    assert_eq!(places(&port), ["a:8080"]);
}

#[test]
fn the_empty_port_name_joins_like_any_other() {
    let mut service = service();
    service.ports = vec![service_port("", Protocol::Tcp, 80)];
    let mut unnamed = slice("unnamed", vec![endpoint("a ready")]);
    unnamed.ports = vec![slice_port("", Protocol::Tcp, 9000)];
    let named = slice("named", vec![endpoint("b ready")]);

    let port = plan_one(&service, &[unnamed, named], &this_node());

    assert_eq!(places(&port), ["a:9000"]);
}

#[test]
fn endpoints_of_one_port_may_listen_on_different_ports() {
    let mut newer = slice("newer", vec![endpoint("b ready")]);
    newer.ports = vec![slice_port("http", Protocol::Tcp, 9090)];
    let older = slice("older", vec![endpoint("a ready")]);

    let port = plan_one(&service(), &[newer, older], &this_node());

    assert_eq!(places(&port), ["a:8080", "b:9090"]);
}

#[test]
fn one_address_with_two_ports_is_two_endpoints() {
    let mut two = slice("two", vec![endpoint("a ready")]);
    two.ports.push(slice_port("http", Protocol::Tcp, 8081));

    let port = plan_one(&service(), &[two], &this_node());

    assert_eq!(places(&port), ["a:8080", "a:8081"]);
}

#[test]
fn a_later_entry_overrides_an_earlier_one() {
    let slices = [
        slice("s1", vec![endpoint("a ready")]),
        slice("s2", vec![endpoint("a ready local")]),
    ];

    let port = plan_one(&service(), &slices, &this_node());

    assert_eq!(places(&port), ["a:8080"]);
    assert!(port.range.endpoints[0].is_local, "the entry of s2 counts");
}

#[test]
fn a_later_terminating_entry_does_not_override() {
    let slices = [
        slice("s1", vec![endpoint("a ready")]),
        slice("s2", vec![endpoint("a serving terminating")]),
    ];

    let port = plan_one(&service(), &slices, &this_node());

    assert_eq!(
        port.range.segment_ends,
        [0, 0, 1, 1, 1, 1, 1],
        "a remains ready"
    );
}

#[test]
fn a_terminating_entry_is_overridden_by_a_later_running_one() {
    let slices = [
        slice("s1", vec![endpoint("a serving terminating")]),
        slice("s2", vec![endpoint("a terminating"), endpoint("a ready")]),
    ];

    let port = plan_one(&service(), &slices, &this_node());

    assert_eq!(port.range.segment_ends, [0, 0, 1, 1, 1, 1, 1], "a is ready");
}

#[test]
fn a_later_unready_entry_overrides_a_ready_one() {
    let slices = [
        slice("s1", vec![endpoint("a ready")]),
        slice("s2", vec![endpoint("a")]),
    ];

    let port = plan_one(&service(), &slices, &this_node());

    assert_eq!(places(&port), Vec::<String>::new());
    assert_eq!(port.range.verdicts, [Verdict::Reject; 3]);
}

#[test]
fn entries_are_ordered_by_slice_name_whatever_the_order_of_arrival() {
    let first = slice("s1", vec![endpoint("a ready"), endpoint("c ready")]);
    let second = slice("s2", vec![endpoint("a ready local"), endpoint("b ready")]);

    let forward = plan_one(&service(), &[first.clone(), second.clone()], &this_node());
    let backward = plan_one(&service(), &[second, first], &this_node());

    assert_eq!(forward, backward);
}

#[test]
fn slices_of_the_other_family_are_not_mixed_in() {
    let mut service = service();
    service.cluster_ips.push(ip("fd00::1"));
    let four = slice("four", vec![endpoint("a ready")]);
    let mut six = slice("six", vec![endpoint("a ready")]);
    six.family = Family::V6;
    six.endpoints[0].address = ip("fd00:1::a");

    let wanted = plan_service(&service, &[&four, &six], &this_node());

    let addresses: Vec<_> = wanted
        .iter()
        .map(|port| (port.key.family, port.range.endpoints[0].address))
        .collect();
    assert_eq!(
        addresses,
        [(Family::V4, address_of("a")), (Family::V6, ip("fd00:1::a"))]
    );
    assert!(wanted.iter().all(|port| port.range.endpoints.len() == 1));
}

#[test]
fn segments_follow_their_order_and_are_sorted_inside() {
    let endpoints = [
        "z ready local zone:b",
        "y ready local zone:a",
        "x ready zone:a",
        "w ready zone:b",
        "v serving terminating local",
        "u serving terminating",
        "t serving",
        "s ready local zone:b",
        "r serving local",
        "q terminating",
    ];

    let endpoints = endpoints.into_iter().map(endpoint).collect();
    let port = plan_one(&service(), &[slice("s", endpoints)], &this_node());

    let letters: Vec<_> = places(&port)
        .iter()
        .map(|place| place[..1].to_owned())
        .collect();
    assert_eq!(letters.concat(), "szyxwvurt");
    assert_eq!(port.range.segment_ends, [2, 3, 4, 5, 6, 7, 9]);
}

#[test]
fn an_endpoint_that_serves_without_being_ready_is_kept_but_never_chosen() {
    let port = plan_one(
        &service(),
        &[slice("s", vec![endpoint("a serving local")])],
        &this_node(),
    );

    assert_eq!(places(&port), ["a:8080"], "flows that use it may stay");
    assert_eq!(port.range.internal, Window::default());
    assert_eq!(port.range.verdicts, [Verdict::Reject; 3]);
}

#[test]
fn a_ready_endpoint_is_chosen_even_while_it_terminates() {
    // publishNotReadyAddresses makes such endpoints.
    let endpoints = vec![
        endpoint("a ready terminating"),
        endpoint("b serving terminating"),
    ];

    let port = plan_one(&service(), &[slice("s", endpoints)], &this_node());

    assert_eq!(letters(&port, port.range.internal), "a");
}

#[test]
fn no_endpoint_is_local_while_the_node_has_no_name() {
    let mut node = this_node();
    node.name = "".into();
    let mut nameless = endpoint("a ready");
    nameless.node = Some("".into());

    let port = plan_one(&service(), &[slice("s", vec![nameless])], &node);

    assert!(!port.range.endpoints[0].is_local);
}
