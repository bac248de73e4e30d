//! What this node's Node and the settings mean for the plans.

use std::net::IpAddr;

use super::{ip, name, node, service, set_node, set_service, set_slice, settled, slice};
use crate::model::{Balancing, Change};
use crate::settings::{Masquerade, Settings};
use crate::store::Store;

#[test]
fn a_new_zone_makes_every_service_dirty() {
    let mut store = settled();
    set_node(&mut store, node("this", Some("a")));
    store.take_dirty();

    set_node(&mut store, node("this", Some("b")));

    assert_eq!(store.take_dirty(), [name("db"), name("web")]);
    assert_eq!(store.node_view().zone.as_deref(), Some("b"));
}

#[test]
fn a_new_node_name_makes_every_service_dirty_and_endpoints_local() {
    let mut store = settled();
    let was_local = store.plan(&name("web"))[0].range.endpoints[0].is_local;

    set_node(&mut store, node("this", None));

    assert!(!was_local, "the node's name was not known");
    assert_eq!(store.take_dirty(), [name("db"), name("web")]);
    assert!(store.plan(&name("web"))[0].range.endpoints[0].is_local);
}

#[test]
fn other_changes_of_the_node_make_nothing_dirty() {
    let mut store = settled();
    set_node(&mut store, node("this", Some("a")));
    store.take_dirty();
    let mut leaving = node("this", Some("a"));
    leaving.is_leaving = true;
    leaving.pod_cidrs = vec!["10.244.0.0/24".parse().unwrap()];

    set_node(&mut store, leaving.clone());

    assert_eq!(store.take_dirty(), []);
    assert_eq!(store.node(), Some(&leaving));
}

#[test]
fn without_a_node_object_the_name_stays_and_the_zone_goes() {
    let mut store = settled();
    set_node(&mut store, node("this", Some("a")));

    store.apply(Change::Node(None));

    assert_eq!(store.node(), None);
    assert_eq!(
        (&*store.node_view().name, &store.node_view().zone),
        ("this", &None)
    );
    assert!(store.plan(&name("web"))[0].range.endpoints[0].is_local);
}

#[test]
fn a_name_given_beforehand_makes_endpoints_local_without_a_node_object() {
    let mut store = Store::on_node("this");
    set_service(&mut store, service("web"));
    set_slice(&mut store, slice("web-1", "web", &["10.1.0.1"]));

    store.apply(Change::Node(None));

    assert!(store.plan(&name("web"))[0].range.endpoints[0].is_local);
}

#[test]
fn new_addresses_of_the_node_make_every_service_dirty() {
    let mut store = settled();
    set_node(&mut store, node("this", None));
    store.take_dirty();
    let mut moved = node("this", None);
    moved.addresses = vec![ip("192.0.2.11")];

    set_node(&mut store, moved);

    assert_eq!(store.take_dirty(), [name("db"), name("web")]);
    assert_eq!(store.node_view().ips, [ip("192.0.2.11")]);
}

#[test]
fn configured_addresses_take_the_place_of_the_nodes() {
    let configured: IpAddr = ip("198.51.100.1");
    let settings = Settings {
        node_ips: vec![configured],
        ..Settings::default()
    };
    let mut store = Store::on_node("this").with_settings(&settings);
    let before = store.node_view().ips.clone();

    set_node(&mut store, node("this", None));

    assert_eq!(before, [configured]);
    assert_eq!(store.node_view().ips, [configured]);
}

#[test]
fn plans_are_made_by_the_settings() {
    let settings = Settings {
        masquerade: Masquerade::All,
        serves_external_ips: false,
        external_balancing: Balancing::Consistent,
        ..Settings::default()
    };
    let mut store = Store::on_node("this").with_settings(&settings);
    let mut service = service("web");
    service.external_ips = vec![ip("192.0.2.80")];

    set_service(&mut store, service);
    set_node(&mut store, node("this", None));

    let plan = store.plan(&name("web"));
    assert!(plan[0].range.masquerades_internal);
    assert_eq!(plan[0].frontends.len(), 1);
    assert_eq!(store.node_view().external_balancing, Balancing::Consistent);
}

#[test]
fn the_service_cidrs_are_those_of_all_objects() {
    let networks = |texts: &[&str]| Some(texts.iter().map(|text| text.parse().unwrap()).collect());
    let known = |store: &Store| -> Vec<String> {
        store.service_cidrs().map(|cidr| cidr.to_string()).collect()
    };
    let mut store = settled();

    let kubernetes = networks(&["10.96.0.0/16", "fd00::/108"]);
    store.apply(Change::ServiceCidr("kubernetes".into(), kubernetes));
    store.apply(Change::ServiceCidr(
        "extra".into(),
        networks(&["10.97.0.0/16"]),
    ));
    let both = known(&store);
    store.apply(Change::ServiceCidr("kubernetes".into(), None));

    assert_eq!(both, ["10.97.0.0/16", "10.96.0.0/16", "fd00::/108"]);
    assert_eq!(known(&store), ["10.97.0.0/16"]);
    assert_eq!(store.take_dirty(), [], "no service's plan depends on them");
}
