//! Whole flows: source and destination are translated where a packet comes in, and it is sent on
//! past the stack.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use netproxy_common::{Counter, FlowKind};

use crate::world::{At as _, Flavour, Outcome, POD_PORT, Packet, Shop, World};

/// Whether a source port is one that nobody else hands out.
fn is_ours(port: u16) -> bool {
    (10_240..30_000).contains(&port) || port >= 61_000
}

/// Asserts that a request was translated whole; yields the source it has now.
#[track_caller]
fn redirects_whole(outcome: Outcome, request: &Packet, endpoint: SocketAddr) -> SocketAddr {
    let source = outcome.source();
    assert!(is_ours(source.port()), "{outcome:?}");
    outcome.redirects_as(&request.clone().from(source).to(endpoint).ttl(63));
    source
}

#[test]
fn a_client_outside_reaches_an_endpoint_elsewhere_through_every_kind_of_frontend() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.outside().at(40_000);
        for frontend in [
            shop.cluster_ip(),
            shop.node_port(),
            shop.vip(),
            shop.external_ip(),
        ] {
            let request = flavour.first(client, frontend);
            let requested = world.ingress("eth0", &request);
            let source = redirects_whole(requested, &request, endpoint);
            let answer = flavour.answer(endpoint, source);
            let answered = world.ingress("eth0", &answer);

            assert_eq!(source.ip(), flavour.node());
            answered.redirects_as(&answer.clone().from(frontend).to(client).ttl(63));
            let later = flavour.later(client, frontend);
            let continued = world.ingress("eth0", &later);
            continued.redirects_as(&later.from(source).to(endpoint).ttl(63));
        }
    }
}

#[test]
fn a_pod_reaches_itself_as_somebody_else() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let pod = flavour.local_pod(1);
        let shop = Shop::new(flavour, 1).here(pod);
        world.serve(&[&shop]);
        let client = pod.at(40_000);

        let request = flavour.first(client, shop.cluster_ip());
        let requested = world.ingress("pod1", &request);
        let source = redirects_whole(requested, &request, pod.at(POD_PORT));
        let answer = flavour.answer(pod.at(POD_PORT), source);
        let answered = world.ingress("pod1", &answer);

        assert_eq!(source.ip(), flavour.source_towards_pods());
        answered.redirects_as(&answer.from(shop.cluster_ip()).to(client).ttl(63));
    }
}

#[test]
fn a_pod_behind_a_bridge_reaches_itself_as_the_bridge() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let pod = flavour.local_pod(3);
        let shop = Shop::new(flavour, 1).here(pod);
        world.serve(&[&shop]);
        let request = flavour.first(pod.at(40_000), shop.cluster_ip());

        let outcome = world.ingress("pod3", &request);

        let source = redirects_whole(outcome, &request, pod.at(POD_PORT));
        assert_eq!(source.ip(), flavour.bridge());
    }
}

#[test]
fn a_packet_on_its_last_hop_is_answered_and_opens_nothing() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).elsewhere(flavour.remote_pod(1));
        world.serve(&[&shop]);
        for (port, ttl) in [(40_000, 0), (40_001, 1)] {
            let client = flavour.outside().at(port);
            let request = flavour.first(client, shop.node_port()).ttl(ttl);

            world.ingress("eth0", &request).expires();
        }
        assert_eq!(world.flows(), []);
        let client = flavour.outside().at(40_002);
        let request = flavour.first(client, shop.node_port()).ttl(2);
        let outcome = world.ingress("eth0", &request);
        let source = outcome.source();
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        outcome.redirects_as(&request.from(source).to(endpoint).ttl(1));
        world.forget_flows();
    }
}

#[test]
fn later_packets_and_answers_on_their_last_hop_are_answered() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.outside().at(40_000);
        let request = flavour.first(client, shop.node_port());
        let source = world.ingress("eth0", &request).source();

        let later = flavour.later(client, shop.node_port()).ttl(1);
        let answer = flavour.answer(endpoint, source).ttl(1);

        world.ingress("eth0", &later).expires();
        world.ingress("eth0", &answer).expires();
    }
}

#[test]
fn an_endpoint_without_a_route_gets_no_packet() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).elsewhere(flavour.unreachable_pod());
        world.serve(&[&shop]);
        let request = flavour.first(flavour.outside().at(40_000), shop.node_port());

        let outcome = world.ingress("eth0", &request);

        outcome.drops(Counter::NoRoute);
    }
    assert_eq!(world.flows(), []);
}

#[test]
fn flows_to_one_endpoint_have_different_source_ports() {
    const FLOWS: u16 = 500;
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);

        let sources: BTreeSet<_> = (0..FLOWS)
            .map(|number| {
                let client = flavour.outside().at(40_000 + number);
                let request = flavour.first(client, shop.node_port());
                redirects_whole(world.ingress("eth0", &request), &request, endpoint)
            })
            .collect();

        assert_eq!(sources.len(), usize::from(FLOWS));
    }
}

#[test]
fn an_answer_from_somebody_else_is_not_translated() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let request = flavour.first(flavour.outside().at(40_000), shop.node_port());
        let source = world.ingress("eth0", &request).source();

        for stranger in [
            flavour.remote_pod(2).at(POD_PORT),
            endpoint.ip().at(POD_PORT + 1),
        ] {
            let answer = flavour.answer(stranger, source);
            world.ingress("eth0", &answer).passes_untouched();
        }
        assert!(
            world
                .flows()
                .iter()
                .all(|flow| flow.kind == FlowKind::Whole)
        );
    }
}
