//! Who may answer: traffic policies, and services that are gone.

use netproxy_common::Counter;

use crate::world::{At as _, Flavour, POD_PORT, Shop, World};

#[test]
fn a_local_policy_without_an_endpoint_here_answers_nobody_but_external_clients_of_this_node() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip()).local_only();
        world.serve(&[&shop]);
        let pod = flavour.local_pod(1).at(40_000);
        let outside = flavour.outside().at(40_000);

        let internal = flavour.first(pod, shop.cluster_ip());
        world
            .ingress("pod1", &internal)
            .drops(Counter::NoLocalEndpoint);
        for frontend in [shop.node_port(), shop.vip(), shop.external_ip()] {
            let external = flavour.first(outside, frontend);
            world
                .ingress("eth0", &external)
                .drops(Counter::NoLocalEndpoint);
        }
        let external = flavour.first(pod, shop.vip());
        world
            .ingress("pod1", &external)
            .passes_as(&external.to(endpoint));
    }
}

#[test]
fn a_local_policy_chooses_among_the_endpoints_here() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let here = flavour.local_pod(2).at(POD_PORT);
        let shop = (1..=20)
            .fold(Shop::new(flavour, 1), |shop, number| {
                shop.elsewhere(flavour.remote_pod(number))
            })
            .here(here.ip())
            .local_only();
        world.serve(&[&shop]);
        for port in 40_000..40_020 {
            let internal = flavour.first(flavour.local_pod(1).at(port), shop.cluster_ip());
            world
                .ingress("pod1", &internal)
                .passes_as(&internal.to(here));
            let external = flavour.first(flavour.outside().at(port), shop.node_port());
            world
                .ingress("eth0", &external)
                .passes_as(&external.to(here));
        }
    }
}

#[test]
fn a_service_that_is_gone_is_left_to_others() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);

        world
            .datapath()
            .apply(&[(shop.name(), Vec::new())])
            .unwrap();

        let client = flavour.local_pod(1).at(40_000);
        for frontend in [shop.cluster_ip(), shop.node_port(), shop.vip()] {
            let request = flavour.first(client, frontend);
            world
                .ingress("pod1", &request)
                .passes_untouched()
                .counts_nothing();
        }
    }
}
