//! The order of events, and what each may change.

use k8s_openapi::api::core::v1::{Node, Service};
use serde_json::json;

use super::*;

fn service(name: &str, cluster_ip: &str) -> Service {
    let value = json!({
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"clusterIP": cluster_ip, "ports": [{"port": 80}]},
    });
    serde_json::from_value(value).unwrap()
}

fn node() -> Node {
    serde_json::from_value(json!({"metadata": {"name": "worker-1"}})).unwrap()
}

/// What each of `events` changes: `+name` for what exists, `-name` for what is gone.
fn told<K: Watched>(
    listing: &mut Listing<K>,
    events: impl IntoIterator<Item = Event<K>>,
) -> Vec<String> {
    let mut changes = Vec::new();
    for event in events {
        listing.fold(event, &mut changes);
    }
    let changes = changes.into_iter();
    changes
        .map(|change| match change {
            Change::Service(name, Some(_)) => format!("+{}", name.name),
            Change::Service(name, None) => format!("-{}", name.name),
            Change::Node(Some(node)) => format!("+{}", node.name),
            Change::Node(None) => "-node".to_owned(),
            other => panic!("of another kind: {other:?}"),
        })
        .collect()
}

fn listed(names: &[&str]) -> Listing<Service> {
    let mut listing = Listing::new();
    let objects = names
        .iter()
        .map(|name| Event::InitApply(service(name, "10.96.0.1")));
    let events = [Event::Init].into_iter().chain(objects);
    told(&mut listing, events.chain([Event::InitDone]));
    listing
}

#[test]
fn a_list_is_complete_only_at_its_end() {
    let mut listing = Listing::new();

    told(
        &mut listing,
        [Event::Init, Event::InitApply(service("a", "10.96.0.1"))],
    );
    assert!(!listing.is_current() && listing.is_in_progress());
    told(&mut listing, [Event::InitDone]);
    assert!(listing.is_current());
}

#[test]
fn objects_are_told_as_they_come() {
    let mut listing = Listing::new();

    let changes = told(
        &mut listing,
        [
            Event::Init,
            Event::InitApply(service("a", "10.96.0.1")),
            Event::InitDone,
            Event::Apply(service("b", "10.96.0.2")),
            Event::Apply(service("a", "10.96.0.3")),
            Event::Delete(service("b", "10.96.0.2")),
        ],
    );

    assert_eq!(changes, ["+a", "+b", "+a", "-b"]);
}

#[test]
fn a_new_list_removes_what_is_gone_and_only_at_its_end() {
    let mut listing = listed(&["a", "b", "c"]);

    let during = told(
        &mut listing,
        [Event::Init, Event::InitApply(service("b", "10.96.0.1"))],
    );
    let mut at_end = told(&mut listing, [Event::InitDone]);

    assert_eq!(during, ["+b"]);
    at_end.sort();
    assert_eq!(at_end, ["-a", "-c"]);
}

#[test]
fn a_list_that_breaks_off_and_begins_again_removes_nothing_early() {
    let mut listing = listed(&["a", "b"]);

    let changes = told(
        &mut listing,
        [
            Event::Init,
            Event::InitApply(service("c", "10.96.0.1")),
            Event::Init,
            Event::InitApply(service("a", "10.96.0.1")),
        ],
    );
    let mut at_end = told(&mut listing, [Event::InitDone]);

    assert_eq!(changes, ["+c", "+a"]);
    at_end.sort();
    assert_eq!(at_end, ["-b", "-c"]);
}

#[test]
fn objects_of_no_concern_are_not_told() {
    let mut listing = Listing::new();

    let changes = told(
        &mut listing,
        [
            Event::Init,
            Event::InitApply(service("headless", "None")),
            Event::InitDone,
            Event::Apply(service("headless", "None")),
            Event::Delete(service("headless", "None")),
        ],
    );

    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn an_object_that_becomes_of_no_concern_is_gone() {
    let mut listing = listed(&["a", "b"]);

    let live = told(&mut listing, [Event::Apply(service("a", "None"))]);
    let again = told(&mut listing, [Event::Apply(service("a", "None"))]);
    let in_list = told(
        &mut listing,
        [
            Event::Init,
            Event::InitApply(service("b", "None")),
            Event::InitDone,
        ],
    );

    assert_eq!(live, ["-a"]);
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(in_list, ["-b"]);
}

#[test]
fn a_missing_node_is_told_when_its_list_is_complete() {
    let mut listing = Listing::<Node>::new();

    let absent = told(&mut listing, [Event::Init, Event::InitDone]);
    let appears = told(&mut listing, [Event::Apply(node())]);
    let still_there = told(
        &mut listing,
        [Event::Init, Event::InitApply(node()), Event::InitDone],
    );
    let gone = told(&mut listing, [Event::Init, Event::InitDone]);

    assert_eq!(absent, ["-node"]);
    assert_eq!(appears, ["+worker-1"]);
    assert_eq!(still_there, ["+worker-1"]);
    assert_eq!(gone, ["-node"]);
}

#[test]
fn the_latch_opens_for_the_last_kind() {
    let latch = Latch::new(3);

    let opened = [(); 3].map(|()| latch.complete_one());

    assert_eq!(opened, [false, false, true]);
}
