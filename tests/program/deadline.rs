//! Deadlines: a flow past its deadline counts as absent, whether or not the agent has removed it.

use netproxy_common::Counter;

use crate::world::{At as _, Flavour, Half, POD_PORT, Shop, World};

/// A flow through `shop` to `endpoint` that has come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Opening,
    Assured,
}

const BOTH: [Reached; 2] = [Reached::Opening, Reached::Assured];

/// Serves a service with one endpoint elsewhere, and opens a pod's flow to it.
fn open(world: &mut World, flavour: Flavour, reached: Reached) -> Shop {
    let endpoint = flavour.remote_pod(1).at(POD_PORT);
    let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
    world.forget_flows();
    world.serve(&[&shop]);
    let client = flavour.local_pod(1).at(40_000);
    let request = flavour.first(client, shop.cluster_ip());
    world
        .ingress("pod1", &request)
        .passes_as(&request.to(endpoint));
    if reached == Reached::Assured {
        let answer = flavour.answer(endpoint, client);
        world
            .egress("pod1", &answer)
            .passes_as(&answer.from(shop.cluster_ip()));
        let later = flavour.later(client, shop.cluster_ip());
        world.ingress("pod1", &later).passes_as(&later.to(endpoint));
    }
    assert_eq!(world.flow().is_assured, reached == Reached::Assured);
    shop
}

fn outlive(world: &World) {
    world.outlive(Half::Forward);
    world.outlive(Half::Reply);
}

#[test]
fn a_flow_past_its_deadline_translates_nothing() {
    let mut world = World::new();
    for (flavour, reached) in Flavour::TCP.into_iter().flat_map(|f| BOTH.map(|r| (f, r))) {
        let shop = open(&mut world, flavour, reached);
        let client = flavour.local_pod(1).at(40_000);

        outlive(&world);

        let answer = flavour.answer(flavour.remote_pod(1).at(POD_PORT), client);
        world.egress("pod1", &answer).passes_untouched();
        let later = flavour.later(client, shop.cluster_ip());
        let outcome = world.ingress("pod1", &later);
        outcome
            .passes_untouched()
            .counts(Counter::UnknownConnection);
    }
}

#[test]
fn a_client_opens_a_flow_anew_after_its_deadline() {
    let mut world = World::new();
    for (flavour, reached) in Flavour::ALL.into_iter().flat_map(|f| BOTH.map(|r| (f, r))) {
        let shop = open(&mut world, flavour, reached);
        let successor = flavour.remote_pod(2).at(POD_PORT);
        let shop = shop.without_endpoints().elsewhere(successor.ip());
        world.serve(&[&shop]);

        outlive(&world);

        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, shop.cluster_ip());
        for _ in 0..2 {
            let outcome = world.ingress("pod1", &request);
            outcome.passes_as(&request.clone().to(successor));
        }
        let answer = flavour.answer(successor, client);
        let answered = world.egress("pod1", &answer);
        answered.passes_as(&answer.from(shop.cluster_ip()));
        assert_eq!(world.flow().endpoint, successor);
    }
}

#[test]
fn one_living_half_keeps_a_flow_alive() {
    let mut world = World::new();
    for (flavour, reached) in Flavour::ALL.into_iter().flat_map(|f| BOTH.map(|r| (f, r))) {
        for half in [Half::Forward, Half::Reply] {
            let shop = open(&mut world, flavour, reached);
            let endpoint = flavour.remote_pod(1).at(POD_PORT);

            world.outlive(half);

            assert_eq!(world.datapath().expire_flows().unwrap(), 0);
            let client = flavour.local_pod(1).at(40_000);
            let later = flavour.later(client, shop.cluster_ip());
            let outcome = world.ingress("pod1", &later);
            outcome.passes_as(&later.to(endpoint));
            let answer = flavour.answer(endpoint, client);
            let outcome = world.egress("pod1", &answer);
            outcome.passes_as(&answer.from(shop.cluster_ip()));
        }
    }
}

#[test]
fn the_tuple_of_a_flow_past_its_deadline_is_free() {
    let mut world = World::new();
    for (flavour, reached) in Flavour::ALL.into_iter().flat_map(|f| BOTH.map(|r| (f, r))) {
        let first = open(&mut world, flavour, reached);
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let second = Shop::new(flavour, 2).elsewhere(endpoint.ip());
        world.serve(&[&second]);

        outlive(&world);

        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, second.cluster_ip());
        world
            .ingress("pod1", &request)
            .passes_as(&request.to(endpoint));
        let answer = flavour.answer(endpoint, client);
        let answered = world.egress("pod1", &answer);
        answered.passes_as(&answer.clone().from(second.cluster_ip()));
        // The first one's client comes back: its tuple is another's now.
        let request = flavour.first(client, first.cluster_ip());
        let outcome = world.ingress("pod1", &request);
        let source = outcome.source();
        assert_ne!(source, client);
        outcome.passes_as(&request.from(source).to(endpoint));
        let answered = world.egress("pod1", &answer);
        answered.passes_as(&answer.from(second.cluster_ip()));
    }
}

#[test]
fn the_agent_removes_flows_past_their_deadline_and_no_others() {
    let mut world = World::new();
    for (flavour, reached) in Flavour::ALL.into_iter().flat_map(|f| BOTH.map(|r| (f, r))) {
        let shop = open(&mut world, flavour, reached);
        outlive(&world);
        let client = flavour.local_pod(1).at(40_001);
        let request = flavour.first(client, shop.cluster_ip());
        let _ = world.ingress("pod1", &request);

        let removed = world.datapath().expire_flows().unwrap();

        assert_eq!(removed, 2);
        assert_eq!(world.flow().client, client);
    }
}
