//! What a service carries is counted: flows, and packets and bytes both ways.

use netproxy::datapath::View;
use netproxy_common::{Traffic, Volume};

use crate::world::{At as _, Course, Flavour, Opened, Shop, World};

const ETHERNET_BYTES: u64 = 14;

/// What all services have carried.
fn carried(world: &World) -> Vec<Traffic> {
    let traffic = View::open(world.pins()).unwrap().traffic(1..8).unwrap();
    let seen = |traffic: &Traffic| *traffic != Traffic::default();
    traffic.into_values().filter(seen).collect()
}

fn volume(packets: &[&[u8]]) -> Volume {
    let bytes = packets.iter().map(|it| it.len() as u64 - ETHERNET_BYTES);
    Volume {
        packets: packets.len() as u64,
        bytes: bytes.sum(),
    }
}

#[test]
fn packets_and_bytes_of_every_kind_of_flow_are_counted_both_ways() {
    for flavour in Flavour::ALL {
        for course in Course::ALL {
            let mut world = World::new();
            let opened: Opened = course.open(&mut world, flavour);
            let first = flavour.first(opened.client, opened.frontend);
            let [first, request, answer] =
                [&first, &opened.requests().0, &opened.answers().0].map(Vec::<u8>::from);

            let _ = course.answer(&world, answer.clone());
            let _ = course.request(&world, request.clone());
            let _ = course.answer(&world, answer.clone());

            let expected = Traffic {
                flows: 1,
                sockets: 0,
                to_endpoints: volume(&[&first, &request]),
                to_clients: volume(&[&answer, &answer]),
            };
            assert_eq!(carried(&world), [expected], "{opened:?}");
        }
    }
}

#[test]
fn segments_that_travel_together_are_counted_one_by_one() {
    let mut world = World::new();
    let flavour = Flavour::TCP[0];
    let opened = Course::Whole.open(&mut world, flavour);
    let packet = flavour
        .later(opened.client, opened.frontend)
        .payload(&[0; 2500]);
    let before = carried(&world)[0];

    let _ = world.segments_at_ingress("eth0", &packet, 1000);

    let packets = carried(&world)[0].to_endpoints.packets - before.to_endpoints.packets;
    assert_eq!(packets, 3);
}

#[test]
fn what_is_dropped_or_nobodys_is_not_counted() {
    for flavour in Flavour::ALL {
        let mut world = World::new();
        let empty = Shop::new(flavour, 1);
        world.serve(&[&empty]);
        let client = flavour.outside().at(40_000);

        let _ = world.ingress("eth0", &flavour.first(client, empty.node_port()));
        let _ = world.ingress("eth0", &flavour.later(client, empty.node_port()));
        let _ = world.ingress("eth0", &flavour.first(client, flavour.node().at(9)));

        assert_eq!(carried(&world), []);
    }
}

#[test]
fn services_without_room_of_their_own_are_counted_together() {
    let mut world = World::with_map_sizes(&["TRAFFIC=1"]);
    let flavour = Flavour::TCP[0];

    let _ = Course::Whole.open(&mut world, flavour);

    let traffic = View::open(world.pins()).unwrap().traffic(1..8).unwrap();
    let all: Vec<_> = traffic.iter().map(|(id, it)| (*id, it.flows)).collect();
    assert_eq!(all, [(0, 1)]);
}

#[test]
fn the_next_service_of_an_id_begins_at_nothing() {
    let mut world = World::with_map_sizes(&["SERVICES=2"]);
    let flavour = Flavour::TCP[0];
    let _ = Course::Whole.open(&mut world, flavour);
    let shop = Course::Whole.shop(flavour);
    assert_eq!(carried(&world).len(), 1);

    world
        .datapath()
        .apply(&[(shop.name(), Vec::new())])
        .unwrap();
    world.forget_flows();
    world.datapath().expire_flows().unwrap();

    assert_eq!(carried(&world), []);
}

#[test]
fn what_was_counted_outlives_the_agent() {
    let mut world = World::new();
    let flavour = Flavour::TCP[0];
    let _ = Course::Edge.open(&mut world, flavour);
    let before = carried(&world);

    world.stop();
    world.start();

    assert_eq!(carried(&world), before);
    assert_eq!(world.datapath().traffic().unwrap().len(), 2);
}
