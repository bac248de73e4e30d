//! The life of a whole flow: as that of any other, on both of its legs.

use std::net::SocketAddr;

use netproxy_common::{Counter, FlowState};

use crate::world::{At as _, Flavour, POD_PORT, Shop, World, tcp};

/// A connection of a client outside to an endpoint elsewhere.
struct Connection<'a> {
    world: &'a mut World,
    client: SocketAddr,
    frontend: SocketAddr,
    source: SocketAddr,
    endpoint: SocketAddr,
}

impl<'a> Connection<'a> {
    /// The client has answered the endpoint, one of many.
    fn established(world: &'a mut World, flavour: Flavour) -> Self {
        let shop = (1..=20).fold(Shop::new(flavour, 1), |shop, number| {
            shop.elsewhere(flavour.remote_pod(number))
        });
        world.forget_flows();
        world.serve(&[&shop]);
        let (client, frontend) = (flavour.outside().at(40_000), shop.node_port());
        let outcome = world.ingress("eth0", &flavour.first(client, frontend));
        let connection = Self {
            world,
            client,
            frontend,
            source: outcome.source(),
            endpoint: outcome.destination(),
        };
        connection.endpoint_sends(flavour.answer(connection.endpoint, connection.source));
        connection.client_sends(flavour.later(client, frontend));
        assert_eq!(connection.stage(), (FlowState::Established, true));
        connection
    }

    #[track_caller]
    fn client_sends(&self, packet: crate::world::Packet) {
        let outcome = self.world.ingress("eth0", &packet);
        outcome.redirects_as(&packet.from(self.source).to(self.endpoint).ttl(63));
    }

    #[track_caller]
    fn endpoint_sends(&self, packet: crate::world::Packet) {
        let outcome = self.world.ingress("eth0", &packet);
        outcome.redirects_as(&packet.from(self.frontend).to(self.client).ttl(63));
    }

    fn stage(&self) -> (FlowState, bool) {
        let flow = self.world.flow();
        (flow.state, flow.is_assured)
    }
}

#[test]
fn a_repeated_first_packet_goes_to_the_same_endpoint_from_the_same_port() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = (1..=20).fold(Shop::new(flavour, 1), |shop, number| {
            shop.elsewhere(flavour.remote_pod(number))
        });
        world.serve(&[&shop]);
        let request = flavour.first(flavour.outside().at(40_000), shop.node_port());
        let first = world.ingress("eth0", &request);

        for _ in 0..10 {
            let again = world.ingress("eth0", &request);
            assert_eq!(again.output(), first.output());
        }
    }
}

#[test]
fn a_reset_on_either_leg_closes_a_whole_flow() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let connection = Connection::established(&mut world, flavour);
        connection.client_sends(tcp(connection.client, connection.frontend).rst());
        assert_eq!(connection.stage(), (FlowState::Closing, false));

        let connection = Connection::established(&mut world, flavour);
        connection.endpoint_sends(tcp(connection.endpoint, connection.source).rst().ack());
        assert_eq!(connection.stage(), (FlowState::Closing, false));
    }
}

/// Who closes and is sent more data resets, after its FIN.
#[test]
fn a_reset_after_a_fin_of_the_same_side_closes_a_connection() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let connection = Connection::established(&mut world, flavour);
        let segment = tcp(connection.client, connection.frontend);
        connection.client_sends(segment.clone().fin().ack());
        assert_eq!(connection.stage(), (FlowState::Established, true));

        connection.client_sends(segment.rst());

        assert_eq!(connection.stage(), (FlowState::Closing, false));
    }
}

#[test]
fn a_syn_starts_a_closed_whole_flow_afresh_with_another_port() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let mut connection = Connection::established(&mut world, flavour);
        connection.client_sends(tcp(connection.client, connection.frontend).rst());
        let old = connection.source;

        let request = flavour.first(connection.client, connection.frontend);
        let outcome = connection.world.ingress("eth0", &request);

        connection.source = outcome.source();
        connection.endpoint = outcome.destination();
        assert_ne!(connection.source, old);
        assert_eq!(connection.stage(), (FlowState::Opening, false));
        connection.endpoint_sends(flavour.answer(connection.endpoint, connection.source));
        connection.client_sends(flavour.later(connection.client, connection.frontend));
        assert_eq!(connection.stage(), (FlowState::Established, true));
    }
}

#[test]
fn an_answer_without_a_route_to_its_client_is_dropped() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).elsewhere(flavour.remote_pod(1));
        world.serve(&[&shop]);
        let client = flavour.unreachable_pod().at(40_000);
        let request = flavour.first(client, shop.node_port());
        let source = world.ingress("eth0", &request).source();

        let answer = flavour.answer(flavour.remote_pod(1).at(POD_PORT), source);

        world.ingress("eth0", &answer).drops(Counter::NoRoute);
    }
}
