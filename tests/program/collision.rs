//! Two frontends that lead one client port to one endpoint: their flows must be told apart by the
//! endpoint's answers alone.

use std::collections::BTreeSet;

use netproxy_common::Counter;

use crate::world::{At as _, Flavour, POD_PORT, Shop, World, tcp};

#[test]
fn the_second_flow_gets_a_source_port_and_both_answers_return_right() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let first = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        let second = Shop::new(flavour, 2).elsewhere(endpoint.ip());
        world.serve(&[&first, &second]);
        let client = flavour.local_pod(1).at(40_000);

        let request = flavour.first(client, first.cluster_ip());
        world
            .ingress("pod1", &request)
            .passes_as(&request.to(endpoint));
        let request = flavour.first(client, second.cluster_ip());
        let outcome = world.ingress("pod1", &request);
        let source = outcome.source();
        outcome.passes_as(&request.clone().from(source).to(endpoint));

        assert_eq!(source.ip(), client.ip());
        assert_ne!(source.port(), client.port());
        let answer = flavour.answer(endpoint, client);
        let answered = world.egress("pod1", &answer);
        answered.passes_as(&answer.from(first.cluster_ip()));
        let answer = flavour.answer(endpoint, source);
        let answered = world.egress("pod1", &answer);
        answered.passes_as(&answer.from(second.cluster_ip()).to(client));
        world
            .ingress("pod1", &request)
            .passes_as(&request.from(source).to(endpoint));
    }
}

/// Another endpoint is cheaper than another port: with two endpoints, one of them taken, both of
/// two tries hit the taken one in a quarter of the flows; with one try it would be half of them.
#[test]
fn another_endpoint_is_tried_before_another_source_port() {
    const FLOWS: u16 = 400;
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let taken = flavour.remote_pod(1).at(POD_PORT);
        let free = flavour.remote_pod(2).at(POD_PORT);
        let first = Shop::new(flavour, 1).elsewhere(taken.ip());
        let second = Shop::new(flavour, 2)
            .elsewhere(taken.ip())
            .elsewhere(free.ip());
        world.serve(&[&first, &second]);

        let mut translated = 0;
        for port in 40_000..40_000 + FLOWS {
            let client = flavour.local_pod(1).at(port);
            let request = flavour.first(client, first.cluster_ip());
            world
                .ingress("pod1", &request)
                .passes_as(&request.to(taken));
            let request = flavour.first(client, second.cluster_ip());
            let outcome = world.ingress("pod1", &request);
            if outcome.source() == client {
                outcome.passes_as(&request.to(free));
            } else {
                translated += 1;
            }
        }

        // Six standard deviations from either.
        assert!((45..150).contains(&translated), "{flavour:?}: {translated}");
    }
}

#[test]
fn many_flows_of_one_client_port_are_told_apart() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shops: Vec<_> = (1..=9)
            .map(|number| Shop::new(flavour, number).elsewhere(endpoint.ip()))
            .collect();
        world.serve(&shops.iter().collect::<Vec<_>>());
        let client = flavour.local_pod(1).at(40_000);
        let frontends: Vec<_> = shops
            .iter()
            .flat_map(|shop| [shop.cluster_ip(), shop.vip(), shop.external_ip()])
            .collect();

        let sources: Vec<_> = frontends
            .iter()
            .map(|frontend| {
                world
                    .ingress("pod1", &flavour.first(client, *frontend))
                    .source()
            })
            .collect();

        assert_eq!(
            sources.iter().collect::<BTreeSet<_>>().len(),
            frontends.len()
        );
        for (source, frontend) in sources.iter().zip(&frontends) {
            let answer = flavour.answer(endpoint, *source);
            let answered = world.egress("pod1", &answer);
            answered.passes_as(&answer.from(*frontend).to(client));
        }
    }
}

/// Stray segments of the old connection may still be on their way.
#[test]
fn a_closed_flow_still_holds_its_tuple() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let first = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        let second = Shop::new(flavour, 2).elsewhere(endpoint.ip());
        world.serve(&[&first, &second]);
        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, first.cluster_ip());
        world
            .ingress("pod1", &request)
            .passes_as(&request.to(endpoint));
        let refusal = tcp(endpoint, client).rst().ack();
        world
            .egress("pod1", &refusal)
            .passes_as(&refusal.from(first.cluster_ip()));

        let request = flavour.first(client, second.cluster_ip());
        let outcome = world.ingress("pod1", &request);

        assert_ne!(outcome.source(), client);
        let outcome = outcome.counts(Counter::NewFlow);
        assert!(!outcome.is_dropped());
    }
}
