//! Edge flows: the destination is translated where the client's packet comes in, and restored
//! where the answer leaves towards the client.

use std::collections::BTreeSet;

use netproxy_common::{Counter, FlowKind};

use crate::world::{At as _, Flavour, POD_PORT, Shop, World};

#[test]
fn a_pod_reaches_endpoints_here_and_elsewhere_through_a_cluster_ip() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shops = [
            (
                Shop::new(flavour, 1).here(flavour.local_pod(2)),
                flavour.local_pod(2),
            ),
            (
                Shop::new(flavour, 2).elsewhere(flavour.remote_pod(1)),
                flavour.remote_pod(1),
            ),
        ];
        for (shop, endpoint) in shops {
            world.serve(&[&shop]);
            let endpoint = endpoint.at(POD_PORT);
            let client = flavour.local_pod(1).at(40_000);

            let request = flavour.first(client, shop.cluster_ip());
            let requested = world.ingress("pod1", &request);
            let answer = flavour.answer(endpoint, client);
            let answered = world.egress("pod1", &answer);

            requested.passes_as(&request.to(endpoint));
            answered.passes_as(&answer.from(shop.cluster_ip()));
        }
    }
}

#[test]
fn a_client_outside_reaches_an_endpoint_here_through_every_kind_of_frontend() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(endpoint.ip());
        world.serve(&[&shop]);
        let frontends = [
            shop.cluster_ip(),
            shop.node_port(),
            shop.vip(),
            shop.external_ip(),
        ];
        for (port, frontend) in (40_000..).zip(frontends) {
            let client = flavour.outside().at(port);

            let request = flavour.first(client, frontend);
            let requested = world.ingress("eth0", &request);
            let answer = flavour.answer(endpoint, client);
            let answered = world.egress("eth0", &answer);

            requested.passes_as(&request.to(endpoint));
            answered.passes_as(&answer.from(frontend));
        }
    }
}

#[test]
fn an_answer_on_its_way_by_the_wrong_uplink_is_routed_by_the_frontends_address() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.outside().at(40_000);
        let [right, wrong] = [client, flavour.outside().at(40_001)];
        for (client, device) in [(right, "eth0"), (wrong, "eth1")] {
            let request = flavour.first(client, shop.node_port());
            let requested = world.ingress(device, &request);
            requested.passes_as(&request.to(endpoint));
        }

        let answer = flavour.answer(endpoint, right);
        let answered = answer.clone().from(shop.node_port());
        world.egress("eth0", &answer).passes_as(&answered);
        world.egress("eth1", &answer).redirects_as(&answered);
        // A bridge floods its ports with what it does not know.
        world.egress("pod3", &answer).passes_as(&answered);

        // There is no better way.
        let answer = flavour.answer(endpoint, wrong);
        let answered = answer.clone().from(shop.node_port());
        world.egress("eth0", &answer).passes_as(&answered);
    }
}

#[test]
fn every_packet_of_a_flow_goes_to_the_same_endpoint() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = (1..=20).fold(Shop::new(flavour, 1), |shop, number| {
            shop.elsewhere(flavour.remote_pod(number))
        });
        world.serve(&[&shop]);
        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, shop.cluster_ip());
        let endpoint = world.ingress("pod1", &request).destination();

        for _ in 0..5 {
            world
                .ingress("pod1", &request)
                .passes_as(&request.clone().to(endpoint));
        }
        let later = flavour.later(client, shop.cluster_ip());
        world
            .ingress("pod1", &later)
            .passes_as(&later.clone().to(endpoint));
    }
}

#[test]
fn a_second_hook_leaves_a_translated_packet_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, shop.cluster_ip());
        let answer = flavour.answer(endpoint, client);

        world
            .ingress("pod1", &request)
            .passes_as(&request.clone().to(endpoint));
        let translated = request.to(endpoint);
        world
            .ingress("pod1", &translated)
            .passes_untouched()
            .counts_nothing();
        world
            .egress("eth0", &translated)
            .passes_untouched()
            .counts_nothing();

        world
            .ingress("eth0", &answer)
            .passes_untouched()
            .counts_nothing();
        world
            .egress("pod1", &answer)
            .passes_as(&answer.clone().from(shop.cluster_ip()));
        let restored = answer.from(shop.cluster_ip());
        world
            .egress("pod1", &restored)
            .passes_untouched()
            .counts_nothing();
    }
}

#[test]
fn a_pod_behind_a_bridge_is_on_this_node() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let request = flavour.first(flavour.local_pod(3).at(40_000), shop.cluster_ip());

        let outcome = world.ingress("pod3", &request);

        outcome.passes_as(&request.to(endpoint));
    }
}

#[test]
fn a_frame_for_another_host_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        for (device, client) in [("eth0", flavour.outside()), ("pod3", flavour.local_pod(3))] {
            for frontend in [shop.cluster_ip(), shop.vip()] {
                let request = flavour
                    .first(client.at(40_000), frontend)
                    .with_mac([2, 0, 0, 0, 0, 99]);

                world.ingress(device, &request).passes_untouched();
            }
        }
    }
    assert_eq!(world.flows(), []);
}

#[test]
fn an_address_that_is_not_routed_back_to_the_pods_device_is_outside() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).elsewhere(flavour.remote_pod(1));
        world.serve(&[&shop]);
        let request = flavour.first(flavour.local_pod(2).at(40_000), shop.cluster_ip());

        let outcome = world.ingress("pod1", &request);

        assert_eq!(outcome.source().ip(), flavour.node(), "{outcome:?}");
        let flows = world.flows();
        assert_eq!(flows.last().unwrap().kind, FlowKind::Whole, "{flows:?}");
    }
}

#[test]
fn devices_without_a_link_layer_translate_alike() {
    let mut world = World::new().with_layer_3();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(endpoint.ip());
        let far = flavour.remote_pod(1).at(POD_PORT);
        let far_shop = Shop::new(flavour, 2).elsewhere(far.ip());
        world.serve(&[&shop, &far_shop]);
        let client = flavour.outside().at(40_000);

        let request = flavour.first(client, shop.node_port()).without_link_layer();
        world
            .ingress("tun0", &request)
            .passes_as(&request.clone().to(endpoint));
        let far_request = flavour
            .first(client, far_shop.cluster_ip())
            .without_link_layer();
        let far_outcome = world.ingress("tun0", &far_request);
        let source = far_outcome.source();
        far_outcome.redirects_as(&far_request.clone().from(source).to(far).ttl(63));

        // The endpoint's answers must be told apart from IP addresses that look like an EtherType,
        // so the far pod is the one that answers here.
        let near_client = flavour.local_pod(1).at(40_000);
        let near_request = flavour.first(near_client, far_shop.cluster_ip());
        world
            .ingress("pod1", &near_request)
            .passes_as(&near_request.clone().to(far));
        let answer = flavour.answer(far, near_client).without_link_layer();
        world
            .egress("tun0", &answer)
            .passes_as(&answer.clone().from(far_shop.cluster_ip()));
    }
}

#[test]
fn a_cluster_ip_that_a_device_of_the_node_owns_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        let own = BTreeSet::from([flavour.node(), shop.cluster_ip().ip()]);
        world.datapath().set_node_addresses(&own, &own).unwrap();
        let request = flavour.first(flavour.local_pod(1).at(40_000), shop.cluster_ip());
        let sent = flavour.first(flavour.node().at(40_000), shop.cluster_ip());

        world
            .ingress("pod1", &request)
            .passes_untouched()
            .counts_nothing();
        world
            .sent("eth0", &sent)
            .passes_untouched()
            .counts_nothing();
    }
}

#[test]
fn node_ports_answer_on_the_addresses_given_and_nowhere_else() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.outside().at(40_000);
        let port = shop.node_port().port();
        let given = flavour.first(client, shop.node_port());

        world
            .ingress("eth0", &given)
            .passes_as(&given.clone().to(endpoint));
        let unused = flavour.first(client, shop.cluster_ip().ip().at(port));
        world.ingress("eth0", &unused).refuses(Counter::UnusedPort);
        for address in [flavour.bridge(), shop.vip().ip()] {
            let other = flavour.first(client, address.at(port));
            world
                .ingress("eth0", &other)
                .passes_untouched()
                .counts_nothing();
        }
    }
}
