//! What is SCTP's own: a checksum over the whole packet that follows the ports, and the life of an
//! association. What it has in common with TCP and UDP, the other tests show of every flavour.

use std::net::SocketAddr;

use netproxy_common::{Counter, FlowState};

use crate::world::{
    Asker, At as _, Chunk, Flavour, POD_PORT, Packet, Shop, World, checksums_hold, sctp,
};

/// Packets that begin nothing.
const LATER: [Chunk; 12] = [
    Chunk::Data,
    Chunk::InitAck,
    Chunk::Sack,
    Chunk::Heartbeat,
    Chunk::HeartbeatAck,
    Chunk::Abort,
    Chunk::Shutdown,
    Chunk::ShutdownAck,
    Chunk::Error,
    Chunk::CookieEcho,
    Chunk::CookieAck,
    Chunk::ShutdownComplete,
];

const OPENING: (FlowState, bool) = (FlowState::Opening, false);
const ASSURED: (FlowState, bool) = (FlowState::Established, true);
const CLOSING: (FlowState, bool) = (FlowState::Closing, false);

/// A pod's association with an endpoint elsewhere, the only one in the world.
struct Association<'a> {
    world: &'a mut World,
    shop: Shop,
    client: SocketAddr,
    endpoint: SocketAddr,
}

impl<'a> Association<'a> {
    /// Nothing has been sent yet.
    fn new(world: &'a mut World, flavour: Flavour) -> Self {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.forget_flows();
        world.serve(&[&shop]);
        let client = flavour.local_pod(1).at(40_000);
        Self {
            world,
            shop,
            client,
            endpoint,
        }
    }

    /// Both sides know each other.
    fn established(world: &'a mut World, flavour: Flavour) -> Self {
        let association = Self::new(world, flavour);
        association.client_sends(Chunk::Init);
        association.endpoint_sends(Chunk::InitAck);
        association.client_sends(Chunk::CookieEcho);
        association.endpoint_sends(Chunk::CookieAck);
        assert_eq!(association.stage(), ASSURED);
        association
    }

    /// Another endpoint takes the place of the first.
    fn replace_endpoint(&mut self, flavour: Flavour) -> SocketAddr {
        let successor = flavour.remote_pod(2).at(POD_PORT);
        let shop = self.shop.clone().without_endpoints();
        self.shop = shop.elsewhere(successor.ip());
        self.world.serve(&[&self.shop]);
        successor
    }

    #[track_caller]
    fn client_sends(&self, chunk: Chunk) {
        let packet = sctp(chunk, self.client, self.shop.cluster_ip());
        let outcome = self.world.ingress("pod1", &packet);
        outcome.passes_as(&packet.to(self.endpoint));
    }

    #[track_caller]
    fn endpoint_sends(&self, chunk: Chunk) {
        let packet = sctp(chunk, self.endpoint, self.client);
        let outcome = self.world.egress("pod1", &packet);
        outcome.passes_as(&packet.from(self.shop.cluster_ip()));
    }

    #[track_caller]
    fn stage(&self) -> (FlowState, bool) {
        let flow = self.world.flow();
        (flow.state, flow.is_assured)
    }
}

#[test]
fn only_an_init_opens_an_association() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            for frontend in [shop.cluster_ip(), shop.vip()] {
                for chunk in LATER {
                    let outcome = asker.sends(&world, &sctp(chunk, client, frontend));
                    outcome
                        .passes_untouched()
                        .counts(Counter::UnknownConnection);
                }
            }
        }
        assert_eq!(world.flows(), []);
    }
}

#[test]
fn an_association_is_assured_once_the_client_has_answered_the_endpoint() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let association = Association::new(&mut world, flavour);

        association.client_sends(Chunk::Init);
        association.client_sends(Chunk::CookieEcho);
        assert_eq!(association.stage(), OPENING);
        association.endpoint_sends(Chunk::InitAck);
        association.client_sends(Chunk::Init);
        assert_eq!(association.stage(), OPENING);
        association.client_sends(Chunk::CookieEcho);
        assert_eq!(association.stage(), ASSURED);
    }
}

#[test]
fn all_that_an_association_says_leaves_it_open_but_its_end() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        for last in LATER.into_iter().chain([Chunk::Init]) {
            let ends = matches!(last, Chunk::Abort | Chunk::ShutdownComplete);
            let stage = if ends { CLOSING } else { ASSURED };

            let association = Association::established(&mut world, flavour);
            association.client_sends(last);
            assert_eq!(association.stage(), stage, "{last:?}");

            let association = Association::established(&mut world, flavour);
            association.endpoint_sends(last);
            assert_eq!(association.stage(), stage, "{last:?}");
        }
    }
}

#[test]
fn an_association_that_the_endpoint_aborts_at_once_closes() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let association = Association::new(&mut world, flavour);

        association.client_sends(Chunk::Init);
        association.endpoint_sends(Chunk::Abort);

        assert_eq!(association.stage(), CLOSING);
    }
}

#[test]
fn what_is_repeated_after_the_end_is_translated_and_opens_nothing() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let association = Association::established(&mut world, flavour);
        association.endpoint_sends(Chunk::ShutdownAck);
        association.client_sends(Chunk::ShutdownComplete);

        association.endpoint_sends(Chunk::ShutdownAck);
        association.client_sends(Chunk::ShutdownComplete);

        assert_eq!(association.stage(), CLOSING);
    }
}

/// Clients of SCTP are used to keep their port.
#[test]
fn an_init_starts_a_closed_association_afresh_where_new_ones_go() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let mut association = Association::established(&mut world, flavour);
        association.client_sends(Chunk::Abort);

        association.endpoint = association.replace_endpoint(flavour);
        association.client_sends(Chunk::Init);

        assert_eq!(association.stage(), OPENING);
        association.endpoint_sends(Chunk::InitAck);
        association.client_sends(Chunk::CookieEcho);
        assert_eq!(association.stage(), ASSURED);
    }
}

#[test]
fn an_association_outlives_its_endpoints_removal_until_its_client_begins_again() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let mut association = Association::established(&mut world, flavour);
        let successor = association.replace_endpoint(flavour);

        association.client_sends(Chunk::Data);
        association.endpoint_sends(Chunk::Sack);
        assert_eq!(association.stage(), ASSURED);

        association.endpoint = successor;
        association.client_sends(Chunk::Init);
        assert_eq!(association.stage(), OPENING);
    }
}

#[test]
fn an_init_does_not_move_an_association_whose_endpoint_serves() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let mut association = Association::established(&mut world, flavour);
        association.shop = association.shop.elsewhere(flavour.remote_pod(2));
        association.world.serve(&[&association.shop]);

        for _ in 0..8 {
            association.client_sends(Chunk::Init);
        }

        assert_eq!(association.stage(), ASSURED);
    }
}

#[test]
fn an_answer_to_a_direct_association_from_the_port_of_a_closed_one_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let association = Association::established(&mut world, flavour);
        association.client_sends(Chunk::Abort);

        let answer = sctp(Chunk::InitAck, association.endpoint, association.client);
        let outcome = association.world.egress("pod1", &answer);

        outcome.passes_untouched();
        assert_eq!(association.world.flows(), []);
    }
}

/// The kernel runs no program on more; a checksum covers what the IP header says.
const LONGEST: usize = 3000;

#[test]
fn packets_of_any_size_are_translated_with_their_checksum() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let association = Association::established(&mut world, flavour);
        let (client, endpoint) = (association.client, association.endpoint);
        let frontend = association.shop.cluster_ip();
        let sizes = (0..=130).chain([255, 256, 1399, 1400, 1452, 8999, 9000, 16_384, 65_000]);
        for size in sizes {
            let data: Vec<u8> = (0..=250).cycle().take(size).collect();
            let cut = |packet: &Packet| {
                let mut bytes = packet.bytes();
                bytes.truncate(LONGEST);
                bytes
            };
            let request = sctp(Chunk::Data, client, frontend).payload(&data);
            let answer = sctp(Chunk::Data, endpoint, client).payload(&data);

            let requested = association.world.ingress("pod1", cut(&request));
            let answered = association.world.egress("pod1", cut(&answer));

            assert_eq!(requested.output(), cut(&request.to(endpoint)), "{size}");
            assert_eq!(answered.output(), cut(&answer.from(frontend)), "{size}");
        }
    }
}

/// Each byte of the packet behind the ports in turn, those of the checksum too.
#[test]
fn a_wrong_checksum_stays_wrong() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let association = Association::established(&mut world, flavour);
        let frontend = association.shop.cluster_ip();
        let request = sctp(Chunk::Data, association.client, frontend);
        let (whole, translated) = (request.bytes(), request.to(association.endpoint).bytes());
        let headers = if flavour.node().is_ipv4() { 34 } else { 54 };
        for at in headers + 4..whole.len() {
            let mut spoilt = [whole.clone(), translated.clone()];
            for packet in &mut spoilt {
                packet[at] ^= 0x40;
            }

            let outcome = association.world.ingress("pod1", &spoilt[0][..]);

            assert_eq!(outcome.output(), spoilt[1], "{outcome:?}");
            assert_eq!(checksums_hold(&outcome.output()[14..]).1, Some(false));
        }
    }
}

/// Zero is also what a checksum holds that a device is to fill in.
#[test]
fn a_checksum_that_is_zero_by_chance_changes_like_any_other() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let association = Association::established(&mut world, flavour);
        let frontend = association.shop.cluster_ip();
        let request = sctp(Chunk::Data, association.client, frontend);
        let request = request.with_checksum_of_zero(Chunk::Data);
        let headers = if flavour.node().is_ipv4() { 34 } else { 54 };
        assert_eq!(request.bytes()[headers + 8..][..4], [0; 4]);

        let outcome = association.world.ingress("pod1", &request);

        outcome.passes_as(&request.to(association.endpoint));
    }
}

#[test]
fn ports_that_stay_leave_the_checksum_as_it_is() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let shop = Shop::new(flavour, 1);
        let port = shop.cluster_ip().port();
        let endpoint = flavour.local_pod(2).at(port);
        let shop = shop.target_port(port).here(endpoint.ip());
        world.serve(&[&shop]);
        let init = sctp(Chunk::Init, flavour.local_pod(1).at(40_000), shop.vip());

        let outcome = world.ingress("pod1", &init);

        outcome.passes_as(&init.to(endpoint));
    }
}

/// What the kernel gives as the size of SCTP's segments, each of which has its own.
const SEVERAL_SIZES: u32 = 0xffff;

#[test]
fn segments_of_several_sizes_are_taken_to_fit() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        World::set_mtu("eth0", 1400);
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.outside().at(40_000);
        let init = sctp(Chunk::Init, client, shop.node_port());
        let source = world.ingress("eth0", &init).source();
        let data = sctp(Chunk::Data, client, shop.node_port()).payload(&[0xa5; 2800]);

        let outcome = world.segments_at_ingress("eth0", &data, SEVERAL_SIZES);

        outcome.redirects_as(&data.from(source).to(endpoint).ttl(63));
        world.forget_flows();
    }
}

/// Nothing but its tag tells the sender's kernel that an error about an INIT is no forgery.
#[test]
fn a_refusal_quotes_the_tag_of_an_init_and_of_less_the_header() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let shop = Shop::new(flavour, 1);
        world.serve(&[&shop]);
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            for (size, quoted) in [(0, 12), (3, 12), (4, 20), (40, 20)] {
                let init = sctp(Chunk::Init, client, shop.cluster_ip()).payload(&vec![7; size]);
                let icmp = init.ip_bytes().len() - (12 + 4 + size) + 8;

                let outcome = asker.sends(&world, &init);

                let ip = 14 + if client.is_ipv4() { 20 } else { 40 };
                assert_eq!(outcome.output().len(), ip + icmp + quoted, "{outcome:?}");
                outcome.refuses(Counter::NoEndpoint);
            }
        }
    }
}
