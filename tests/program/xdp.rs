//! XDP: packets of whole flows that are known are sent on as tc would have sent them; everything else is tc's.

use std::net::SocketAddr;

use netproxy::model::Protocol;
use netproxy_common::FlowState;

use crate::world::{At as _, Flavour, Fragment, Packet, Shop, World};

/// What XDP takes: TCP and UDP.
fn flavours() -> impl Iterator<Item = Flavour> {
    let is_taken = |flavour: &Flavour| flavour.protocol != Protocol::Sctp;
    Flavour::ALL.into_iter().filter(is_taken)
}

/// A flow from outside to an endpoint elsewhere.
struct Through {
    flavour: Flavour,
    client: SocketAddr,
    frontend: SocketAddr,
    /// Where the endpoint takes the packets to come from.
    source: SocketAddr,
    endpoint: SocketAddr,
}

impl Through {
    /// Opens one by tc.
    fn open(world: &mut World, flavour: Flavour) -> Self {
        let endpoint = flavour.remote_pod(1).at(8080);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let (client, frontend) = (flavour.outside().at(40_000), shop.node_port());
        let source = world
            .ingress("eth0", &flavour.first(client, frontend))
            .source();
        Self {
            flavour,
            client,
            frontend,
            source,
            endpoint,
        }
    }

    /// Has the endpoint answer, and the client that: from now on it is assured.
    fn establish(self, world: &World) -> Self {
        let _ = world.ingress("eth0", &self.answer());
        let _ = world.ingress("eth0", &self.later());
        assert_eq!(world.flow().state, FlowState::Established);
        self
    }

    fn later(&self) -> Packet {
        self.flavour.later(self.client, self.frontend)
    }

    fn answer(&self) -> Packet {
        self.flavour.answer(self.endpoint, self.source)
    }

    fn later_translated(&self) -> Packet {
        self.later().from(self.source).to(self.endpoint).ttl(63)
    }

    fn answer_translated(&self) -> Packet {
        self.answer().from(self.frontend).to(self.client).ttl(63)
    }
}

#[test]
fn both_directions_of_a_whole_flow_are_sent_on_from_xdp() {
    let mut world = World::new().with_xdp();
    resolve_router();
    for flavour in flavours() {
        let flow = Through::open(&mut world, flavour).establish(&world);

        let requested = world.frame("eth0", &flow.later());
        let answered = world.frame("eth0", &flow.answer());

        requested.leaves_as(&flow.later_translated());
        answered.leaves_as(&flow.answer_translated());
        world.forget_flows();
    }
}

#[test]
fn xdp_goes_on_where_tc_has_only_opened_the_flow() {
    let mut world = World::new().with_xdp();
    resolve_router();
    for flavour in flavours() {
        let flow = Through::open(&mut world, flavour);

        let answered = world.frame("eth0", &flow.answer());
        let requested = world.frame("eth0", &flow.later());

        answered.leaves_as(&flow.answer_translated());
        requested.leaves_as(&flow.later_translated());
        assert_eq!(world.flow().state, FlowState::Established);
        world.forget_flows();
    }
}

#[test]
fn what_opens_a_flow_stays_for_tc() {
    let mut world = World::new().with_xdp();
    resolve_router();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).elsewhere(flavour.remote_pod(1));
        world.serve(&[&shop]);
        let first = flavour.first(flavour.outside().at(40_001), shop.node_port());

        world.frame("eth0", &first).stays_for_tc();

        assert_eq!(world.flows(), []);
    }
}

#[test]
fn what_tc_has_to_answer_stays_for_tc() {
    let mut world = World::new().with_xdp();
    resolve_router();
    for flavour in flavours() {
        let flow = Through::open(&mut world, flavour).establish(&world);

        let last_hop = world.frame("eth0", &flow.later().ttl(1));
        World::set_mtu("eth0", 1300);
        let too_big = world.frame("eth0", &flow.later().payload(&[7; 1400]));
        World::set_mtu("eth0", 1500);

        last_hop.stays_for_tc();
        too_big.stays_for_tc();
        world.forget_flows();
    }
}

#[test]
fn fragments_and_sctp_are_left_to_tc() {
    let mut world = World::new().with_xdp();
    resolve_router();
    for flavour in Flavour::IN_PIECES {
        let flow = Through::open(&mut world, flavour).establish(&world);
        let piece = flow.later().fragment(Fragment {
            offset: 0,
            has_more: true,
        });
        world.frame("eth0", &piece).stays_for_tc();
        world.forget_flows();
    }
    for flavour in Flavour::SCTP {
        let flow = Through::open(&mut world, flavour);
        world.frame("eth0", &flow.later()).stays_for_tc();
        world.forget_flows();
    }
}

#[test]
fn a_packet_stays_for_tc_while_the_next_hop_is_not_known() {
    let mut world = World::new().with_xdp();
    for flavour in flavours() {
        let flow = Through::open(&mut world, flavour).establish(&world);

        world.frame("eth0", &flow.later()).stays_for_tc();

        world.forget_flows();
    }
}

#[test]
fn a_checksum_that_is_left_to_a_device_stays_for_tc() {
    let mut world = World::new().with_xdp();
    resolve_router();
    for flavour in flavours() {
        let flow = Through::open(&mut world, flavour).establish(&world);

        world
            .frame("eth0", flow.later().with_checksum_left_to_the_device())
            .stays_for_tc();

        world.forget_flows();
    }
}

#[test]
fn a_datagram_without_a_checksum_stays_without() {
    let mut world = World::new().with_xdp();
    resolve_router();
    let [flavour, _] = Flavour::UDP;
    let flow = Through::open(&mut world, flavour).establish(&world);
    let (bare, expected) = (
        flow.later().without_checksum(),
        flow.later_translated().without_checksum(),
    );

    world.frame("eth0", &bare).leaves_as(&expected);
}

#[test]
fn edge_flows_and_strangers_are_left_to_tc() {
    let mut world = World::new().with_xdp();
    resolve_router();
    for flavour in flavours() {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
        world.serve(&[&shop]);
        let (client, frontend) = (flavour.outside().at(40_000), shop.node_port());
        let _ = world.ingress("eth0", &flavour.first(client, frontend));

        world
            .frame("eth0", &flavour.later(client, frontend))
            .stays_for_tc();
        let stranger = flavour.later(client, flavour.local_pod(2).at(80));
        world.frame("eth0", &stranger).stays_for_tc();

        world.forget_flows();
    }
}

#[test]
fn a_connection_ends_at_xdp_as_it_does_at_tc() {
    let mut world = World::new().with_xdp();
    resolve_router();
    for flavour in Flavour::TCP {
        let flow = Through::open(&mut world, flavour).establish(&world);

        let reset = world.frame("eth0", &flow.later().rst());

        reset.leaves_as(&flow.later_translated().rst());
        assert_eq!(world.flow().state, FlowState::Closing);
        world.forget_flows();
    }
}

#[test]
fn a_packet_leaves_by_another_uplink_if_that_sends_frames() {
    let mut world = World::new().with_xdp();
    resolve_router();
    let [flavour, _] = Flavour::TCP;
    let flow = Through::open(&mut world, flavour).establish(&world);
    World::route(flow.endpoint.ip(), "eth1");
    World::learn("eth1", "8.0.128.1");

    world
        .frame("eth0", &flow.later())
        .leaves_elsewhere_as(&flow.later_translated());
    world.lose_device_flags("eth1");
    world.frame("eth0", &flow.later()).stays_for_tc();
}

#[test]
fn agents_without_xdp_take_it_away() {
    let world = World::new().with_xdp();
    assert_eq!(xdp_links(&world), 2, "eth0 and eth1");

    let world = world.without_xdp();

    assert_eq!(xdp_links(&world), 0);
}

fn xdp_links(world: &World) -> usize {
    let pins = std::fs::read_dir(world.pins().links()).unwrap();
    let names = pins.map(|pin| pin.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("-xdp-")).count()
}

/// The router's hardware address is known.
fn resolve_router() {
    World::learn("eth0", "192.0.2.254");
    World::learn("eth0", "2001:db8:2::fe");
}
