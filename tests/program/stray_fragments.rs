//! Fragments that go no further, or that are nobody's here: those without their first one, those that
//! split the transport header, and those of no service.

use netproxy_common::Counter;

use crate::fragments::{BYTES, datagrams, long, served};
use crate::world::{At as _, Course, Flavour, Fragment, POD_PORT, Shop, World};

#[test]
fn what_comes_before_the_first_piece_is_dropped() {
    let mut world = World::new();
    for flavour in Flavour::IN_PIECES {
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
    for flavour in Flavour::IN_PIECES {
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
    for flavour in Flavour::IN_PIECES {
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

#[test]
fn what_is_no_services_is_left_alone_and_not_remembered() {
    let mut world = World::new();
    for flavour in Flavour::IN_PIECES {
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
    for flavour in Flavour::IN_PIECES {
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

/// RFC 1122, section 3.2.2.
#[test]
fn of_what_goes_no_further_only_the_first_piece_is_told() {
    let mut world = World::new();
    for flavour in Flavour::IN_PIECES {
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
    for flavour in Flavour::IN_PIECES {
        let (_, request) = served(&mut world, flavour);

        for piece in request.with_mac([2, 0, 0, 0, 0, 99]).pieces(BYTES) {
            world
                .ingress("eth0", &piece)
                .passes_untouched()
                .counts_nothing();
        }
    }
}

/// What its new ports do to the checksum depends on the length of the whole.
#[test]
fn an_sctp_packet_in_pieces_is_dropped_where_its_ports_would_change() {
    let mut world = World::new();
    for flavour in Flavour::SCTP {
        let (_, request) = served(&mut world, flavour);

        let outcome = world.ingress("eth0", &request.pieces(BYTES)[0]);

        outcome.drops(Counter::SctpFragment);
        assert_eq!(world.flows(), []);
    }
}
