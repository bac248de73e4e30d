//! Datagrams in fragments: the first one is translated as any packet, those that follow it like it.

use std::cell::RefCell;

use netproxy_common::Counter;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{
    At as _, Course, Flavour, Fragment, Opened, Outcome, Packet, Piece, Shop, World,
};

/// What each piece carries.
pub(crate) const BYTES: usize = 400;

/// A datagram of some pieces, each of which looks different.
pub(crate) fn long(packet: Packet) -> Packet {
    let payload: Vec<u8> = (0..1500_u16).flat_map(u16::to_be_bytes).collect();
    packet.payload(&payload)
}

/// A client outside asks a service with an endpoint here.
pub(crate) fn served(world: &mut World, flavour: Flavour) -> (Shop, Packet) {
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
pub(crate) fn datagrams(opened: &Opened) -> [(Packet, Packet); 2] {
    let hops = if opened.course.is_routed() { 32 } else { 33 };
    [opened.requests(), opened.answers()]
        .map(|(sent, translated)| (long(sent), long(translated).ttl(hops)))
}

#[test]
fn datagrams_in_pieces_get_through_both_ways() {
    Opened::each_of(&Flavour::IN_PIECES, |world, opened| {
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
    for flavour in Flavour::IN_PIECES {
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
    let flavours = prop::sample::select(Flavour::IN_PIECES.to_vec());
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
fn first_pieces_are_remembered_for_a_while() {
    let mut world = World::new();
    for flavour in Flavour::IN_PIECES {
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
    for flavour in Flavour::IN_PIECES {
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
