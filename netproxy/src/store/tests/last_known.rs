//! The endpoints of `default/kubernetes` outlive what the API server says of them.

use super::{ip, name, planned, service, set_service, set_slice, settled, slice};
use crate::model::{Change, EndpointSlice, Family};
use crate::store::Store;
use crate::store::last_known::{Kept, Turn};

/// A store with the service `kubernetes`, slice `kubernetes`, at 192.0.2.1; nothing dirty.
fn with_api_server() -> Store {
    let mut store = Store::new();
    set_service(&mut store, service("kubernetes"));
    set_slice(
        &mut store,
        slice("kubernetes", "kubernetes", &["192.0.2.1"]),
    );
    store.take_dirty();
    store
}

#[test]
fn they_are_kept_when_the_slice_becomes_empty() {
    let mut store = with_api_server();

    set_slice(&mut store, slice("kubernetes", "kubernetes", &[]));

    assert_eq!(planned(&store, "kubernetes"), ["192.0.2.1"]);
}

#[test]
fn they_are_kept_when_the_slice_is_removed() {
    let mut store = with_api_server();

    store.apply(Change::Slice(name("kubernetes"), None));

    assert_eq!(planned(&store, "kubernetes"), ["192.0.2.1"]);
}

#[test]
fn they_are_kept_when_none_is_usable() {
    let mut store = with_api_server();
    let mut unusable = slice("kubernetes", "kubernetes", &["192.0.2.1", "192.0.2.2"]);
    for endpoint in &mut unusable.endpoints {
        (endpoint.ready, endpoint.serving) = (false, false);
    }

    set_slice(&mut store, unusable);

    assert_eq!(planned(&store, "kubernetes"), ["192.0.2.1"]);
    assert!(store.plan(&name("kubernetes"))[0].range.internal.count > 0);
}

#[test]
fn they_end_with_the_first_usable_endpoint() {
    let mut store = with_api_server();
    store.apply(Change::Slice(name("kubernetes"), None));
    store.take_dirty();

    set_slice(
        &mut store,
        slice("kubernetes-2", "kubernetes", &["192.0.2.2"]),
    );

    assert_eq!(store.take_dirty(), [name("kubernetes")]);
    assert_eq!(planned(&store, "kubernetes"), ["192.0.2.2"]);
}

#[test]
fn they_are_kept_when_the_slice_loses_its_ports() {
    let mut store = with_api_server();
    let mut portless = slice("kubernetes", "kubernetes", &["192.0.2.1"]);
    portless.ports.clear();

    set_slice(&mut store, portless);

    assert_eq!(planned(&store, "kubernetes"), ["192.0.2.1"]);
}

#[test]
fn they_end_with_the_service() {
    let mut store = with_api_server();
    set_slice(&mut store, slice("kubernetes", "kubernetes", &[]));

    store.apply(Change::Service(name("kubernetes"), None));
    set_service(&mut store, service("kubernetes"));

    assert!(planned(&store, "kubernetes").is_empty());
}

#[test]
fn the_newest_usable_endpoints_are_the_ones_kept() {
    let mut store = with_api_server();
    set_slice(
        &mut store,
        slice("kubernetes", "kubernetes", &["192.0.2.2", "192.0.2.3"]),
    );
    set_slice(
        &mut store,
        slice("kubernetes", "kubernetes", &["192.0.2.3"]),
    );

    set_slice(&mut store, slice("kubernetes", "kubernetes", &[]));

    assert_eq!(planned(&store, "kubernetes"), ["192.0.2.3"]);
}

#[test]
fn one_remaining_endpoint_is_enough_to_let_the_others_go() {
    let mut store = with_api_server();
    set_slice(
        &mut store,
        slice("kubernetes-2", "kubernetes", &["192.0.2.2"]),
    );

    store.apply(Change::Slice(name("kubernetes"), None));

    assert_eq!(planned(&store, "kubernetes"), ["192.0.2.2"]);
}

#[test]
fn slices_that_came_before_the_service_are_kept_too() {
    let mut store = Store::new();
    set_slice(
        &mut store,
        slice("kubernetes", "kubernetes", &["192.0.2.1"]),
    );
    set_service(&mut store, service("kubernetes"));

    store.apply(Change::Slice(name("kubernetes"), None));

    assert_eq!(planned(&store, "kubernetes"), ["192.0.2.1"]);
}

#[test]
fn each_family_is_kept_by_itself() {
    let mut store = Store::new();
    let mut dual = service("kubernetes");
    dual.cluster_ips.push(ip("fd00::1"));
    set_service(&mut store, dual);
    let mut six = slice("six", "kubernetes", &["2001:db8::1"]);
    six.family = Family::V6;
    set_slice(&mut store, six);
    set_slice(&mut store, slice("four", "kubernetes", &["192.0.2.1"]));

    store.apply(Change::Slice(name("six"), None));
    set_slice(&mut store, slice("four", "kubernetes", &["192.0.2.2"]));

    assert_eq!(planned(&store, "kubernetes"), ["192.0.2.2", "2001:db8::1"]);
}

#[test]
fn other_services_lose_their_last_endpoint() {
    let mut store = settled();

    set_slice(&mut store, slice("web-1", "web", &[]));

    assert!(planned(&store, "web").is_empty());
}

#[test]
fn each_turn_of_events_is_told_once() {
    let some = slice("kubernetes", "kubernetes", &["192.0.2.1"]);
    let other = slice("kubernetes", "kubernetes", &["192.0.2.2"]);
    let empty = slice("kubernetes", "kubernetes", &[]);
    let steps: [(Option<&[&EndpointSlice]>, Option<Turn>); 11] = [
        (Some(&[]), None),
        (Some(&[&some]), None),
        (Some(&[&empty]), Some(Turn::Lost)),
        (Some(&[]), None),
        (Some(&[&some]), Some(Turn::Recovered)),
        (Some(&[&other]), None),
        (Some(&[]), Some(Turn::Lost)),
        (Some(&[&empty]), None),
        (None, Some(Turn::Gone)),
        (None, None),
        (Some(&[&empty]), None),
    ];
    let mut kept = Kept::default();

    let turns = steps.map(|(present, _)| kept.follow(present));

    assert_eq!(turns, steps.map(|(_, turn)| turn));
}
