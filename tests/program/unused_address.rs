//! Addresses of the networks that cluster IPs are taken from, but no service's at this moment: what
//! would begin something there is dropped.

use netproxy::model::Family;
use netproxy_common::Counter;

use crate::world::{Asker, At as _, Flavour, Fragment, POD_PORT, Shop, World, tcp};

/// Those that [`Flavour::cluster_ip`] is in.
const NETWORKS: [&str; 2] = ["10.96.0.0/22", "fd00:96::/118"];

fn node() -> World {
    let mut world = World::new();
    let networks = NETWORKS.map(|network| network.parse().unwrap());
    world.datapath().set_service_cidrs(&networks).unwrap();
    world
}

#[test]
fn what_begins_something_at_an_unused_address_is_dropped() {
    let world = node();
    for flavour in Flavour::ALL {
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            for port in [80, 9999] {
                let request = flavour.first(client, flavour.cluster_ip(1).at(port));
                let outcome = asker.sends(&world, &request);
                outcome.drops(Counter::UnusedAddress);
                let outcome = asker.sends(&world, request.echo_request());
                outcome.drops(Counter::UnusedAddress);
            }
        }
    }
}

#[test]
fn a_segment_of_a_connection_to_an_unused_address_is_somebody_elses() {
    let world = node();
    for flavour in Flavour::TCP {
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            let segment = tcp(client, flavour.cluster_ip(1).at(80));
            for segment in [
                segment.clone(),
                segment.clone().ack(),
                segment.clone().syn().ack(),
                segment.clone().fin().ack(),
                segment.clone().rst(),
            ] {
                let outcome = asker.sends(&world, &segment);
                outcome.passes_untouched().counts_nothing();
            }
            let fragment = Fragment {
                offset: 185,
                has_more: true,
            };
            let outcome = asker.sends(&world, &segment.fragment(fragment));
            outcome.passes_untouched().counts_nothing();
        }
    }
}

#[test]
fn what_is_forwarded_was_judged_where_it_came_in() {
    let world = node();
    for flavour in Flavour::ALL {
        let client = flavour.outside().at(40_000);
        let request = flavour.first(client, flavour.cluster_ip(1).at(80));

        let outcome = world.egress("eth0", &request);

        outcome.passes_untouched().counts_nothing();
    }
}

#[test]
fn a_network_ends_where_its_prefix_says() {
    let inside = [
        ["10.96.0.0", "10.96.1.7", "10.96.3.255"],
        ["fd00:96::", "fd00:96::1ff", "fd00:96::3ff"],
    ];
    let outside = [
        ["10.95.255.255", "10.96.4.0", "11.96.0.1"],
        ["fd00:95:ffff::", "fd00:96::400", "fd00:96:0:1::1"],
    ];
    let world = node();
    for flavour in Flavour::ALL {
        let family = usize::from(flavour.family == Family::V6);
        for asker in Asker::ALL {
            let request = |address: &str| {
                let client = asker.address(flavour).at(40_000);
                flavour.first(client, address.parse::<std::net::IpAddr>().unwrap().at(80))
            };
            for address in inside[family] {
                let outcome = asker.sends(&world, &request(address));
                outcome.drops(Counter::UnusedAddress);
            }
            for address in outside[family] {
                let outcome = asker.sends(&world, &request(address));
                outcome.passes_untouched().counts_nothing();
            }
        }
    }
}

#[test]
fn a_connection_to_a_service_that_is_gone_goes_on_and_new_ones_are_dropped() {
    let mut world = node();
    for flavour in Flavour::TCP {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, shop.cluster_ip());
        let outcome = world.ingress("pod1", &request);
        outcome.passes_as(&request.to(endpoint));
        let answer = flavour.answer(endpoint, client);
        let outcome = world.egress("pod1", &answer);
        outcome.passes_as(&answer.clone().from(shop.cluster_ip()));

        world
            .datapath()
            .apply(&[(shop.name(), Vec::new())])
            .unwrap();
        world.datapath().expire_flows().unwrap();

        let later = flavour.later(client, shop.cluster_ip());
        let outcome = world.ingress("pod1", &later);
        outcome.passes_as(&later.clone().to(endpoint));
        let outcome = world.egress("pod1", &answer);
        outcome.passes_as(&answer.from(shop.cluster_ip()));
        for asker in Asker::ALL {
            let other = asker.address(flavour).at(40_001);
            let request = flavour.first(other, shop.cluster_ip());
            let outcome = asker.sends(&world, &request);
            outcome.drops(Counter::UnusedAddress);
        }
        world.forget_flows();
        world.datapath().expire_flows().unwrap();
        let request = flavour.first(client, shop.cluster_ip());
        let outcome = world.ingress("pod1", &request);
        outcome.drops(Counter::UnusedAddress);
    }
}
