//! The life of a flow: what opens it, what makes it assured, what closes it, what survives.

use std::net::SocketAddr;

use netproxy::datapath::FlowEntry;
use netproxy_common::{Counter, FlowState};

use crate::world::{At as _, Flavour, Half, POD_PORT, Packet, Shop, World, tcp};

/// Where a flow of the table is in its life, and whether it is in the tier that nothing evicts.
fn stage(flow: &FlowEntry) -> (FlowState, bool) {
    (flow.state, flow.is_assured)
}

const OPENING: (FlowState, bool) = (FlowState::Opening, false);
const ASSURED: (FlowState, bool) = (FlowState::Established, true);
const CLOSING: (FlowState, bool) = (FlowState::Closing, false);

/// A pod's connection to an endpoint elsewhere, the only one in the world.
struct Connection<'a> {
    world: &'a mut World,
    flavour: Flavour,
    shop: Shop,
    client: SocketAddr,
    endpoint: SocketAddr,
}

impl<'a> Connection<'a> {
    /// Nothing has been sent yet.
    fn new(world: &'a mut World, flavour: Flavour) -> Self {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.forget_flows();
        world.serve(&[&shop]);
        Self {
            world,
            flavour,
            client: flavour.local_pod(1).at(40_000),
            shop,
            endpoint,
        }
    }

    /// The client has answered the endpoint.
    #[track_caller]
    fn established(world: &'a mut World, flavour: Flavour) -> Self {
        let connection = Self::new(world, flavour);
        connection.client_sends(connection.request());
        connection.endpoint_sends(connection.answer());
        connection.client_sends(connection.later());
        assert_eq!(connection.stage(), ASSURED);
        connection
    }

    fn request(&self) -> Packet {
        self.flavour.first(self.client, self.shop.cluster_ip())
    }

    fn answer(&self) -> Packet {
        self.flavour.answer(self.endpoint, self.client)
    }

    fn later(&self) -> Packet {
        self.flavour.later(self.client, self.shop.cluster_ip())
    }

    /// A segment of the client without flags.
    fn segment(&self) -> Packet {
        tcp(self.client, self.shop.cluster_ip())
    }

    /// A segment of the endpoint without flags.
    fn answering_segment(&self) -> Packet {
        tcp(self.endpoint, self.client)
    }

    #[track_caller]
    fn client_sends(&self, packet: Packet) {
        let outcome = self.world.ingress("pod1", &packet);
        outcome.passes_as(&packet.to(self.endpoint));
    }

    #[track_caller]
    fn endpoint_sends(&self, packet: Packet) {
        let outcome = self.world.egress("pod1", &packet);
        outcome.passes_as(&packet.from(self.shop.cluster_ip()));
    }

    #[track_caller]
    fn stage(&self) -> (FlowState, bool) {
        stage(&self.world.flow())
    }
}

#[test]
fn only_a_syn_opens_a_tcp_flow() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        let segment = tcp(flavour.local_pod(1).at(40_000), shop.cluster_ip());
        for stray in [
            segment.clone(),
            segment.clone().ack(),
            segment.clone().syn().ack(),
            segment.clone().fin().ack(),
            segment.clone().rst(),
            segment.clone().syn().fin(),
            segment.clone().syn().rst(),
        ] {
            let outcome = world.ingress("pod1", &stray);
            outcome
                .passes_untouched()
                .counts(Counter::UnknownConnection);
        }
        assert_eq!(world.flows(), []);
    }
}

#[test]
fn a_flow_is_assured_once_the_client_has_answered_the_endpoint() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let connection = Connection::new(&mut world, flavour);

        connection.client_sends(connection.request());
        connection.client_sends(connection.request());
        assert_eq!(connection.stage(), OPENING);
        connection.endpoint_sends(connection.answer());
        assert_eq!(connection.stage(), OPENING);
        connection.client_sends(connection.later());
        assert_eq!(connection.stage(), ASSURED);
    }
}

#[test]
fn a_client_alone_does_not_make_its_flow_assured() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let connection = Connection::new(&mut world, flavour);

        connection.client_sends(connection.request());
        for _ in 0..3 {
            connection.client_sends(connection.later());
        }

        assert_eq!(connection.stage(), OPENING);
    }
}

#[test]
fn a_repeated_syn_does_not_make_a_flow_assured() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let connection = Connection::new(&mut world, flavour);

        connection.client_sends(connection.request());
        connection.endpoint_sends(connection.answer());
        connection.client_sends(connection.request());

        assert_eq!(connection.stage(), OPENING);
    }
}

#[test]
fn a_connection_outlives_its_endpoints_removal_and_new_ones_go_elsewhere() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let connection = Connection::established(&mut world, flavour);
        let successor = flavour.remote_pod(2).at(POD_PORT);
        let shop = connection
            .shop
            .clone()
            .without_endpoints()
            .elsewhere(successor.ip());

        connection.world.serve(&[&shop]);

        connection.client_sends(connection.later());
        connection.endpoint_sends(connection.answering_segment().ack());
        let other = flavour.first(flavour.local_pod(1).at(40_001), shop.cluster_ip());
        let outcome = connection.world.ingress("pod1", &other);
        outcome.passes_as(&other.to(successor));
    }
}

#[test]
fn a_connection_outlives_its_service() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let connection = Connection::established(&mut world, flavour);
        let gone = [(connection.shop.name(), Vec::new())];

        connection.world.datapath().apply(&gone).unwrap();
        connection.world.datapath().expire_flows().unwrap();

        connection.client_sends(connection.later());
        connection.endpoint_sends(connection.answering_segment().ack());
        let frontend = connection.shop.cluster_ip();
        let other = flavour.first(flavour.local_pod(1).at(40_001), frontend);
        connection.world.ingress("pod1", &other).passes_untouched();
    }
}

#[test]
fn an_address_is_forgotten_with_the_last_flow_to_it() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let connection = Connection::established(&mut world, flavour);
        let gone = [(connection.shop.name(), Vec::new())];
        connection.world.datapath().apply(&gone).unwrap();

        connection.world.forget_flows();
        connection.world.datapath().expire_flows().unwrap();

        assert_eq!(
            connection
                .world
                .meaning_of(connection.shop.cluster_ip().ip()),
            None
        );
    }
}

#[test]
fn a_connection_closes_when_both_sides_have_said_so() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        for endpoint_is_first in [false, true] {
            let connection = Connection::established(&mut world, flavour);
            let client_closes = || connection.client_sends(connection.segment().fin().ack());
            let endpoint_closes =
                || connection.endpoint_sends(connection.answering_segment().fin().ack());

            if endpoint_is_first {
                endpoint_closes();
            } else {
                client_closes();
            }
            connection.client_sends(connection.later());
            assert_eq!(connection.stage(), ASSURED);
            if endpoint_is_first {
                client_closes();
            } else {
                endpoint_closes();
            }
            assert_eq!(connection.stage(), CLOSING);

            connection.client_sends(connection.later());
            connection.endpoint_sends(connection.answering_segment().ack());
            assert_eq!(connection.stage(), CLOSING);
        }
    }
}

#[test]
fn a_reset_of_either_side_closes_a_connection() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let established = Connection::established(&mut world, flavour);
        established.client_sends(established.segment().rst());
        assert_eq!(established.stage(), CLOSING);

        let established = Connection::established(&mut world, flavour);
        established.endpoint_sends(established.answering_segment().rst().ack());
        assert_eq!(established.stage(), CLOSING);

        let refused = Connection::new(&mut world, flavour);
        refused.client_sends(refused.request());
        refused.endpoint_sends(refused.answering_segment().rst().ack());
        assert_eq!(refused.stage(), CLOSING);
    }
}

#[test]
fn a_syn_starts_a_closed_connection_afresh_where_new_ones_go() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let mut connection = Connection::established(&mut world, flavour);
        connection.client_sends(connection.segment().rst());
        let successor = flavour.remote_pod(2).at(POD_PORT);
        let shop = connection
            .shop
            .clone()
            .without_endpoints()
            .elsewhere(successor.ip());
        connection.world.serve(&[&shop]);
        connection.client_sends(connection.later());

        connection.endpoint = successor;
        connection.client_sends(connection.request());

        assert_eq!(connection.stage(), OPENING);
        connection.endpoint_sends(connection.answer());
        connection.client_sends(connection.later());
        assert_eq!(connection.stage(), ASSURED);
    }
}

#[test]
fn an_answer_to_a_direct_connection_from_the_port_of_a_closed_one_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let connection = Connection::established(&mut world, flavour);
        connection.client_sends(connection.segment().rst());
        assert_eq!(connection.stage(), CLOSING);

        // The client's own segments go to the endpoint's address and cross no frontend.
        for segment in [connection.answer(), connection.answering_segment().ack()] {
            let outcome = connection.world.egress("pod1", &segment);
            outcome.passes_untouched();
        }

        assert_eq!(connection.world.flows(), []);
    }
}

#[test]
fn a_syn_does_not_disturb_a_living_connection() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let connection = Connection::established(&mut world, flavour);
        let successor = flavour.remote_pod(2);
        let shop = connection
            .shop
            .clone()
            .without_endpoints()
            .elsewhere(successor);
        connection.world.serve(&[&shop]);

        connection.client_sends(connection.request());

        assert_eq!(connection.stage(), ASSURED);
        connection.client_sends(connection.later());
    }
}

#[test]
fn a_lost_half_is_restored_by_the_other() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        world.crowd();
        let connection = Connection::new(&mut world, flavour);
        connection.client_sends(connection.request());

        assert_eq!(connection.world.lose(Half::Reply), 1);
        connection.client_sends(connection.request());
        connection.endpoint_sends(connection.answer());

        assert_eq!(connection.world.lose(Half::Forward), 1);
        connection.endpoint_sends(connection.answer());
        connection.client_sends(connection.later());
        assert_eq!(connection.stage(), ASSURED);
    }
}

#[test]
fn a_lost_half_of_a_whole_flow_comes_back_with_its_source_port() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.forget_flows();
        world.serve(&[&shop]);
        world.crowd();
        let client = flavour.outside().at(40_000);
        let request = flavour.first(client, shop.node_port());
        let source = world.ingress("eth0", &request).source();

        assert_eq!(world.lose(Half::Reply), 1);
        let repeated = world.ingress("eth0", &request);
        repeated.redirects_as(&request.clone().from(source).to(endpoint).ttl(63));

        assert_eq!(world.lose(Half::Forward), 1);
        let answer = flavour.answer(endpoint, source);
        let answered = world.ingress("eth0", &answer);
        answered.redirects_as(&answer.from(shop.node_port()).to(client).ttl(63));
        let later = flavour.later(client, shop.node_port());
        let continued = world.ingress("eth0", &later);
        continued.redirects_as(&later.from(source).to(endpoint).ttl(63));
    }
}
