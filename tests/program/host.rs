//! Host flows: processes of this node that the socket hooks did not serve, translated where their
//! packets leave; answers are handed to the stack as if they came in there.

use netproxy_common::{Counter, FlowKind};

use crate::world::{At as _, Flavour, NODE_MAC, POD_PORT, Shop, World};

/// The hardware address of a pod's host end.
const POD_DEVICE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

#[test]
fn a_process_reaches_an_endpoint_here_under_the_nodes_address() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(endpoint.ip());
        world.serve(&[&shop]);
        let frontends = [shop.cluster_ip(), shop.vip(), shop.external_ip()];
        for (port, frontend) in (40_000..).zip(frontends) {
            let client = flavour.node().at(port);

            let request = flavour.first(client, frontend);
            let requested = world.sent("eth0", &request);
            let answer = flavour.answer(endpoint, client).with_mac(POD_DEVICE_MAC);
            let answered = world.ingress("pod1", &answer);

            requested.redirects_as(&request.to(endpoint));
            answered.redirects_as(&answer.from(frontend).with_mac(NODE_MAC));
        }
    }
}

#[test]
fn a_process_reaches_an_endpoint_elsewhere() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.node().at(40_000);

        let request = flavour.first(client, shop.cluster_ip());
        let requested = world.sent("eth0", &request);
        let answer = flavour.answer(endpoint, client);
        let answered = world.ingress("eth0", &answer);

        requested.redirects_as(&request.to(endpoint));
        answered.passes_as(&answer.from(shop.cluster_ip()));
    }
}

#[test]
fn a_process_with_another_address_of_the_node_uses_that_of_the_route() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.bridge().at(40_000);

        let request = flavour.first(client, shop.cluster_ip());
        let requested = world.sent("eth0", &request);
        let source = requested.source();
        let answer = flavour.answer(endpoint, source);
        let answered = world.ingress("eth0", &answer);

        assert_eq!(source.ip(), flavour.node());
        requested.redirects_as(&request.from(source).to(endpoint));
        answered.passes_as(&answer.from(shop.cluster_ip()).to(client));
    }
}

#[test]
fn a_service_that_the_node_itself_answers_is_left_to_the_socket_hooks() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.node());
        world.serve(&[&shop]);
        let request = flavour.first(flavour.node().at(40_000), shop.cluster_ip());

        let outcome = world.sent("eth0", &request);

        outcome.drops(Counter::HostToItself);
    }
}

#[test]
fn forwarded_packets_are_no_processs() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
        world.serve(&[&shop]);
        let forwarded = flavour.first(flavour.node().at(40_000), shop.cluster_ip());
        let foreign = flavour.first(flavour.local_pod(2).at(40_000), shop.cluster_ip());

        world
            .egress("eth0", &forwarded)
            .passes_untouched()
            .counts_nothing();
        world
            .sent("eth0", &foreign)
            .passes_untouched()
            .counts_nothing();
    }
}

#[test]
fn later_packets_of_a_process_keep_their_endpoint() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = (1..=20).fold(Shop::new(flavour, 1), |shop, number| {
            shop.elsewhere(flavour.remote_pod(number))
        });
        world.serve(&[&shop]);
        let client = flavour.node().at(40_000);
        let request = flavour.first(client, shop.cluster_ip());
        let endpoint = world.sent("eth0", &request).destination();
        let answer = flavour.answer(endpoint, client);
        world
            .ingress("eth0", &answer)
            .passes_as(&answer.clone().from(shop.cluster_ip()));

        let later = flavour.later(client, shop.cluster_ip());
        let outcome = world.sent("eth0", &later);

        outcome.redirects_as(&later.to(endpoint));
        let flows = world.flows();
        assert!(
            flows
                .iter()
                .all(|flow| flow.is_assured && flow.kind == FlowKind::Host),
            "{flows:?}"
        );
    }
}

/// It has crossed no router yet, whichever device it is sent by.
#[test]
fn a_process_may_send_over_one_hop() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(endpoint.ip());
        world.serve(&[&shop]);
        let request = flavour
            .first(flavour.node().at(40_000), shop.cluster_ip())
            .ttl(1);

        let outcome = world.sent("eth0", &request);

        outcome.redirects_as(&request.to(endpoint));
    }
}
