//! Drops are counted by service as well, where the service is known.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netproxy::datapath::View;
use netproxy_common::Counter;

use crate::world::{At as _, Flavour, Shop, World};

/// What was counted, by the service's name.
fn drops(world: &World) -> BTreeMap<(String, Counter), u64> {
    let view = View::open(world.pins()).unwrap();
    let services = view.services().unwrap();
    let name = |id: &u32| services[id].key.service.name.to_string();
    let drops = view.drops().unwrap().into_iter();
    drops
        .map(|((service, reason), count)| ((name(&service), reason), count))
        .collect()
}

fn name(shop: &Shop) -> String {
    shop.name().name.to_string()
}

fn asks(world: &World, flavour: Flavour, port: u16, frontend: SocketAddr) {
    let client = flavour.local_pod(1).at(port);
    let _ = world.ingress("pod1", &flavour.first(client, frontend));
}

#[test]
fn drops_are_counted_by_service_and_reason() {
    for flavour in Flavour::ALL {
        let mut world = World::new();
        let (empty, lost) = (Shop::new(flavour, 1), Shop::new(flavour, 2));
        let lost = lost.elsewhere(flavour.unreachable_pod());
        let fine = Shop::new(flavour, 3).here(flavour.local_pod(2));
        world.serve(&[&empty, &lost, &fine]);

        asks(&world, flavour, 40_000, empty.cluster_ip());
        asks(&world, flavour, 40_001, empty.cluster_ip());
        asks(&world, flavour, 40_002, fine.cluster_ip());
        let client = flavour.outside().at(40_003);
        let outcome = world.ingress("eth0", &flavour.first(client, lost.node_port()));

        outcome.drops(Counter::NoRoute);
        let expected = [
            ((name(&empty), Counter::NoEndpoint), 2),
            ((name(&lost), Counter::NoRoute), 1),
        ];
        assert_eq!(drops(&world), BTreeMap::from(expected));
    }
}

#[test]
fn what_is_dropped_of_a_flow_is_counted_for_its_service() {
    for flavour in Flavour::ALL {
        let mut world = World::new();
        let shop = Shop::new(flavour, 1).elsewhere(flavour.remote_pod(1));
        world.serve(&[&shop]);
        let client = flavour.outside().at(40_000);
        let first = flavour.first(client, shop.node_port());
        let _ = world.ingress("eth0", &first);

        let _ = world.ingress("eth0", &first.ttl(1));

        let expected = [((name(&shop), Counter::Expired), 1)];
        assert_eq!(drops(&world), BTreeMap::from(expected));
    }
}

#[test]
fn what_no_service_is_asked_by_is_counted_for_none() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        let unused = shop.cluster_ip().ip().at(9);
        let client = flavour.local_pod(1).at(40_000);

        let outcome = world.ingress("pod1", &flavour.first(client, unused));

        outcome.counts(Counter::UnusedPort);
        assert_eq!(drops(&world), BTreeMap::new());
    }
}
