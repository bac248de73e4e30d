//! Maps that are full: who is told, and who is served once there is room.

use crate::world::{At as _, Flavour, POD_PORT, Shop, World};

/// Eight IPv4 flavours' worth of services do not fit: each has four frontends.
const TIGHT: &[&str] = &["FRONTENDS_V4=6", "ENDPOINTS_V4=16"];

fn shop(number: u8) -> Shop {
    let flavour = Flavour::TCP[0];
    Shop::new(flavour, number).elsewhere(flavour.remote_pod(1))
}

fn is_served(world: &World, shop: &Shop) -> bool {
    let flavour = Flavour::TCP[0];
    let request = flavour.first(flavour.local_pod(1).at(40_000), shop.cluster_ip());
    let outcome = world.ingress("pod1", &request);
    let served = outcome.destination() == flavour.remote_pod(1).at(POD_PORT);
    world.forget_flows();
    served
}

#[test]
fn a_full_map_is_named_with_its_size_and_the_remedy() {
    let mut world = World::with_map_sizes(TIGHT);
    let shops = [shop(1), shop(2)];
    let wanted: Vec<_> = shops.iter().map(Shop::plan).collect();

    let error = world.datapath().apply(&wanted).unwrap_err().to_string();

    for part in ["FRONTENDS_V4", "6 entries", "--map-size FRONTENDS_V4="] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_did_not_fit_is_served_once_there_is_room() {
    let mut world = World::with_map_sizes(TIGHT);
    let (first, second) = (shop(1), shop(2));
    world.serve(&[&first]);
    assert!(world.datapath().apply(&[second.plan()]).is_err());
    assert!(is_served(&world, &first));

    world
        .datapath()
        .apply(&[(first.name(), Vec::new()), second.plan()])
        .unwrap();

    assert!(is_served(&world, &second));
    assert!(!is_served(&world, &first));
}

#[test]
fn a_service_with_too_many_endpoints_keeps_those_it_had() {
    let mut world = World::with_map_sizes(TIGHT);
    let flavour = Flavour::TCP[0];
    let small = shop(1);
    let large = (1..=17).fold(Shop::new(flavour, 1), |shop, number| {
        shop.elsewhere(flavour.remote_pod(number))
    });
    world.serve(&[&small]);

    let error = world
        .datapath()
        .apply(&[large.plan()])
        .unwrap_err()
        .to_string();

    assert!(error.contains("ENDPOINTS_V4"), "{error}");
    assert!(is_served(&world, &small));
}

#[test]
fn room_that_was_given_up_is_used_again() {
    let mut world = World::with_map_sizes(TIGHT);
    let flavour = Flavour::TCP[0];

    for round in 0..40_u16 {
        let endpoint = flavour.remote_pod(round % 2 + 1);
        let shop = (0..6).fold(Shop::new(flavour, 1), |shop, number| {
            shop.elsewhere(flavour.remote_pod(10 + number + round % 2))
        });
        world.serve(&[&shop.elsewhere(endpoint)]);
    }
}
