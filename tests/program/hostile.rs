//! Bytes that nobody sane sends, at every program: a packet whose checksums held leaves with
//! checksums that hold, and one that is no service's leaves as it came.

use std::net::IpAddr;
use std::ops::Range;

use netproxy::model::{Family, Protocol};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{
    At as _, Flavour, Fragment, IcmpError, Outcome, POD_PORT, Packet, Shop, World, checksums_hold,
};

/// Cases of each property.
const CASES: u32 = 2000;

/// The kernel runs programs on packets with an IPv6 header at least.
const LENGTHS: Range<usize> = 54..400;

fn config() -> Config {
    Config {
        cases: CASES,
        // There is no source file next to which a failure could be kept.
        failure_persistence: None,
        ..Config::default()
    }
}

/// The node of all cases: services of every flavour, with endpoints here and elsewhere.
fn node() -> World {
    let mut world = World::new().with_layer_3();
    for flavour in Flavour::ALL {
        let mixed = Shop::new(flavour, 1)
            .here(flavour.local_pod(1))
            .here(flavour.local_pod(2))
            .elsewhere(flavour.remote_pod(1));
        let empty = Shop::new(flavour, 2);
        world.serve(&[&mixed, &empty]);
    }
    world
}

/// Hands the packet to every program there is.
fn at_every_hook(world: &World, packet: &[u8]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for device in ["eth0", "pod1", "tun0"] {
        outcomes.push(world.ingress(device, packet));
        outcomes.push(world.egress(device, packet));
        outcomes.push(world.sent(device, packet));
    }
    outcomes
}

fn flavour() -> impl Strategy<Value = Flavour> {
    prop::sample::select(&Flavour::ALL[..])
}

/// Addresses that mean something, and ports that may.
fn packet() -> impl Strategy<Value = Packet> {
    let parts = (
        flavour(),
        0..8_u8,
        0..8_u8,
        any::<bool>(),
        prop::option::weighted(0.2, any::<u16>()),
    );
    let form = (
        any::<[bool; 4]>(),
        0..=10_usize,
        0..=255_u8,
        prop::collection::vec(any::<u8>(), 26..200),
    );
    let extras = (
        any::<[bool; 3]>(),
        prop::option::weighted(0.1, (0..8000_u16, any::<bool>())),
    );
    (parts, form, extras).prop_map(|((flavour, from, to, is_service, port), form, extras)| {
        let ([syn, ack, fin, rst], words, ttl, payload) = form;
        let address = |number: u8| match number {
            0 => flavour.cluster_ip(1),
            1 => flavour.vip(1),
            2 => flavour.external_ip(2),
            3 => flavour.node(),
            4 => flavour.local_pod(1),
            5 => flavour.local_pod(3),
            6 => flavour.remote_pod(1),
            _ => flavour.outside(),
        };
        let shop = Shop::new(flavour, 1);
        let port = port.unwrap_or(if is_service {
            shop.vip().port()
        } else {
            shop.node_port().port()
        });
        let mut packet = flavour
            .first(
                address(from).at(if from == 6 { POD_PORT } else { 40_000 }),
                address(to).at(port),
            )
            .ttl(ttl)
            .payload(&payload);
        if flavour.protocol == Protocol::Tcp {
            for (is_set, set) in [
                (syn, Packet::syn as fn(Packet) -> Packet),
                (ack, Packet::ack),
                (fin, Packet::fin),
                (rst, Packet::rst),
            ] {
                packet = if is_set { set(packet) } else { packet };
            }
        } else if flavour.protocol == Protocol::Udp && flavour.family == Family::V4 && rst {
            packet = packet.without_checksum();
        }
        let ([hop_by_hop, destination_options, routing], fragment) = extras;
        if flavour.family == Family::V4 {
            packet = packet.v4_options(words);
        } else {
            packet = if hop_by_hop {
                packet.hop_by_hop()
            } else {
                packet
            };
            packet = if destination_options {
                packet.destination_options()
            } else {
                packet
            };
            packet = if routing {
                packet.routing(u8::from(syn))
            } else {
                packet
            };
        }
        match fragment {
            Some((offset, has_more)) => packet.fragment(Fragment { offset, has_more }),
            None => packet,
        }
    })
}

#[test]
fn checksums_that_held_before_hold_after() {
    let world = node();
    TestRunner::new(config())
        .run(&packet(), |packet| {
            let bytes = packet.bytes();
            for (device, packet) in [
                ("eth0", bytes.clone()),
                ("pod1", bytes.clone()),
                ("tun0", packet.without_link_layer().bytes()),
            ] {
                let ip = if device == "tun0" { 0 } else { 14 };
                for outcome in [
                    world.ingress(device, packet.clone()),
                    world.egress(device, packet.clone()),
                    world.sent(device, packet.clone()),
                ] {
                    let before = checksums_hold(&packet[ip..]);
                    let after = checksums_hold(&outcome.output()[ip..]);
                    if outcome.was_refused() {
                        prop_assert_eq!(after.1, Some(true), "{:?}", outcome);
                        continue;
                    }
                    prop_assert_eq!(before, after, "{:?}", outcome);
                    prop_assert_eq!(outcome.output().len(), packet.len());
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn random_bytes_come_out_as_they_went_in() {
    let world = node();
    let bytes = prop::collection::vec(any::<u8>(), LENGTHS);
    let ethertype = prop::sample::select(vec![0x0800_u16, 0x86dd]);
    TestRunner::new(config())
        .run(&(bytes, ethertype), |(mut bytes, ethertype)| {
            bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
            for outcome in at_every_hook(&world, &bytes) {
                prop_assert_eq!(outcome.output(), &bytes[..], "{:?}", outcome);
                prop_assert!(!outcome.is_dropped(), "{:?}", outcome);
            }
            Ok(())
        })
        .unwrap();
}

/// A process of this node has a flow; what was forwarded does not continue it, whatever its source says.
#[test]
fn a_forwarded_packet_that_pretends_to_be_of_this_host_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let request = flavour.first(flavour.node().at(40_000), shop.vip());
        world
            .sent("eth0", &request)
            .redirects_as(&request.clone().to(endpoint));
        let answer = flavour.answer(shop.vip(), flavour.node().at(40_000));
        let [message, ..] = IcmpError::messages(request.is_v4()) else {
            unreachable!("there are some");
        };
        let error = IcmpError::new(flavour.node(), shop.vip().ip(), *message, &answer);

        let pretended = world.egress("eth0", &request);
        let about = world.egress("eth0", &error);

        pretended.passes_untouched().counts_nothing();
        about.passes_untouched().counts_nothing();
        world
            .sent("eth0", &request)
            .redirects_as(&request.to(endpoint));
    }
}

/// Behind more extension headers than are looked at there may be anything, even an ICMP error, which is not
/// to be answered by another.
#[test]
fn a_packet_with_too_many_extension_headers_is_refused_nothing() {
    const DESTINATION_OPTIONS: u8 = 60;
    let mut world = World::new();
    for flavour in Flavour::V6 {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        let request = flavour.first(flavour.local_pod(1).at(40_000), shop.cluster_ip());
        let mut bytes = request.carrying(DESTINATION_OPTIONS, b"");
        for next in [DESTINATION_OPTIONS; 4].into_iter().chain([58]) {
            // PadN over the rest (RFC 8200, section 4.2).
            bytes.extend([next, 0, 1, 4, 0, 0, 0, 0]);
        }
        // Port unreachable.
        bytes.extend([1, 4, 0, 0, 0, 0, 0, 0]);
        let length = u16::try_from(bytes.len() - 54).unwrap();
        bytes[18..20].copy_from_slice(&length.to_be_bytes());

        let outcome = world.ingress("pod1", bytes);

        outcome.passes_untouched().counts_nothing();
    }
}

/// Every node of a segment sees such a frame, and each serves a VIP: the packet would be multiplied.
#[test]
fn a_frame_for_many_opens_no_flow() {
    const FOR_MANY: [[u8; 6]; 2] = [[0xff; 6], [1, 0, 0x5e, 0, 0, 1]];
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let near = Shop::new(flavour, 1).here(flavour.local_pod(1));
        let far = Shop::new(flavour, 2).elsewhere(flavour.remote_pod(1));
        world.serve(&[&near, &far]);
        for shop in [&near, &far] {
            for mac in FOR_MANY {
                let request = flavour.first(flavour.outside().at(40_000), shop.vip());

                let outcome = world.ingress("eth0", &request.with_mac(mac));

                outcome.passes_untouched().counts_nothing();
            }
        }
    }
    assert!(world.flows().is_empty());
}

/// The stack drops what comes from no host; what goes past it never gets there.
#[test]
fn a_source_that_is_no_hosts_opens_no_flow_and_is_told_nothing() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let far = Shop::new(flavour, 1).elsewhere(flavour.remote_pod(1));
        let empty = Shop::new(flavour, 2);
        world.serve(&[&far, &empty]);
        let sources: &[&str] = if flavour.family == Family::V4 {
            &[
                "0.0.0.0",
                "0.1.2.3",
                "127.0.0.1",
                "224.0.0.1",
                "239.255.255.250",
                "255.255.255.255",
            ]
        } else {
            &["::", "::1", "ff02::1"]
        };
        for source in sources {
            let source = source.parse::<IpAddr>().unwrap().at(40_000);
            for frontend in [far.vip(), empty.vip()] {
                let outcome = world.ingress("eth0", &flavour.first(source, frontend));

                outcome.passes_untouched().counts_nothing();
            }
        }
        let hosts: &[&str] = if flavour.family == Family::V4 {
            &[
                "1.0.0.1",
                "126.0.0.1",
                "128.0.0.1",
                "223.0.0.1",
                "240.0.0.1",
            ]
        } else {
            &["::2", "2001:db8::1"]
        };
        for host in hosts {
            let host = host.parse::<IpAddr>().unwrap().at(40_000);
            let outcome = world.ingress("eth0", &flavour.first(host, far.vip()));
            assert_eq!(outcome.destination().ip(), flavour.remote_pod(1), "{host}");
        }
    }
}

/// Some bytes of a good packet are replaced; its length may be anything.
#[test]
fn a_mutilated_packet_keeps_its_length_and_its_data() {
    let world = node();
    let changes = prop::collection::vec((14..120_usize, any::<u8>()), 1..6);
    TestRunner::new(config())
        .run(
            &(packet(), changes, 54..400_usize),
            |(packet, changes, length)| {
                let mut bytes = packet.bytes();
                bytes.truncate(length.max(54));
                for (at, value) in changes {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = value;
                    }
                }
                if bytes.len() < 54 {
                    return Ok(());
                }
                for outcome in at_every_hook(&world, &bytes) {
                    let output = outcome.output();
                    if outcome.was_refused() {
                        prop_assert_eq!(checksums_hold(&output[14..]).1, Some(true));
                        continue;
                    }
                    prop_assert_eq!(output.len(), bytes.len());
                    // TTL, checksums, two addresses and two ports are all that ever changes.
                    let differing = output.iter().zip(&bytes).filter(|(a, b)| a != b).count();
                    prop_assert!(differing <= 8 + 1 + 4 + 32 + 4, "{:?}", outcome);
                }
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn packets_between_addresses_of_no_service_come_out_as_they_went_in() {
    let world = node();
    TestRunner::new(config())
        .run(&(packet(), 1..255_u8), |(packet, number)| {
            let flavour = Flavour::ALL
                .into_iter()
                .find(|flavour| flavour.node().is_ipv4() == packet.is_v4())
                .unwrap();
            let stray = packet.to(flavour.remote_pod(0x4000 | u16::from(number)).at(80));
            let bytes = stray.bytes();
            for outcome in at_every_hook(&world, &bytes) {
                prop_assert_eq!(outcome.output(), &bytes[..], "{:?}", outcome);
            }
            Ok(())
        })
        .unwrap();
}
