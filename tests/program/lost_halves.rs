//! Flows of which the LRU has taken one half: what comes back, and what must not be mistaken.

use std::net::SocketAddr;

use netproxy::datapath::SourcePorts;
use netproxy_common::{Counter, FlowState};

use crate::world::{At as _, Flavour, Half, POD_PORT, Shop, World, tcp};

/// Two ports, so that the third client has one that was somebody's.
const TWO: SourcePorts = SourcePorts {
    low: (20_000, 1),
    high: (62_000, 1),
};

fn far(world: &mut World, flavour: Flavour) -> (Shop, SocketAddr) {
    let endpoint = flavour.remote_pod(1).at(POD_PORT);
    let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
    world.forget_flows();
    world.serve(&[&shop]);
    world.crowd();
    (shop, endpoint)
}

#[test]
fn an_answer_whose_half_was_lost_goes_to_the_stack() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, endpoint) = far(&mut world, flavour);
        let request = flavour.first(flavour.outside().at(40_000), shop.node_port());
        let source = world.ingress("eth0", &request).source();

        world.lose(Half::Reply);

        let answer = flavour.answer(endpoint, source);
        world.ingress("eth0", &answer).passes_untouched();
    }
}

#[test]
fn a_client_whose_half_was_lost_gets_another_port_and_the_old_one_is_nobodys() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, endpoint) = far(&mut world, flavour);
        let client = flavour.outside().at(40_000);
        let request = flavour.first(client, shop.node_port());
        let old = world.ingress("eth0", &request).source();

        world.lose(Half::Forward);
        let new = world.ingress("eth0", &request).source();

        assert_ne!(new, old);
        let answer = flavour.answer(endpoint, old);
        world.ingress("eth0", &answer).passes_untouched();
        let answer = flavour.answer(endpoint, new);
        let outcome = world.ingress("eth0", &answer);
        outcome.redirects_as(&answer.from(shop.node_port()).to(client).ttl(63));
    }
}

/// The first client's half names a port that is another's by now.
#[test]
fn a_half_whose_port_is_anothers_translates_nothing_and_ends_nothing() {
    let mut world = World::with_ports(TWO);
    for flavour in Flavour::ALL {
        let (shop, endpoint) = far(&mut world, flavour);
        let clients = [0, 1, 2].map(|number| flavour.outside().at(40_000 + number));
        let first = flavour.first(clients[0], shop.node_port());
        let lost = world.ingress("eth0", &first).source();
        world.lose(Half::Reply);
        let mut held = Vec::new();
        for client in &clients[1..] {
            let request = flavour.first(*client, shop.node_port());
            let source = world.ingress("eth0", &request).source();
            let answer = flavour.answer(endpoint, source);
            let outcome = world.ingress("eth0", &answer);
            outcome.redirects_as(&answer.from(shop.node_port()).to(*client).ttl(63));
            let later = flavour.later(*client, shop.node_port());
            let outcome = world.ingress("eth0", &later);
            outcome.redirects_as(&later.from(source).to(endpoint).ttl(63));
            held.push((*client, source));
        }
        assert!(held.iter().any(|(_, source)| *source == lost));

        if flavour.protocol == netproxy::model::Protocol::Tcp {
            let reset = tcp(clients[0], shop.node_port()).rst();
            let outcome = world.ingress("eth0", &reset);
            outcome.passes_untouched();
        }
        world.ingress("eth0", &first).drops(Counter::PortsExhausted);

        for (client, source) in held {
            let later = flavour.later(client, shop.node_port());
            let outcome = world.ingress("eth0", &later);
            outcome.redirects_as(&later.from(source).to(endpoint).ttl(63));
            let answer = flavour.later(endpoint, source);
            let outcome = world.ingress("eth0", &answer);
            outcome.redirects_as(&answer.from(shop.node_port()).to(client).ttl(63));
        }
    }
}

/// A pod's flow through `shop` that the client has answered, while the assured tier is full.
fn unassured(world: &mut World, flavour: Flavour) -> (Shop, SocketAddr, SocketAddr) {
    let (shop, endpoint) = far(world, flavour);
    let client = flavour.local_pod(1).at(40_000);
    world.occupy(
        flavour.protocol,
        flavour.remote_pod(9).at(POD_PORT),
        flavour.node(),
        [1, 2],
    );
    for packet in [
        flavour.first(client, shop.cluster_ip()),
        flavour.later(client, shop.cluster_ip()),
    ] {
        let outcome = world.ingress("pod1", &packet);
        outcome.passes_as(&packet.to(endpoint));
        let answer = flavour.answer(endpoint, client);
        let outcome = world.egress("pod1", &answer);
        outcome.passes_as(&answer.from(shop.cluster_ip()));
    }
    (shop, client, endpoint)
}

const FULL: &[&str] = &["FLOWS_V4=2", "FLOWS_V6=2"];

#[test]
fn a_flow_that_finds_no_room_among_the_assured_goes_on() {
    let mut world = World::with_map_sizes(FULL);
    for flavour in Flavour::ALL {
        let (shop, client, endpoint) = unassured(&mut world, flavour);

        let flow = world.flow();
        assert_eq!(
            (flow.state, flow.is_assured),
            (FlowState::Established, false)
        );
        for half in [Half::Forward, Half::Reply] {
            world.outlive(half);
            let later = flavour.later(client, shop.cluster_ip());
            let outcome = world.ingress("pod1", &later);
            outcome.passes_as(&later.to(endpoint));
            let answer = flavour.later(endpoint, client);
            let outcome = world.egress("pod1", &answer);
            outcome.passes_as(&answer.from(shop.cluster_ip()));
        }
    }
}

#[test]
fn a_flow_is_assured_once_there_is_room() {
    let mut world = World::with_map_sizes(FULL);
    for flavour in Flavour::ALL {
        let (shop, client, endpoint) = unassured(&mut world, flavour);

        world.make_room();
        // That is looked at once a second.
        world.age();
        let later = flavour.later(client, shop.cluster_ip());
        let outcome = world.ingress("pod1", &later);
        outcome.passes_as(&later.to(endpoint));

        assert!(world.flow().is_assured);
    }
}

#[test]
fn a_half_lost_for_want_of_room_among_the_assured_comes_back() {
    let mut world = World::with_map_sizes(FULL);
    for flavour in Flavour::ALL {
        let (shop, client, endpoint) = unassured(&mut world, flavour);

        assert_eq!(world.lose(Half::Reply), 1);
        world.age();
        let later = flavour.later(client, shop.cluster_ip());
        let outcome = world.ingress("pod1", &later);
        outcome.passes_as(&later.to(endpoint));

        let answer = flavour.later(endpoint, client);
        let outcome = world.egress("pod1", &answer);
        outcome.passes_as(&answer.from(shop.cluster_ip()));
    }
}
