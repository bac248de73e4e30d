//! Bridges that switch the answers of edge flows past netfilter: then the client's packets go past the
//! stack, too.

use crate::world::{At as _, Flavour, POD_PORT, Packet, Shop, World};

/// A pod behind a bridge, a service, and the pod that answers for it.
struct Visit {
    flavour: Flavour,
    shop: Shop,
}

impl Visit {
    fn new(world: &mut World, flavour: Flavour) -> Self {
        let shop = Shop::new(flavour, 1).here(flavour.neighbour_of_pod3());
        world.serve(&[&shop]);
        Self { flavour, shop }
    }

    /// The client's next packet, and how it looks to the endpoint.
    fn request(&self, is_first: bool) -> [Packet; 2] {
        let client = self.flavour.local_pod(3).at(40_000);
        let request = if is_first {
            self.flavour.first(client, self.shop.cluster_ip())
        } else {
            self.flavour.later(client, self.shop.cluster_ip())
        };
        let endpoint = self.flavour.neighbour_of_pod3().at(POD_PORT);
        [request.clone(), request.to(endpoint)]
    }

    /// The first request goes through the stack; its answer comes to the client's bridge port by a
    /// device.
    #[track_caller]
    fn begins(&self, world: &World, answer_by: &str) {
        let [request, translated] = self.request(true);
        world.ingress("pod3", &request).passes_as(&translated);
        let answer = self
            .flavour
            .answer(translated.destination(), request.source());
        let answered = world.egress_of("pod3", answer_by, &answer);
        answered.passes_as(&answer.from(request.destination()));
    }
}

#[test]
fn a_client_whose_answers_are_switched_past_netfilter_goes_past_the_stack() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let visit = Visit::new(&mut world, flavour);
        visit.begins(&world, "pod4");

        let [request, translated] = visit.request(false);
        // The second makes the flow assured, the third finds it so.
        for _ in 0..2 {
            let outcome = world.ingress("pod3", &request);
            outcome.redirects_as(&translated.clone().ttl(63));
        }
        world.ingress("pod3", &request.clone().ttl(1)).expires();
    }
}

#[test]
fn a_client_whose_answers_come_through_the_stack_stays_there() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        // From the bridge itself, whose pods do not know each other, and from another node.
        for answer_by in ["br0", "eth0"] {
            world.forget_flows();
            let visit = Visit::new(&mut world, flavour);
            visit.begins(&world, answer_by);

            let [request, translated] = visit.request(false);
            world.ingress("pod3", &request).passes_as(&translated);
        }
    }
}

#[test]
fn a_client_stays_in_the_stack_where_netfilter_sees_what_bridges_switch() {
    let mut world = World::new();
    world.show_bridges_to_netfilter();
    for flavour in Flavour::ALL {
        let visit = Visit::new(&mut world, flavour);
        visit.begins(&world, "pod4");

        let [request, translated] = visit.request(false);
        world.ingress("pod3", &request).passes_as(&translated);
    }
}
