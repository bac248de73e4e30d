//! Flows of datagrams that another proxy began are left to it; connections need no such care.

use netproxy_common::FlowKind;

use crate::world::{At as _, Flavour, Shop, World};

#[test]
fn while_another_proxy_serves_unknown_datagrams_are_left_to_it_and_noted() {
    for flavour in Flavour::UDP {
        let mut world = World::new();
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        world.datapath().leave_datagrams(true).unwrap();
        let client = flavour.local_pod(1).at(40_000);
        let datagram = flavour.first(client, shop.cluster_ip());

        world.ingress("pod1", &datagram).passes_untouched();
        world.datapath().leave_datagrams(false).unwrap();

        assert_eq!(world.flow().kind, FlowKind::Foreign);
        world.ingress("pod1", &datagram).passes_untouched();
        let other = flavour.local_pod(1).at(40_001);
        let outcome = world.ingress("pod1", &flavour.first(other, shop.cluster_ip()));
        assert_ne!(outcome.destination(), shop.cluster_ip());
    }
}

#[test]
fn a_datagram_left_to_another_proxy_is_looked_at_again_when_its_endpoint_is_gone() {
    for flavour in Flavour::UDP {
        let mut world = World::new();
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        world.datapath().leave_datagrams(true).unwrap();
        let client = flavour.local_pod(1).at(40_000);
        let datagram = flavour.first(client, shop.cluster_ip());
        world.ingress("pod1", &datagram).passes_untouched();
        world.datapath().leave_datagrams(false).unwrap();

        world.serve(&[&Shop::new(flavour, 1).here(flavour.local_pod(3))]);

        let outcome = world.ingress("pod1", &datagram);
        assert_eq!(outcome.destination().ip(), flavour.local_pod(3));
    }
}

#[test]
fn connections_are_ours_from_their_first_segment_on() {
    for flavour in Flavour::TCP {
        let mut world = World::new();
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        world.datapath().leave_datagrams(true).unwrap();
        let client = flavour.local_pod(1).at(40_000);

        let outcome = world.ingress("pod1", &flavour.first(client, shop.cluster_ip()));

        assert_ne!(outcome.destination(), shop.cluster_ip());
        assert_eq!(world.flow().kind, FlowKind::Edge);
    }
}
