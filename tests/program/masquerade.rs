//! Flows that hide the client's address although its answer would come back by itself, as
//! kube-proxy's do (`Masquerade`).

use std::net::{IpAddr, SocketAddr};

use netproxy::settings::Masquerade;
use netproxy_common::FlowKind;

use crate::world::{Asker, At as _, Flavour, POD_PORT, Shop, World};

/// A service with one endpoint on this node, where clients are hidden in this way.
fn shop(flavour: Flavour, masquerade: Masquerade) -> Shop {
    Shop::new(flavour, 1)
        .here(flavour.local_pod(2))
        .masquerading(masquerade)
}

/// Serves `shop` to a client that asks at `frontend`: whom its endpoint sees.
#[track_caller]
fn seen(world: &mut World, flavour: Flavour, asker: Asker, shop: &Shop, at: SocketAddr) -> IpAddr {
    let endpoint = shop.endpoints()[0];
    world.forget_flows();
    world.serve(&[shop]);
    let client = asker.address(flavour).at(40_000);
    let request = flavour.first(client, at);
    let outcome = asker.sends(world, &request);
    let source = outcome.source();
    if source == client {
        outcome.passes_as(&request.to(endpoint));
        assert_eq!(world.flow().kind, FlowKind::Edge);
        return source.ip();
    }
    outcome.redirects_as(&request.from(source).to(endpoint).ttl(63));
    assert_eq!(world.flow().kind, FlowKind::Whole);
    // The answer comes in where the endpoint is, and goes on past the stack.
    let answer = flavour.answer(endpoint, source);
    let device = if endpoint.ip() == flavour.local_pod(2) {
        "pod2"
    } else {
        "eth0"
    };
    let answered = world.ingress(device, &answer);
    answered.redirects_as(&answer.from(at).to(client).ttl(63));
    source.ip()
}

#[test]
fn external_destinations_hide_every_client_under_external() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = shop(flavour, Masquerade::External);
        for asker in [Asker::Pod, Asker::Outside] {
            for frontend in [shop.node_port(), shop.vip(), shop.external_ip()] {
                let seen = seen(&mut world, flavour, asker, &shop, frontend);
                assert_eq!(seen, flavour.source_towards_pods(), "{asker:?} {frontend}");
            }
        }
    }
}

#[test]
fn cluster_ips_hide_the_outside_but_no_pod_under_external() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = shop(flavour, Masquerade::External);
        let at = shop.cluster_ip();

        let pod = seen(&mut world, flavour, Asker::Pod, &shop, at);
        let outside = seen(&mut world, flavour, Asker::Outside, &shop, at);

        assert_eq!(pod, flavour.local_pod(1));
        assert_eq!(outside, flavour.source_towards_pods());
    }
}

#[test]
fn cluster_ips_hide_pods_too_under_all() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let near = shop(flavour, Masquerade::All);
        let far = near
            .clone()
            .without_endpoints()
            .elsewhere(flavour.remote_pod(1));
        for asker in [Asker::Pod, Asker::Outside] {
            let at = near.cluster_ip();
            let seen_near = seen(&mut world, flavour, asker, &near, at);
            let seen_far = seen(&mut world, flavour, asker, &far, at);

            assert_eq!(seen_near, flavour.source_towards_pods(), "{asker:?}");
            assert_eq!(seen_far, flavour.node(), "{asker:?}");
        }
    }
}

/// The client's address is what the policy is for.
#[test]
fn external_destinations_under_policy_local_hide_nobody() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        for masquerade in [Masquerade::External, Masquerade::All] {
            let shop = shop(flavour, masquerade).local_only();
            for asker in [Asker::Pod, Asker::Outside] {
                for frontend in [shop.node_port(), shop.vip(), shop.external_ip()] {
                    let seen = seen(&mut world, flavour, asker, &shop, frontend);
                    assert_eq!(seen, asker.address(flavour), "{asker:?} {frontend}");
                }
            }
        }
    }
}

#[test]
fn where_it_is_not_needed_nobody_is_hidden() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = shop(flavour, Masquerade::Needed);
        for asker in [Asker::Pod, Asker::Outside] {
            for frontend in [shop.cluster_ip(), shop.node_port(), shop.vip()] {
                let seen = seen(&mut world, flavour, asker, &shop, frontend);
                assert_eq!(seen, asker.address(flavour), "{asker:?} {frontend}");
            }
        }
    }
}

/// The node's address is what it has anyway.
#[test]
fn a_process_of_the_node_stays_itself() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(2).at(POD_PORT);
        for masquerade in [Masquerade::External, Masquerade::All] {
            let shop = shop(flavour, masquerade);
            world.forget_flows();
            world.serve(&[&shop]);
            let request = flavour.first(flavour.node().at(40_000), shop.cluster_ip());

            let outcome = world.sent("eth0", &request);

            outcome.redirects_as(&request.to(endpoint));
            assert_eq!(world.flow().kind, FlowKind::Host);
        }
    }
}
