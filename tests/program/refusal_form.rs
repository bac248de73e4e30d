//! What a refusal looks like, whatever it is about: the packet's headers quoted, checksums right.

use netproxy_common::Counter;

use crate::world::{Asker, At as _, Flavour, Packet, Shop, World};

/// Services without endpoints, of every flavour.
fn node() -> World {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        world.serve(&[&Shop::new(flavour, 1)]);
    }
    world
}

/// A pod asks a service without endpoints.
fn request(flavour: Flavour) -> Packet {
    let client = Asker::Pod.address(flavour).at(40_000);
    flavour.first(client, Shop::new(flavour, 1).cluster_ip())
}

#[test]
fn ipv4_options_are_quoted() {
    let world = node();
    for flavour in Flavour::V4 {
        for words in 0..=10 {
            let request = request(flavour).v4_options(words);
            world.ingress("pod1", &request).refuses(Counter::NoEndpoint);
        }
    }
}

#[test]
fn ipv6_extension_headers_are_quoted() {
    let forms: [fn(Packet) -> Packet; 5] = [
        Packet::hop_by_hop,
        Packet::destination_options,
        |packet| packet.hop_by_hop().destination_options(),
        |packet| packet.routing(0),
        |packet| packet.hop_by_hop().destination_options().routing(0),
    ];
    let world = node();
    for flavour in Flavour::V6 {
        for form in forms {
            let request = form(request(flavour));
            world.ingress("pod1", &request).refuses(Counter::NoEndpoint);
        }
    }
}

#[test]
fn long_extension_headers_are_quoted_or_not_answered() {
    for flavour in Flavour::V6 {
        let world = node();
        for bytes in (8..=2048).step_by(64) {
            let request = request(flavour).long_destination_options(bytes);
            let outcome = world.ingress("pod1", &request);
            if outcome.was_refused() {
                outcome.refuses(Counter::NoEndpoint);
            } else {
                outcome.passes_untouched();
            }
        }
    }
}

#[test]
fn of_data_nothing_is_quoted() {
    let world = node();
    for flavour in Flavour::ALL {
        for size in [0, 1, 2, 63, 1400, 3000] {
            let request = request(flavour).payload(&vec![0xa5; size]);
            world.ingress("pod1", &request).refuses(Counter::NoEndpoint);
        }
    }
}

#[test]
fn a_datagram_without_a_checksum_is_refused_like_any_other() {
    let world = node();
    let [flavour, _] = Flavour::UDP;
    let request = request(flavour).without_checksum();

    world.ingress("pod1", &request).refuses(Counter::NoEndpoint);
}

#[test]
fn devices_without_a_link_layer_refuse_alike() {
    let world = node().with_layer_3();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        let client = flavour.outside().at(40_000);
        for frontend in [
            shop.cluster_ip(),
            shop.vip(),
            shop.external_ip(),
            shop.node_port(),
        ] {
            let request = flavour.first(client, frontend).without_link_layer();
            world.ingress("tun0", &request).refuses(Counter::NoEndpoint);
        }
        let request = flavour
            .first(client, shop.cluster_ip())
            .without_link_layer();
        let large = request.clone().payload(&[0xa5; 1400]);
        world.ingress("tun0", &large).refuses(Counter::NoEndpoint);
        let ping = request.echo_request();
        world.ingress("tun0", ping).refuses(Counter::UnusedPort);
    }
}

#[test]
fn headers_longer_than_the_plain_ones_are_quoted_without_a_link_layer() {
    let world = node().with_layer_3();
    for flavour in Flavour::ALL {
        let client = flavour.outside().at(40_000);
        let request = flavour
            .first(client, Shop::new(flavour, 1).cluster_ip())
            .without_link_layer();
        let request = if request.is_v4() {
            request.v4_options(10)
        } else {
            request.hop_by_hop().destination_options()
        };

        world.ingress("tun0", &request).refuses(Counter::NoEndpoint);
    }
}

/// The device goes by where the transport starts and ends, and knows nothing of what was put before
/// it: the error's own checksum must hold for what the device will have filled in.
#[test]
fn a_checksum_left_to_the_device_is_reckoned_with() {
    let world = node();
    for flavour in [Flavour::TCP, Flavour::UDP].concat() {
        let shop = Shop::new(flavour, 1);
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            let request = flavour.first(client, shop.cluster_ip());
            for request in [request.clone(), request.payload(&[0xa5; 1400])] {
                let left = request.with_checksum_left_to_the_device();
                let outcome = asker.sends(&world, left);
                outcome.refuses_once_filled_in(Counter::NoEndpoint);
            }
        }
    }
}
