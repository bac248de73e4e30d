//! Segments of connections that nobody knows: where no other proxy may know them, their sender is told by
//! a reset.

use netproxy_common::Counter;

use crate::world::{Asker, At as _, Flavour, Packet, Shop, World, tcp};

/// A node that serves a shop with one endpoint, alone.
fn alone(flavour: Flavour) -> (World, Shop) {
    let mut world = World::new();
    let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
    world.serve(&[&shop]);
    world.datapath().reset_unknown(true).unwrap();
    (world, shop)
}

/// Segments of a connection that the client takes for open.
fn segments(client: Asker, shop: &Shop, flavour: Flavour) -> [Packet; 4] {
    let segment = tcp(client.address(flavour).at(40_000), shop.cluster_ip()).ack();
    [
        segment.clone(),
        segment.clone().payload(b"GET / HTTP/1.1"),
        segment.clone().fin(),
        segment.syn(),
    ]
}

#[test]
fn a_segment_that_nobody_knows_is_answered_with_a_reset() {
    for flavour in Flavour::TCP {
        let (world, shop) = alone(flavour);
        for asker in Asker::ALL {
            for segment in segments(asker, &shop, flavour) {
                asker.sends(&world, &segment).resets();
            }
        }
        assert_eq!(world.flows(), []);
    }
}

#[test]
fn a_reset_has_a_checksum_that_the_device_can_fill_in() {
    for flavour in Flavour::TCP {
        let (world, shop) = alone(flavour);
        for segment in segments(Asker::Pod, &shop, flavour) {
            let outcome = world.ingress("pod1", segment.with_checksum_left_to_the_device());

            outcome.resets_once_filled_in();
        }
    }
}

#[test]
fn resets_and_what_acknowledges_nothing_get_no_answer() {
    for flavour in Flavour::TCP {
        let (world, shop) = alone(flavour);
        for asker in Asker::ALL {
            let segment = tcp(asker.address(flavour).at(40_000), shop.cluster_ip());
            for silent in [
                segment.clone(),
                segment.clone().fin(),
                segment.clone().rst(),
                segment.rst().ack(),
            ] {
                let outcome = asker.sends(&world, &silent);
                outcome
                    .passes_untouched()
                    .counts(Counter::UnknownConnection);
            }
        }
    }
}

#[test]
fn segments_to_no_frontend_get_no_answer() {
    for flavour in Flavour::TCP {
        let (world, shop) = alone(flavour);
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            let segment = tcp(client, shop.cluster_ip().ip().at(9999)).ack();

            let outcome = asker.sends(&world, &segment);

            outcome.passes_untouched().counts_nothing();
        }
    }
}

#[test]
fn connections_that_are_known_and_new_ones_are_not_reset() {
    for flavour in Flavour::TCP {
        let (world, shop) = alone(flavour);
        let client = Asker::Pod.address(flavour).at(40_000);

        let first = world.ingress("pod1", &flavour.first(client, shop.cluster_ip()));
        let second = world.ingress("pod1", &flavour.later(client, shop.cluster_ip()));

        assert_eq!(first.destination(), second.destination());
        assert_ne!(second.destination(), shop.cluster_ip());
    }
}
