//! How flows make room for others: which of the two tiers they are in, and when closed ones are forgotten.

use std::net::SocketAddr;

use crate::world::{At as _, Flavour, POD_PORT, Shop, World, tcp};

/// Many more than a CPU has room for among 64 entries, a quarter of which may be of flows that are opening.
const CLIENTS: u16 = 40;
const SMALL: &[&str] = &["FLOWS_V4=64", "FLOWS_V6=64"];

struct Ground {
    world: World,
    flavour: Flavour,
    shop: Shop,
    endpoint: SocketAddr,
}

impl Ground {
    fn new(world: World, flavour: Flavour) -> Self {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        let mut ground = Self {
            world,
            flavour,
            shop,
            endpoint,
        };
        ground.world.serve(&[&ground.shop]);
        ground
    }

    fn client(&self, port: u16) -> SocketAddr {
        self.flavour.local_pod(1).at(port)
    }

    fn opens(&self, port: u16) {
        let request = self
            .flavour
            .first(self.client(port), self.shop.cluster_ip());
        let outcome = self.world.ingress("pod1", &request);
        outcome.passes_as(&request.to(self.endpoint));
    }

    /// The endpoint answers, and the client that.
    fn confirms(&self, port: u16) {
        let answer = self.flavour.answer(self.endpoint, self.client(port));
        let outcome = self.world.egress("pod1", &answer);
        outcome.passes_as(&answer.from(self.shop.cluster_ip()));
        let later = self
            .flavour
            .later(self.client(port), self.shop.cluster_ip());
        let outcome = self.world.ingress("pod1", &later);
        outcome.passes_as(&later.to(self.endpoint));
    }

    fn resets(&self, port: u16) {
        let reset = tcp(self.client(port), self.shop.cluster_ip()).rst();
        let outcome = self.world.ingress("pod1", &reset);
        outcome.passes_as(&reset.to(self.endpoint));
    }

    fn ports(&self) -> Vec<u16> {
        let flows = self.world.flows();
        flows.iter().map(|flow| flow.client.port()).collect()
    }
}

#[test]
fn flows_that_no_client_has_confirmed_leave_most_of_the_table_to_others() {
    for flavour in Flavour::ALL {
        let ground = Ground::new(World::with_map_sizes(SMALL), flavour);

        for port in 1..=CLIENTS {
            ground.opens(port);
        }

        let [flows, pending] = ground.world.entries_of_tiers(flavour);
        assert!(flows > 0 && flows <= 16, "{flows} entries");
        assert_eq!(flows + pending, 2 * usize::from(CLIENTS));
    }
}

#[test]
fn a_flow_that_is_confirmed_makes_room_for_the_next() {
    for flavour in Flavour::ALL {
        let ground = Ground::new(World::with_map_sizes(SMALL), flavour);

        for port in 1..=20 {
            ground.opens(port);
            ground.confirms(port);
        }

        assert_eq!(ground.world.entries_of_tiers(flavour), [40, 0]);
        assert!(ground.world.flows().iter().all(|flow| flow.is_assured));
    }
}

#[test]
fn a_flow_that_a_crowd_kept_out_comes_in_when_it_is_confirmed() {
    for flavour in Flavour::ALL {
        let ground = Ground::new(World::new(), flavour);
        ground.world.crowd();
        ground.opens(1);
        assert_eq!(ground.world.entries_of_tiers(flavour), [0, 2]);

        ground.confirms(1);

        assert_eq!(ground.world.entries_of_tiers(flavour), [2, 0]);
    }
}

#[test]
fn a_closed_flow_that_a_crowd_kept_out_is_found_for_as_long_as_it_lives() {
    for flavour in Flavour::TCP {
        let ground = Ground::new(World::new(), flavour);
        ground.world.crowd();
        ground.opens(1);
        let opened = ground.world.pending_until_s();
        ground.world.shorten_pending(60);

        ground.resets(1);

        // A connection that is opening and one that is closed live equally long.
        let closed = ground.world.pending_until_s();
        assert!(closed >= opened, "{closed:?}, and {opened:?} before");
        assert_eq!(ground.world.entries_of_tiers(flavour), [0, 2]);
    }
}

#[test]
fn a_walk_of_the_table_puts_the_counts_of_unconfirmed_flows_right() {
    for flavour in Flavour::ALL {
        let mut ground = Ground::new(World::new(), flavour);
        ground.world.crowd();

        ground.world.datapath().expire_flows().unwrap();

        ground.opens(1);
        assert_eq!(ground.world.entries_of_tiers(flavour), [2, 0]);
    }
}

#[test]
fn the_flow_that_was_closed_longest_ago_is_forgotten_for_the_next() {
    for flavour in Flavour::TCP {
        let ground = Ground::new(World::new(), flavour);
        for port in [1, 2] {
            ground.opens(port);
            ground.confirms(port);
            ground.resets(port);
        }
        assert_eq!(ground.ports(), [1, 2]);

        // The first one's place comes next.
        ground.world.turn_round();
        ground.opens(3);
        ground.resets(3);

        assert_eq!(ground.ports(), [2, 3]);
        assert_eq!(ground.world.entries_of_tiers(flavour), [4, 0]);
    }
}

#[test]
fn a_tuple_that_is_in_use_again_is_not_forgotten_with_its_closed_flow() {
    for flavour in Flavour::TCP {
        let ground = Ground::new(World::new(), flavour);
        ground.opens(1);
        ground.resets(1);
        ground.opens(1);

        ground.world.turn_round();
        ground.opens(2);
        ground.resets(2);

        assert_eq!(ground.ports(), [1, 2]);
        ground.confirms(1);
    }
}
