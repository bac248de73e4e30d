//! Tests of the store: what makes a service dirty, and what is known of it then.

mod arrivals;
mod differences;
mod last_known;
mod node;
mod services;

use std::net::IpAddr;

use super::Store;
use crate::model::{
    Change, Endpoint, EndpointSlice, Family, Node, ObjectName, Protocol, Service, ServicePort,
    SlicePort, TrafficPolicy,
};

fn name(name: &str) -> ObjectName {
    ObjectName::new("default", name)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn service(service: &str) -> Service {
    Service {
        name: name(service),
        cluster_ips: vec![ip("10.96.0.1")],
        external_ips: Vec::new(),
        load_balancer_vips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        affinity_s: None,
        balancing: None,
        health_check_node_port: None,
    }
}

/// A ready endpoint on the node `this`.
fn endpoint_at(address: &str) -> Endpoint {
    Endpoint {
        address: ip(address),
        node: Some("this".into()),
        ready: true,
        serving: true,
        terminating: false,
        hints: None,
    }
}

/// A slice of `service` with ready endpoints at `addresses`, all on the node `this`.
fn slice(slice: &str, service: &str, addresses: &[&str]) -> EndpointSlice {
    EndpointSlice {
        name: name(slice),
        service: name(service),
        family: Family::V4,
        ports: vec![SlicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 8080,
        }],
        endpoints: addresses
            .iter()
            .map(|address| endpoint_at(address))
            .collect(),
        triggered_unix_ns: None,
    }
}

fn node(name: &str, zone: Option<&str>) -> Node {
    Node {
        name: name.into(),
        addresses: vec![ip("192.0.2.10")],
        zone: zone.map(Into::into),
        pod_cidrs: Vec::new(),
        is_leaving: false,
    }
}

fn set_service(store: &mut Store, service: Service) {
    store.apply(Change::Service(
        service.name.clone(),
        Some(Box::new(service)),
    ));
}

fn set_slice(store: &mut Store, slice: EndpointSlice) {
    store.apply(Change::Slice(slice.name.clone(), Some(Box::new(slice))));
}

fn set_node(store: &mut Store, node: Node) {
    store.apply(Change::Node(Some(Box::new(node))));
}

/// A store with the services `web` (slice `web-1`, 10.1.0.1) and `db`, nothing dirty.
fn settled() -> Store {
    let mut store = Store::new();
    set_service(&mut store, service("web"));
    set_service(&mut store, service("db"));
    set_slice(&mut store, slice("web-1", "web", &["10.1.0.1"]));
    store.take_dirty();
    store
}

/// The addresses of all endpoints in the plan of `service`, in the plan's order.
fn planned(store: &Store, service: &str) -> Vec<String> {
    let ports = store.plan(&name(service));
    let endpoints = ports.iter().flat_map(|port| &port.range.endpoints);
    endpoints
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

#[test]
fn a_new_service_is_dirty_once() {
    let mut store = Store::new();

    set_service(&mut store, service("web"));

    assert_eq!(store.take_dirty(), [name("web")]);
    assert_eq!(store.take_dirty(), []);
}

#[test]
fn dirty_services_come_sorted_and_without_duplicates() {
    let mut store = settled();

    set_slice(&mut store, slice("web-2", "web", &["10.1.0.2"]));
    set_slice(&mut store, slice("db-1", "db", &["10.1.0.3"]));
    set_slice(&mut store, slice("web-3", "web", &["10.1.0.4"]));

    assert_eq!(store.take_dirty(), [name("db"), name("web")]);
}

#[test]
fn a_changed_service_is_dirty_and_planned_anew() {
    let mut store = settled();
    let mut changed = service("web");
    changed.affinity_s = Some(60);

    set_service(&mut store, changed);

    assert_eq!(store.take_dirty(), [name("web")]);
    assert_eq!(store.plan(&name("web"))[0].range.affinity_s, 60);
}

#[test]
fn a_removed_service_is_dirty_and_has_an_empty_plan() {
    let mut store = settled();

    store.apply(Change::Service(name("web"), None));

    assert_eq!(store.take_dirty(), [name("web")]);
    assert!(store.plan(&name("web")).is_empty());
}

#[test]
fn unchanged_objects_make_nothing_dirty() {
    let mut store = settled();
    set_node(&mut store, node("this", Some("a")));
    store.take_dirty();

    set_service(&mut store, service("web"));
    set_slice(&mut store, slice("web-1", "web", &["10.1.0.1"]));
    set_node(&mut store, node("this", Some("a")));
    store.apply(Change::Service(name("unknown"), None));
    store.apply(Change::Slice(name("unknown-1"), None));

    assert_eq!(store.take_dirty(), []);
    assert_eq!(planned(&store, "web"), ["10.1.0.1"]);
}

#[test]
fn a_new_trigger_time_is_kept_but_makes_nothing_dirty() {
    let mut store = settled();
    let mut touched = slice("web-1", "web", &["10.1.0.1"]);
    touched.triggered_unix_ns = Some(7);

    set_slice(&mut store, touched);

    assert_eq!(store.take_dirty(), []);
    let triggers: Vec<_> = store
        .slices(&name("web"))
        .map(|slice| slice.triggered_unix_ns)
        .collect();
    assert_eq!(triggers, [Some(7)]);
}

#[test]
fn a_changed_slice_replaces_the_old_one() {
    let mut store = settled();

    set_slice(&mut store, slice("web-1", "web", &["10.1.0.2"]));

    assert_eq!(store.take_dirty(), [name("web")]);
    assert_eq!(planned(&store, "web"), ["10.1.0.2"]);
}

#[test]
fn a_removed_slice_takes_its_endpoints_along() {
    let mut store = settled();

    store.apply(Change::Slice(name("web-1"), None));

    assert_eq!(store.take_dirty(), [name("web")]);
    assert!(planned(&store, "web").is_empty());
    assert_eq!(store.plan(&name("web")).len(), 1, "the service remains");
}

#[test]
fn a_slice_that_moves_makes_both_services_dirty() {
    let mut store = settled();

    set_slice(&mut store, slice("web-1", "db", &["10.1.0.1"]));

    assert_eq!(store.take_dirty(), [name("db"), name("web")]);
    assert!(planned(&store, "web").is_empty());
    assert_eq!(planned(&store, "db"), ["10.1.0.1"]);
}

#[test]
fn slices_may_come_before_their_service() {
    let mut store = Store::new();

    set_slice(&mut store, slice("web-1", "web", &["10.1.0.1"]));
    let early = store.take_dirty();
    set_service(&mut store, service("web"));

    assert_eq!(early, [], "there is nothing to plan yet");
    assert_eq!(store.take_dirty(), [name("web")]);
    assert_eq!(planned(&store, "web"), ["10.1.0.1"]);
}

#[test]
fn a_service_that_returns_finds_its_slices() {
    let mut store = settled();

    store.apply(Change::Service(name("web"), None));
    set_service(&mut store, service("web"));

    assert_eq!(planned(&store, "web"), ["10.1.0.1"]);
}

#[test]
fn the_store_is_complete_once_everything_was_listed() {
    let mut store = settled();
    let before = store.is_complete();

    store.apply(Change::Listed);

    assert!(!before);
    assert!(store.is_complete());
    assert_eq!(store.take_dirty(), []);
}

#[test]
fn counts_cover_existing_services_only() {
    let mut store = settled();
    set_slice(&mut store, slice("web-2", "web", &["10.1.0.2", "10.1.0.3"]));
    set_slice(&mut store, slice("orphan-1", "orphan", &["10.1.0.9"]));

    assert_eq!(store.services().count(), 2);
    assert_eq!(store.endpoints().count(), 3);
}

#[test]
fn nothing_is_left_of_what_was_removed() {
    let mut store = settled();
    set_slice(&mut store, slice("db-1", "db", &["10.1.0.2"]));

    store.apply(Change::Slice(name("web-1"), None));
    store.apply(Change::Service(name("web"), None));
    store.apply(Change::Service(name("db"), None));
    store.apply(Change::Slice(name("db-1"), None));

    assert!(store.groups.is_empty());
    assert!(store.owners.is_empty());
}
