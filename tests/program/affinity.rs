//! Clients that stick to an endpoint (`sessionAffinity: ClientIP`): for how long, where, and what
//! ends it.

mod visitor;

use std::collections::BTreeSet;

use netproxy::model::Protocol;

use self::visitor::{Visitor, visit, visitors};
use crate::world::{Asker, At as _, Context, Flavour, POD_PORT, Shop, World};

/// As long as Kubernetes has it unless told.
const AFFINITY_S: u32 = 10_800;

/// So many endpoints that nobody is taken to the same one again by chance, a few times in a row.
const ENDPOINTS: u16 = 40;

/// A service with endpoints elsewhere.
fn wide(flavour: Flavour, number: u8) -> Shop {
    (1..=ENDPOINTS).fold(Shop::new(flavour, number), |shop, number| {
        shop.elsewhere(flavour.remote_pod(number))
    })
}

#[test]
fn a_client_sticks_to_one_endpoint_through_every_frontend() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour, 1).sticky(AFFINITY_S);
        world.serve(&[&shop]);
        let (cluster, vip, external) = (shop.cluster_ip(), shop.vip(), shop.external_ip());
        for (asker, frontends) in [
            (Asker::Pod, vec![cluster, vip, external, shop.node_port()]),
            (
                Asker::Outside,
                vec![shop.node_port(), external, vip, cluster],
            ),
            (Asker::Process, vec![cluster, vip, external]),
        ] {
            let mut visitor = Visitor::new(flavour, asker);
            let endpoint = visitor.visits(&world, frontends[0]);
            for frontend in frontends.iter().cycle().take(12) {
                assert_eq!(visitor.visits(&world, *frontend), endpoint, "{asker:?}");
            }
        }
    }
}

#[test]
fn every_client_has_an_endpoint_of_its_own() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour, 1).sticky(AFFINITY_S);
        world.serve(&[&shop]);

        let endpoints = visit(&mut visitors(flavour), &world, shop.node_port());

        let different: BTreeSet<_> = endpoints.iter().collect();
        assert!(different.len() > 1, "{endpoints:?}");
    }
}

#[test]
fn services_do_not_share_their_clients() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let first = wide(flavour, 1).sticky(AFFINITY_S);
        let second = wide(flavour, 2).sticky(AFFINITY_S);
        world.serve(&[&first, &second]);
        let mut visitors = visitors(flavour);

        let at_first = visit(&mut visitors, &world, first.vip());
        let at_second = visit(&mut visitors, &world, second.vip());

        assert_ne!(at_first, at_second);
        assert_eq!(visit(&mut visitors, &world, first.vip()), at_first);
        assert_eq!(visit(&mut visitors, &world, second.vip()), at_second);
    }
}

#[test]
fn a_client_whose_endpoint_is_gone_sticks_to_another() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour, 1).sticky(AFFINITY_S);
        world.serve(&[&shop]);
        for asker in Asker::ALL {
            let mut visitor = Visitor::new(flavour, asker);
            let gone = visitor.visits(&world, shop.cluster_ip());

            world.serve(&[&shop.clone().without(gone.ip())]);
            let successor = visitor.visits(&world, shop.cluster_ip());
            world.serve(&[&shop]);

            assert_ne!(successor, gone);
            for _ in 0..5 {
                assert_eq!(visitor.visits(&world, shop.cluster_ip()), successor);
            }
        }
    }
}

#[test]
fn a_client_leaves_an_endpoint_that_ends_unless_all_do() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour, 1).sticky(AFFINITY_S);
        world.serve(&[&shop]);
        let mut visitor = Visitor::new(flavour, Asker::Outside);
        let vip = shop.vip();
        let endpoint = visitor.visits(&world, vip);

        world.serve(&[&shop.clone().ending()]);
        for _ in 0..5 {
            assert_eq!(visitor.visits(&world, vip), endpoint);
        }
        let fresh = flavour.local_pod(2).at(POD_PORT);
        world.serve(&[&shop.ending().here(fresh.ip())]);
        for _ in 0..5 {
            assert_eq!(visitor.visits(&world, vip), fresh);
        }
    }
}

#[test]
fn a_client_sticks_only_to_what_the_policy_allows_it() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let here = flavour.local_pod(2).at(POD_PORT);
        let shop = wide(flavour, 1).sticky(AFFINITY_S);
        world.serve(&[&shop]);
        let mut outside = Visitor::new(flavour, Asker::Outside);
        let mut pod = Visitor::new(flavour, Asker::Pod);
        let far = pod.visits(&world, shop.vip());
        assert_ne!(outside.visits(&world, shop.vip()), here);

        let shop = shop.here(here.ip()).local_only();
        world.serve(&[&shop]);

        assert_eq!(outside.visits(&world, shop.vip()), here);
        // A pod of this node may use all of them from outside (KEP-2086), but not inside.
        assert_eq!(pod.visits(&world, shop.vip()), far);
        assert_eq!(pod.visits(&world, shop.cluster_ip()), here);
        assert_eq!(pod.visits(&world, shop.vip()), here);
    }
}

#[test]
fn a_client_that_stays_away_is_free_and_one_that_comes_back_is_not() {
    /// Less than the affinity, more than half of it.
    const WHILE_S: u32 = 10_000;
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour, 1).sticky(AFFINITY_S);
        world.serve(&[&shop]);
        let mut visitors = visitors(flavour);
        let endpoints = visit(&mut visitors, &world, shop.vip());

        for _ in 0..3 {
            assert!(world.age_affinities(WHILE_S) >= endpoints.len());
            assert_eq!(visit(&mut visitors, &world, shop.vip()), endpoints);
        }
        world.age_affinities(AFFINITY_S);
        let others = visit(&mut visitors, &world, shop.vip());

        assert_ne!(others, endpoints);
        assert_eq!(visit(&mut visitors, &world, shop.vip()), others);
    }
}

/// As kube-proxy's: its rules see the first packet of a flow.
#[test]
fn packets_of_an_open_flow_do_not_make_a_client_stick_longer() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour, 1).sticky(AFFINITY_S);
        world.serve(&[&shop]);
        let mut visitors = visitors(flavour);
        let endpoints = visit(&mut visitors, &world, shop.vip());

        world.age_affinities(AFFINITY_S);
        for (visitor, endpoint) in visitors.iter().zip(&endpoints) {
            let later = flavour.later(visitor.address.at(visitor.port), shop.vip());
            let outcome = visitor.asker.sends(&world, &later);
            assert_eq!(outcome.destination(), *endpoint);
        }

        assert_ne!(visit(&mut visitors, &world, shop.vip()), endpoints);
    }
}

#[test]
fn a_client_is_free_as_soon_as_affinity_is_switched_off() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour, 1).sticky(AFFINITY_S);
        world.serve(&[&shop]);
        let mut visitor = Visitor::new(flavour, Asker::Outside);
        let endpoint = visitor.visits(&world, shop.vip());
        assert_eq!(visitor.visits(&world, shop.vip()), endpoint);

        let shop = shop.not_sticky();
        world.serve(&[&shop]);

        let endpoints: BTreeSet<_> = (0..8).map(|_| visitor.visits(&world, shop.vip())).collect();
        assert!(endpoints.len() > 1, "{endpoints:?}");
    }
}

#[test]
fn a_client_sticks_while_no_agent_runs_and_when_a_new_one_does() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour, 1).sticky(AFFINITY_S);
        world.serve(&[&shop]);
        let mut visitor = Visitor::new(flavour, Asker::Outside);
        let endpoint = visitor.visits(&world, shop.vip());
        let hook = world.ingress_hook("eth0");

        world.stop();
        for port in 50_000..50_004 {
            let request = flavour.first(visitor.address.at(port), shop.vip());
            let about = Context {
                came_in_by: hook.ifindex(),
                ..Context::default()
            };
            assert_eq!(hook.run(&request, about).destination(), endpoint);
        }
        world.start();
        world.serve(&[&shop]);

        for _ in 0..4 {
            assert_eq!(visitor.visits(&world, shop.vip()), endpoint);
        }
    }
}

/// The endpoint is looked for in each sorted segment of those that the client may use.
#[test]
fn an_endpoint_is_found_wherever_it_stands_and_nothing_else_is() {
    const IN_EACH: u16 = 70;
    let mut world = World::new();
    for flavour in [Flavour::TCP, Flavour::UDP].concat() {
        // Gaps between the addresses, and the segments' addresses interleaved.
        let pods =
            |segment: u16| (1..=IN_EACH).map(move |step| flavour.remote_pod(step * 12 + segment));
        let shop = Shop::new(flavour, 1).sticky(AFFINITY_S);
        let shop = pods(1).fold(shop, Shop::here);
        let shop = pods(2).fold(shop, Shop::elsewhere).hinted_here();
        let shop = pods(4).fold(shop, Shop::here);
        let shop = pods(5).fold(shop, Shop::elsewhere);
        let ready = shop.endpoints();
        let between: Vec<_> = pods(7).map(|pod| pod.at(POD_PORT)).collect();
        world.serve(&[&shop]);
        let mut visitor = Visitor::new(flavour, Asker::Outside);
        let _ = visitor.visits(&world, shop.vip());

        // Of UDP the same code runs; the ends of the segments are enough.
        let step = if flavour.protocol == Protocol::Tcp {
            1
        } else {
            23
        };
        for endpoint in ready.iter().step_by(step) {
            world.stick_to(*endpoint);
            assert_eq!(visitor.visits(&world, shop.vip()), *endpoint);
        }
        let strangers = [
            flavour.remote_pod(0).at(POD_PORT),
            flavour.remote_pod(u16::MAX / 4).at(POD_PORT),
            ready[0].ip().at(POD_PORT - 1),
            ready[0].ip().at(POD_PORT + 1),
            between[0],
            between[between.len() - 1],
        ];
        for stranger in strangers {
            world.stick_to(stranger);
            let endpoint = visitor.visits(&world, shop.vip());
            assert!(ready.contains(&endpoint), "{stranger} -> {endpoint}");
        }
    }
}
