//! Flows of datagrams end when their endpoint serves no more, at the client's next datagram;
//! connections never do.

mod exchange;

use netproxy_common::Counter;

use self::exchange::{Exchange, Reached};
use crate::world::{At as _, Flavour, POD_PORT, World};

#[test]
fn the_next_datagram_goes_to_another_endpoint_when_its_own_is_gone() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        world.serve(&[&exchange.shop().elsewhere(exchange.second().ip())]);

        exchange.moves_to(&world, exchange.second());
    }
}

#[test]
fn a_datagram_is_refused_when_no_endpoint_is_left() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        world.serve(&[&exchange.shop()]);

        let outcome = exchange.continues(&world);
        outcome
            .refuses(Counter::NoEndpoint)
            .counts(Counter::EndpointGone);
        assert_eq!(world.flows(), []);
    }
}

#[test]
fn the_same_address_at_another_port_is_another_endpoint() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        world.serve(&[&shop.target_port(POD_PORT + 1)]);

        exchange.moves_to(&world, exchange.first().ip().at(POD_PORT + 1));
    }
}

#[test]
fn an_endpoint_that_ends_keeps_its_flows_for_as_long_as_it_serves() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        let ending = shop.clone().ending().elsewhere(exchange.second().ip());
        world.serve(&[&ending]);
        exchange.is_kept(&world);
        let ended = shop.ended().elsewhere(exchange.second().ip());
        world.serve(&[&ended]);

        exchange.moves_to(&world, exchange.second());
    }
}

/// kube-proxy's cleanup knows no policy either (pkg/proxy/conntrack/cleanup.go).
#[test]
fn a_policy_that_excludes_an_endpoint_ends_no_flow() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let here = exchange.flavour.local_pod(2);
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        world.serve(&[&shop.here(here).local_only()]);

        exchange.is_kept(&world);
        let other = exchange.client().ip().at(40_001);
        let request = exchange.flavour.first(other, exchange.frontend());
        let outcome = exchange.asker.sends(&world, &request);
        exchange.goes_to(&outcome, here.at(POD_PORT));
    }
}

#[test]
fn a_hint_that_excludes_an_endpoint_ends_no_flow() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let here = exchange.flavour.local_pod(2);
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        let hinted = shop.hinted_elsewhere().here(here).hinted_here();
        world.serve(&[&hinted]);

        exchange.is_kept(&world);
        let other = exchange.client().ip().at(40_001);
        let request = exchange.flavour.first(other, exchange.frontend());
        let outcome = exchange.asker.sends(&world, &request);
        exchange.goes_to(&outcome, here.at(POD_PORT));
    }
}

#[test]
fn a_flow_of_datagrams_ends_with_its_service() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        world
            .datapath()
            .apply(&[(shop.name(), Vec::new())])
            .unwrap();

        let outcome = exchange.continues(&world);
        outcome.passes_untouched().counts(Counter::EndpointGone);
        assert_eq!(world.flows(), []);
        let outcome = exchange.continues(&world);
        outcome.passes_untouched().counts_nothing();
    }
}

/// kube-proxy goes by the frontend, not by the port's name.
#[test]
fn a_flow_of_datagrams_outlives_the_name_of_its_port() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        let renamed = shop.elsewhere(exchange.second().ip()).port_named("new");
        world.serve(&[&renamed]);
        exchange.is_kept(&world);
        let larger = renamed.elsewhere(exchange.flavour.remote_pod(3));
        world.serve(&[&larger]);
        exchange.is_kept(&world);

        world.serve(&[&exchange
            .shop()
            .elsewhere(exchange.second().ip())
            .port_named("newer")]);
        exchange.moves_to(&world, exchange.second());
    }
}

#[test]
fn a_flow_of_datagrams_goes_on_when_its_service_is_made_anew_before_it_is_missed() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        world
            .datapath()
            .apply(&[(shop.name(), Vec::new())])
            .unwrap();
        world.serve(&[&shop.elsewhere(exchange.second().ip())]);

        exchange.is_kept(&world);
    }
}

#[test]
fn a_flow_whose_endpoint_serves_on_is_looked_at_once_for_each_change() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);
        let opened = world.generations()[0];

        let larger = shop.elsewhere(exchange.second().ip());
        world.serve(&[&larger]);
        assert_eq!(world.generations(), [opened]);
        exchange.is_kept(&world);
        assert_eq!(world.generations(), [opened + 1], "{exchange:?}");
        for number in 3..6 {
            world.serve(&[&larger
                .clone()
                .elsewhere(exchange.flavour.remote_pod(number))]);
        }

        exchange.is_kept(&world);
        assert_eq!(world.generations(), [opened + 4], "{exchange:?}");
    }
}

/// What the endpoint had sent before it went away.
#[test]
fn answers_on_their_way_reach_the_client_until_it_asks_again() {
    let mut world = World::new();
    for exchange in Exchange::all(Flavour::UDP) {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);
        let source = world.flow().source;

        world.serve(&[&exchange.shop().elsewhere(exchange.second().ip())]);

        for _ in 0..3 {
            exchange.is_answered(&world, exchange.first(), source);
        }
        exchange.moves_to(&world, exchange.second());
    }
}

#[test]
fn flows_end_alike_after_a_new_agent_has_taken_over() {
    let mut world = World::new();
    // Each start has the kernel verify the programs.
    let assured = Exchange::all(Flavour::UDP)
        .into_iter()
        .filter(|exchange| exchange.reached == Reached::Assured);
    for exchange in assured {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        exchange.open(&mut world, &shop);

        world.stop();
        world.start();
        world.serve(&[&shop]);
        exchange.is_kept(&world);
        world.stop();
        world.start();
        world.serve(&[&exchange.shop().elsewhere(exchange.second().ip())]);

        exchange.moves_to(&world, exchange.second());
    }
}

#[test]
fn no_change_of_its_service_ends_a_connection() {
    let mut world = World::new();
    let connections = Exchange::all(Flavour::TCP);
    for exchange in connections
        .into_iter()
        .filter(|exchange| exchange.reached == Reached::Assured)
    {
        let shop = exchange.shop().elsewhere(exchange.first().ip());
        let other = exchange.shop().elsewhere(exchange.second().ip());
        let changes = [
            other.clone(),
            exchange.shop(),
            shop.clone().target_port(POD_PORT + 1),
            shop.clone().ended(),
            shop.clone()
                .here(exchange.flavour.local_pod(2))
                .local_only(),
        ];
        exchange.open(&mut world, &shop);
        for change in changes {
            world.serve(&[&change]);
            let outcome = exchange.continues(&world);
            exchange.goes_to(&outcome, exchange.first());
        }
        world
            .datapath()
            .apply(&[(shop.name(), Vec::new())])
            .unwrap();
        let outcome = exchange.continues(&world);
        exchange.goes_to(&outcome, exchange.first());
    }
}
