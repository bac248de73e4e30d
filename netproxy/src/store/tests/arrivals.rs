//! What the store tells of changes for measuring.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{name, service, set_service, set_slice, settled, slice};
use crate::model::{Change, EndpointSlice, Family};
use crate::store::Arrivals;

/// A slice of `web` that changed because of what happened at that second.
fn triggered(address: &str, second: i64) -> EndpointSlice {
    EndpointSlice {
        triggered_unix_ns: Some(second * 1_000_000_000),
        ..slice("web-1", "web", &[address])
    }
}

#[test]
fn changes_are_told_once_and_repetitions_never() {
    let mut store = settled();
    let told = store.take_arrivals();
    assert_eq!(told.services, [name("db"), name("web")].into());
    assert_eq!(told.endpoints, [name("web")].into());

    set_service(&mut store, service("web"));
    set_slice(&mut store, slice("web-1", "web", &["10.1.0.1"]));

    assert_eq!(store.take_arrivals(), Arrivals::default());
}

#[test]
fn each_version_of_a_slice_tells_what_led_to_it() {
    let mut store = settled();
    store.take_arrivals();

    set_slice(&mut store, triggered("10.1.0.2", 5));
    set_slice(&mut store, triggered("10.1.0.3", 7));

    let at = |second| (Family::V4, Timestamp::from_second(second).unwrap());
    let told = store.take_arrivals().triggers;
    assert_eq!(told, BTreeMap::from([(name("web"), vec![at(5), at(7)])]));
}

#[test]
fn nobody_knows_what_led_to_the_end_of_a_slice() {
    let mut store = settled();
    store.take_arrivals();
    set_slice(&mut store, triggered("10.1.0.2", 5));

    store.apply(Change::Slice(name("web-1"), None));

    let told = store.take_arrivals();
    assert_eq!(told.endpoints, [name("web")].into());
    assert_eq!(told.triggers, BTreeMap::new());
}
