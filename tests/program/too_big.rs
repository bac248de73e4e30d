//! Packets that are larger than the way they would go past the stack: the sender is told, as a router
//! would tell it.

use std::net::SocketAddr;

use netproxy_common::Counter;

use crate::world::{At as _, Flavour, POD_PORT, Packet, Shop, World};

/// What `eth0` carries.
const MTU: u16 = 1400;

/// A packet of so many bytes from its IP header on.
fn sized(packet: Packet, bytes: usize) -> Packet {
    let headers = packet.clone().payload(&[]).ip_bytes().len();
    packet.payload(&vec![0xa5; bytes - headers])
}

/// A node with a narrow `eth0`, and a service with an endpoint behind it.
fn narrow(flavour: Flavour, world: &mut World) -> (Shop, SocketAddr) {
    World::set_mtu("eth0", MTU);
    let endpoint = flavour.remote_pod(1).at(POD_PORT);
    let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
    world.serve(&[&shop]);
    (shop, endpoint)
}

#[test]
fn a_first_packet_too_big_opens_nothing_and_exceeds() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, _) = narrow(flavour, &mut world);
        for frontend in [shop.cluster_ip(), shop.node_port(), shop.vip()] {
            let request = flavour.first(flavour.outside().at(40_000), frontend);
            for bytes in [usize::from(MTU) + 1, 1500, 3000] {
                let request = sized(request.clone(), bytes);
                world.ingress("eth0", &request).exceeds(MTU);
            }
        }
        let process = flavour.node().at(40_000);
        let request = sized(flavour.first(process, shop.cluster_ip()), 1500);
        world.sent("eth0", &request).exceeds(MTU);

        assert_eq!(world.flows(), []);
    }
}

#[test]
fn later_packets_and_answers_too_big_are_told_the_mtu() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, endpoint) = narrow(flavour, &mut world);
        let client = flavour.outside().at(40_000);
        let request = flavour.first(client, shop.node_port());
        let source = world.ingress("eth0", &request).source();
        let too_big = usize::from(MTU) + 1;
        let later = flavour.later(client, shop.node_port());
        let answer = flavour.answer(endpoint, source);

        let told = world.ingress("eth0", &sized(later.clone(), too_big));
        told.exceeds(MTU);
        let told = world.ingress("eth0", &sized(answer.clone(), too_big));
        told.exceeds(MTU);

        let later = sized(later, usize::from(MTU));
        let passed = world.ingress("eth0", &later);
        passed.redirects_as(&later.from(source).to(endpoint).ttl(63));
        let answer = sized(answer, usize::from(MTU));
        let passed = world.ingress("eth0", &answer);
        passed.redirects_as(&answer.from(shop.node_port()).to(client).ttl(63));
        world.forget_flows();
    }
}

/// What is redirected past the stack is not cut in pieces.
#[test]
fn a_packet_that_may_be_fragmented_exceeds_as_well() {
    let mut world = World::new();
    for flavour in Flavour::V4 {
        let (shop, _) = narrow(flavour, &mut world);
        let request = flavour
            .first(flavour.outside().at(40_000), shop.node_port())
            .may_be_fragmented();

        let outcome = world.ingress("eth0", &sized(request, 1500));

        outcome.exceeds(MTU);
    }
}

#[test]
fn of_segments_each_must_fit() {
    let mut world = World::new();
    for flavour in [Flavour::TCP, Flavour::UDP].concat() {
        let (shop, endpoint) = narrow(flavour, &mut world);
        let client = flavour.outside().at(40_000);
        let request = flavour.first(client, shop.node_port());
        let source = world.ingress("eth0", &request).source();
        let later = sized(flavour.later(client, shop.node_port()), 3000);
        let headers = later.clone().payload(&[]).ip_bytes().len();
        let fits = u32::from(MTU) - u32::try_from(headers).unwrap();

        let passed = world.segments_at_ingress("eth0", &later, fits);
        let told = world.segments_at_ingress("eth0", &later, fits + 1);

        passed.redirects_as(&later.from(source).to(endpoint).ttl(63));
        told.exceeds(MTU);
        world.forget_flows();
    }
}

#[test]
fn more_segments_than_a_length_can_say_are_told_the_mtu() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let (shop, _) = narrow(flavour, &mut world);
        let client = flavour.outside().at(40_000);
        let _ = world.ingress("eth0", &flavour.first(client, shop.node_port()));
        let later = sized(flavour.later(client, shop.node_port()), 3000).unlimited();

        let outcome = world.segments_at_ingress("eth0", &later, 1448);

        outcome
            .counts(Counter::PacketTooBig)
            .counts(Counter::Refused);
        world.forget_flows();
    }
}

/// The client is here, and the stack sees the packet: it is its to answer.
#[test]
fn packets_of_edge_flows_are_left_to_the_stack() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, endpoint) = narrow(flavour, &mut world);
        let request = flavour.first(flavour.local_pod(1).at(40_000), shop.cluster_ip());
        let request = sized(request, 1500);

        let outcome = world.ingress("pod1", &request);

        outcome.passes_as(&request.to(endpoint));
    }
}

#[test]
fn devices_without_a_link_layer_tell_the_mtu_alike() {
    let mut world = World::new().with_layer_3();
    for flavour in Flavour::ALL {
        let (shop, endpoint) = narrow(flavour, &mut world);
        let client = flavour.outside().at(40_000);
        let request = flavour.first(client, shop.vip()).without_link_layer();
        let too_big = sized(request.clone(), usize::from(MTU) + 1);
        let fits = sized(request, usize::from(MTU));

        world.ingress("tun0", &too_big).exceeds(MTU);
        let passed = world.ingress("tun0", &fits);

        let source = passed.source();
        passed.redirects_as(&fits.from(source).to(endpoint).ttl(63));
        world.forget_flows();
    }
}
