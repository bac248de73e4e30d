//! Fragments: the first one of a datagram is translated as any packet, those that follow it like it, and
//! what comes without it goes no further than it may.

use std::cell::RefCell;

use netproxy_common::Counter;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{
    At as _, Course, Flavour, Fragment, Opened, Outcome, POD_PORT, Packet, Piece, Shop, World,
};

/// What each piece carries.
const BYTES: usize = 400;

/// A datagram of some pieces, each of which looks different.
fn long(packet: Packet) -> Packet {
    let payload: Vec<u8> = (0..1500_u16).flat_map(u16::to_be_bytes).collect();
    packet.payload(&payload)
}

/// A client outside asks a service with an endpoint here.
fn served(world: &mut World, flavour: Flavour) -> (Shop, Packet) {
    let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
    world.forget_flows();
    world.serve(&[&shop]);
    let request = flavour.first(flavour.outside().at(40_000), shop.cluster_ip());
    (shop, long(request))
}

impl Course {
    /// The client's packets go on as `translated`.
    #[track_caller]
    fn requested(self, outcome: Outcome, translated: &Piece) {
        let _ = match self {
            Self::Edge => outcome.passes_as(translated),
            _ => outcome.redirects_as(translated),
        };
    }

    /// The endpoint's packets go on as `translated`.
    #[track_caller]
    fn answered(self, outcome: Outcome, translated: &Piece) {
        let _ = match self {
            Self::Edge | Self::Host => outcome.passes_as(translated),
            _ => outcome.redirects_as(translated),
        };
    }

    /// Whether a hop is taken from what goes either way.
    fn is_routed(self) -> bool {
        matches!(self, Self::Whole | Self::Hairpin)
    }
}

/// The client's datagram and the endpoint's, each as it was sent and as it goes on.
fn datagrams(opened: &Opened) -> [(Packet, Packet); 2] {
    let hops = if opened.course.is_routed() { 32 } else { 33 };
    [opened.requests(), opened.answers()]
        .map(|(sent, translated)| (long(sent), long(translated).ttl(hops)))
}

#[test]
fn datagrams_in_pieces_get_through_both_ways() {
    Opened::each(|world, opened| {
        let [(request, requested), (answer, answered)] = datagrams(&opened);

        for (sent, translated) in request.pieces(BYTES).iter().zip(requested.pieces(BYTES)) {
            let outcome = opened.course.request(world, sent);
            opened.course.requested(outcome, &translated);
        }
        for (sent, translated) in answer.pieces(BYTES).iter().zip(answered.pieces(BYTES)) {
            let outcome = opened.course.answer(world, sent);
            opened.course.answered(outcome, &translated);
        }
    });
}

#[test]
fn the_first_piece_opens_a_flow() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        for course in Course::ALL {
            let Opened {
                client, frontend, ..
            } = course.open(&mut world, flavour);
            world.forget_flows();
            let request = long(flavour.first(client, frontend));
            let mut pieces = request.pieces(BYTES).into_iter();

            let outcome = course.request(&world, &pieces.next().unwrap());

            let flow = world.flow();
            let translated = request.clone().from(flow.source).to(flow.endpoint);
            let translated = translated.ttl(if course.is_routed() { 63 } else { 64 });
            let mut expected = translated.pieces(BYTES).into_iter();
            course.requested(outcome, &expected.next().unwrap());
            for (piece, expected) in pieces.zip(expected) {
                course.requested(course.request(&world, &piece), &expected);
            }
        }
    }
}

/// Those of two datagrams at once, the first pieces first, some of them twice.
#[test]
fn whatever_the_order_after_the_first_piece_datagrams_arrive_whole() {
    let world = RefCell::new(World::new());
    let flavours = prop::sample::select(Flavour::ALL.to_vec());
    let courses = prop::sample::select(Course::ALL.to_vec());
    let payload = prop::collection::vec(any::<u8>(), 600..4000);
    let order = prop::collection::vec(any::<Index>(), 40);
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let cases = (flavours, courses, payload, 3..120_usize, order);
    TestRunner::new(config)
        .run(&cases, |(flavour, course, payload, units, order)| {
            let opened = course.open(&mut world.borrow_mut(), flavour);
            let world = world.borrow();
            for (packet, is_request) in [(opened.requests(), true), (opened.answers(), false)] {
                let (sent, translated) = packet;
                let (sent, translated) = (sent.payload(&payload), translated.payload(&payload));
                let pieces = sent.pieces(units * 8);
                let run = |piece: &Piece| {
                    let outcome = if is_request {
                        course.request(&world, piece)
                    } else {
                        course.answer(&world, piece)
                    };
                    outcome.output().to_vec()
                };

                let mut came_out = vec![run(&pieces[0])];
                let again = order.iter().map(|index| index.get(&pieces));
                came_out.extend(again.chain(pieces.iter().rev()).map(run));

                prop_assert_eq!(translated.join(&came_out), translated.datagram());
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_comes_before_the_first_piece_is_dropped() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, request) = served(&mut world, flavour);
        let endpoint = shop.endpoints()[0];
        let frontends = [shop.cluster_ip(), shop.vip(), shop.external_ip()];
        for (port, frontend) in (40_000..).zip(frontends) {
            let client = flavour.outside().at(port);
            let request = request.clone().from(client).to(frontend);
            let pieces = request.pieces(BYTES);
            let translated = request.to(endpoint).pieces(BYTES);

            world
                .ingress("eth0", &pieces[1])
                .drops(Counter::FragmentBeforeFirst);

            world
                .ingress("eth0", &pieces[0])
                .passes_as(&translated[0])
                .counts(Counter::NewFlow);
            world.ingress("eth0", &pieces[1]).passes_as(&translated[1]);
        }
        let process = request.from(flavour.node().at(40_000));
        world
            .sent("eth0", &process.pieces(BYTES)[1])
            .drops(Counter::FragmentBeforeFirst);
    }
}

/// It may be anybody's there, and an answer may be no service's.
#[test]
fn at_addresses_of_the_node_and_in_answers_it_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, request) = served(&mut world, flavour);
        let pieces = request.clone().to(shop.node_port()).pieces(BYTES);
        let answer = request.to(flavour.outside().at(40_000));
        let answers = answer.from(shop.endpoints()[0]).pieces(BYTES);

        world
            .ingress("eth0", &pieces[1])
            .passes_untouched()
            .counts(Counter::FragmentUnknown);
        let _ = world.ingress("eth0", &pieces[0]);
        world
            .egress("eth0", &answers[1])
            .passes_untouched()
            .counts_nothing();
    }
}

#[test]
fn pieces_of_a_flow_that_is_gone_are_dropped() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (_, request) = served(&mut world, flavour);
        let pieces = request.pieces(BYTES);
        let _ = world.ingress("eth0", &pieces[0]);
        world.forget_flows();

        let outcome = world.ingress("eth0", &pieces[1]);

        outcome.drops(Counter::FragmentBeforeFirst);
        assert_eq!(world.flows(), []);
    }
}

#[test]
fn first_pieces_are_remembered_for_a_while() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, request) = served(&mut world, flavour);
        let pieces = request.pieces(BYTES);
        let translated = request.to(shop.endpoints()[0]).pieces(BYTES);
        let _ = world.ingress("eth0", &pieces[0]);
        world.ingress("eth0", &pieces[1]).passes_as(&translated[1]);

        world.outlive_fragments();

        world
            .ingress("eth0", &pieces[2])
            .drops(Counter::FragmentBeforeFirst);
    }
}

#[test]
fn a_transport_header_in_two_pieces_is_dropped() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let (shop, request) = served(&mut world, flavour);
        let datagram = request.datagram();
        for frontend in [shop.cluster_ip(), shop.vip()] {
            let request = request.clone().to(frontend);
            for bytes in [8, 16] {
                let pieces = request.pieces(bytes);

                for piece in &pieces[..2] {
                    world.ingress("eth0", piece).drops(Counter::SplitHeader);
                }
            }
        }
        // One that would put other ports, flags or another checksum over those that were judged.
        for frontend in [shop.cluster_ip(), shop.node_port()] {
            let request = request.clone().to(frontend);
            let _ = world.ingress("eth0", &request.pieces(BYTES)[0]);
            for offset in [0, 1, 2] {
                let fragment = Fragment {
                    offset,
                    has_more: true,
                };
                let over = request.piece(fragment, &datagram[..16]);

                world.ingress("eth0", &over).drops(Counter::SplitHeader);
            }
        }
        assert_eq!(world.flows().len(), 2, "{:?}", world.flows());
    }
}

#[test]
fn split_headers_of_answers_are_dropped_and_of_nobody_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let (shop, request) = served(&mut world, flavour);
        let _ = world.ingress("eth0", &request);
        let client = flavour.outside().at(40_000);
        let answer = long(flavour.answer(shop.endpoints()[0], client));
        let split = answer.pieces(8);
        for piece in &split[..2] {
            world
                .egress("eth0", piece)
                .passes_untouched()
                .counts_nothing();
        }

        let _ = world.egress("eth0", &answer.pieces(BYTES)[0]);

        for piece in &split[..2] {
            world.egress("eth0", piece).drops(Counter::SplitHeader);
        }
    }
}

/// The header of UDP is as long as the least that a piece may be.
#[test]
fn no_piece_of_udp_splits_its_header() {
    let mut world = World::new();
    for flavour in Flavour::UDP {
        let (shop, request) = served(&mut world, flavour);
        let translated = request.clone().to(shop.endpoints()[0]);

        for (piece, translated) in request.pieces(8).iter().zip(translated.pieces(8)) {
            world.ingress("eth0", piece).passes_as(&translated);
        }
    }
}

#[test]
fn what_is_no_services_is_left_alone_and_not_remembered() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, request) = served(&mut world, flavour);
        let to_node = request.clone().to(flavour.node().at(9));
        let [first, later, ..] = &to_node.pieces(BYTES)[..] else {
            panic!("there are more pieces");
        };
        let past = request.to(flavour.remote_pod(1).at(POD_PORT));
        let answer = past.clone().from(shop.endpoints()[0]);

        world
            .ingress("eth0", first)
            .passes_untouched()
            .counts_nothing();
        world
            .ingress("eth0", later)
            .passes_untouched()
            .counts(Counter::FragmentUnknown);
        for piece in past.pieces(BYTES).iter().chain(&answer.pieces(BYTES)) {
            for device in ["eth0", "pod1"] {
                for outcome in [
                    world.ingress(device, piece),
                    world.egress(device, piece),
                    world.sent(device, piece),
                ] {
                    outcome.passes_untouched().counts_nothing();
                }
            }
        }
        assert_eq!(world.remembered(), 0);
        assert_eq!(world.flows(), []);
    }
}

/// Senders count in 16 bits in IPv4: they come round while an earlier datagram is remembered.
#[test]
fn a_foreign_datagram_with_the_number_of_an_earlier_one_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (shop, request) = served(&mut world, flavour);
        let ours = request.clone().to(shop.node_port()).pieces(BYTES);
        let foreign = request.to(flavour.node().at(9)).pieces(BYTES);
        let _ = world.ingress("eth0", &ours[0]);
        assert_eq!(world.remembered(), 1);

        for piece in &foreign {
            world.ingress("eth0", piece).passes_untouched();
        }

        assert_eq!(world.remembered(), 0);
    }
}

#[test]
fn the_table_is_bounded_and_serves_those_who_come_last() {
    const ENTRIES: usize = 16;
    let sizes = [
        format!("FRAGMENTS_V4={ENTRIES}"),
        format!("FRAGMENTS_V6={ENTRIES}"),
    ];
    let mut world = World::with_map_sizes(&sizes.each_ref().map(String::as_str));
    for flavour in Flavour::UDP {
        let (shop, request) = served(&mut world, flavour);
        for number in 1..=200 {
            let client = flavour.client(number).at(40_000);
            let _ = world.ingress("eth0", &request.clone().from(client).pieces(BYTES)[0]);
        }
        let remembered = world.remembered();
        assert!((1..=2 * ENTRIES).contains(&remembered), "{remembered}");

        let translated = request.clone().to(shop.endpoints()[0]).pieces(BYTES);
        for (piece, translated) in request.pieces(BYTES).iter().zip(&translated) {
            world.ingress("eth0", piece).passes_as(translated);
        }
    }
}

#[test]
fn a_second_hook_leaves_translated_pieces_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let opened = Course::Edge.open(&mut world, flavour);
        let [(request, requested), (answer, answered)] = datagrams(&opened);
        for (sent, translated) in request.pieces(BYTES).iter().zip(requested.pieces(BYTES)) {
            world.ingress("pod1", sent).passes_as(&translated);
            for outcome in [
                world.ingress("pod1", &translated),
                world.ingress("pod3", &translated),
                world.egress("eth0", &translated),
            ] {
                outcome.passes_untouched().counts_nothing();
            }
        }
        for (sent, translated) in answer.pieces(BYTES).iter().zip(answered.pieces(BYTES)) {
            world
                .ingress("eth0", sent)
                .passes_untouched()
                .counts_nothing();
            world.egress("pod1", sent).passes_as(&translated);
            world
                .egress("pod3", &translated)
                .passes_untouched()
                .counts_nothing();
        }
    }
}

/// RFC 6946.
#[test]
fn the_only_fragment_of_a_datagram_is_a_whole_one() {
    let mut world = World::new();
    let only = Fragment {
        offset: 0,
        has_more: false,
    };
    for flavour in Flavour::V6 {
        let (shop, request) = served(&mut world, flavour);
        let atomic = request.fragment(only);

        let outcome = world.ingress("eth0", &atomic);

        outcome.passes_as(&atomic.to(shop.endpoints()[0]));
        assert_eq!(world.remembered(), 0);
    }
}

#[test]
fn a_datagram_without_a_checksum_stays_without() {
    let mut world = World::new();
    let [flavour, _] = Flavour::UDP;
    let (shop, request) = served(&mut world, flavour);
    let request = request.without_checksum();
    let translated = request.clone().to(shop.endpoints()[0]);

    for (piece, translated) in request.pieces(BYTES).iter().zip(translated.pieces(BYTES)) {
        world.ingress("eth0", piece).passes_as(&translated);
    }
}

/// RFC 1122, section 3.2.2.
#[test]
fn of_what_goes_no_further_only_the_first_piece_is_told() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let opened = Course::Whole.open(&mut world, flavour);
        let [(request, _), (answer, _)] = datagrams(&opened);
        let whole = request.pieces(BYTES);
        let _ = world.ingress("eth0", &whole[0]);
        let _ = world.ingress("eth0", &answer.pieces(BYTES)[0]);
        let [requests, answers] = [request, answer].map(|packet| packet.ttl(1).pieces(BYTES));

        for pieces in [&requests, &answers] {
            let outcome = world.ingress("eth0", &pieces[1]);
            assert!(!outcome.was_refused(), "{outcome:?}");
            outcome.drops(Counter::Expired);
            world.ingress("eth0", &pieces[0]).expires();
        }
        let unserved = Shop::new(flavour, 2);
        world.serve(&[&unserved]);
        let client = flavour.outside().at(40_000);
        let pieces = long(flavour.first(client, unserved.cluster_ip())).pieces(BYTES);
        world
            .ingress("eth0", &pieces[0])
            .refuses(Counter::NoEndpoint);
        world
            .ingress("eth0", &pieces[1])
            .drops(Counter::FragmentBeforeFirst);
    }
}

#[test]
fn a_piece_too_big_is_dropped_and_the_sender_told_by_the_first() {
    const MTU: u16 = 400;
    let mut world = World::new();
    for flavour in Flavour::V4 {
        World::set_mtu("eth0", 1500);
        let opened = Course::Whole.open(&mut world, flavour);
        let [(request, _), _] = datagrams(&opened);
        let pieces = request.pieces(BYTES);
        let _ = world.ingress("eth0", &pieces[0]);

        World::set_mtu("eth0", MTU);

        let outcome = world.ingress("eth0", &pieces[1]);
        assert!(!outcome.was_refused(), "{outcome:?}");
        outcome.drops(Counter::PacketTooBig);
        world.ingress("eth0", &pieces[0]).exceeds(MTU);
    }
}

#[test]
fn pieces_in_frames_for_another_host_are_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (_, request) = served(&mut world, flavour);

        for piece in request.with_mac([2, 0, 0, 0, 0, 99]).pieces(BYTES) {
            world
                .ingress("eth0", &piece)
                .passes_untouched()
                .counts_nothing();
        }
    }
}
