//! Who is told that nobody serves: clients of services without endpoints, and of ports and protocols
//! that a cluster IP has no service at; how often; and what is left alone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netproxy_common::Counter;

use crate::world::{Asker, At as _, Flavour, Packet, Shop, World, tcp};

/// `IPPROTO_ICMP` and `IPPROTO_ICMPV6`.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Lasts until as many errors may be sent at once as ever.
fn rest() {
    /// A burst of 50, one each millisecond, by a clock that goes in steps of up to ten.
    const REFILLED: Duration = Duration::from_millis(60);
    std::thread::sleep(REFILLED);
}

#[test]
fn a_service_without_endpoints_refuses_everybody() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        world.serve(&[&shop]);
        rest();
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            for frontend in [shop.cluster_ip(), shop.vip(), shop.external_ip()] {
                let request = flavour.first(client, frontend);
                asker.sends(&world, &request).refuses(Counter::NoEndpoint);
            }
        }
        let client = flavour.outside().at(40_000);
        let request = flavour.first(client, shop.node_port());
        world.ingress("eth0", &request).refuses(Counter::NoEndpoint);
    }
    assert_eq!(world.flows(), []);
}

#[test]
fn an_unused_port_of_a_cluster_ip_is_refused_to_everybody() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        rest();
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            for port in [shop.cluster_ip().port() + 1, shop.node_port().port()] {
                let request = flavour.first(client, shop.cluster_ip().ip().at(port));
                asker.sends(&world, &request).refuses(Counter::UnusedPort);
            }
        }
    }
    assert_eq!(world.flows(), []);
}

#[test]
fn the_other_protocol_at_a_services_port_is_refused() {
    const PAIRS: [([Flavour; 2], [Flavour; 2]); 4] = [
        (Flavour::TCP, Flavour::UDP),
        (Flavour::UDP, Flavour::TCP),
        (Flavour::UDP, Flavour::SCTP),
        (Flavour::SCTP, Flavour::TCP),
    ];
    let mut world = World::new();
    for (served, other) in PAIRS
        .into_iter()
        .flat_map(|(served, other)| served.into_iter().zip(other))
    {
        let shop = Shop::new(served, 1).here(served.local_pod(2));
        world.serve(&[&shop]);
        for asker in Asker::ALL {
            let client = asker.address(other).at(40_000);
            let request = other.first(client, shop.cluster_ip());
            asker.sends(&world, &request).refuses(Counter::UnusedPort);
        }
        world
            .datapath()
            .apply(&[(shop.name(), Vec::new())])
            .unwrap();
    }
}

#[test]
fn a_ping_of_a_cluster_ip_is_refused() {
    let mut world = World::new();
    for flavour in Flavour::UDP {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
        world.serve(&[&shop]);
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(0);
            let ping = flavour.first(client, shop.cluster_ip()).echo_request();

            asker.sends(&world, ping).refuses(Counter::UnusedPort);
        }
    }
}

/// An error about an error could go on for ever, and an answer asks nothing (RFC 1122, section
/// 3.2.2; RFC 4443, section 2.4).
#[test]
fn icmp_that_is_no_question_to_a_cluster_ip_is_left_alone() {
    /// Answers to pings, errors, redirects; of IPv6 router and neighbour discovery as well.
    const KINDS: [u8; 6] = [0, 3, 4, 5, 11, 12];
    const KINDS_V6: [u8; 8] = [1, 2, 3, 4, 129, 133, 135, 136];
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        world.serve(&[&shop]);
        for asker in Asker::ALL {
            let packet = flavour.first(asker.address(flavour).at(40_000), shop.cluster_ip());
            let (protocol, kinds) = if packet.is_v4() {
                (ICMP, &KINDS[..])
            } else {
                (ICMPV6, &KINDS_V6[..])
            };
            for kind in kinds {
                let message = [*kind, 3, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 20];
                let outcome = asker.sends(&world, packet.carrying(protocol, &message));
                assert!(!outcome.passes_untouched().was_refused());
            }
        }
    }
}

#[test]
fn an_unused_port_of_any_other_address_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        world.serve(&[&shop]);
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            for address in [shop.vip(), shop.external_ip(), shop.node_port()] {
                let unused = address.ip().at(9999);
                let request = flavour.first(client, unused);
                let outcome = asker.sends(&world, &request);
                outcome.passes_untouched().counts_nothing();
                let outcome = asker.sends(&world, request.echo_request());
                outcome.passes_untouched().counts_nothing();
            }
        }
    }
}

fn segments_that_open_nothing(client: SocketAddr, frontend: SocketAddr) -> [Packet; 5] {
    let segment = tcp(client, frontend);
    [
        segment.clone(),
        segment.clone().ack(),
        segment.clone().syn().ack(),
        segment.clone().fin().ack(),
        segment.rst(),
    ]
}

#[test]
fn a_segment_that_opens_nothing_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let shop = Shop::new(flavour, 1);
        world.serve(&[&shop]);
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            let unused = shop.cluster_ip().ip().at(9999);
            for segment in segments_that_open_nothing(client, unused) {
                let outcome = asker.sends(&world, &segment);
                outcome.passes_untouched().counts_nothing();
            }
            for segment in segments_that_open_nothing(client, shop.cluster_ip()) {
                let outcome = asker.sends(&world, &segment);
                outcome
                    .passes_untouched()
                    .counts(Counter::UnknownConnection);
            }
        }
    }
}

#[test]
fn a_frame_for_another_host_is_not_refused() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        world.serve(&[&shop]);
        for (device, client) in [("eth0", flavour.outside()), ("pod3", flavour.local_pod(3))] {
            for frontend in [
                shop.cluster_ip(),
                shop.cluster_ip().ip().at(9999),
                shop.vip(),
            ] {
                let request = flavour
                    .first(client.at(40_000), frontend)
                    .with_mac([2, 0, 0, 0, 0, 99]);

                let outcome = world.ingress(device, &request);

                outcome.passes_untouched().counts_nothing();
            }
        }
    }
}

/// RFC 1122, section 3.2.2.
#[test]
fn a_frame_to_many_is_not_answered() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        world.serve(&[&shop]);
        for mac in [[0xff; 6], [0x01, 0, 0x5e, 0, 0, 1]] {
            let request = flavour
                .first(flavour.outside().at(40_000), shop.cluster_ip())
                .with_mac(mac);

            world.ingress("eth0", &request).passes_untouched();
        }
    }
}

/// There is nobody to tell.
#[test]
fn a_packet_from_no_address_is_not_refused() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        world.serve(&[&shop]);
        let request = flavour.first(flavour.unspecified().at(40_000), shop.cluster_ip());

        let outcome = world.ingress("pod1", &request);

        outcome.passes_untouched().counts_nothing();
    }
}

#[test]
fn refusals_are_limited_and_there_are_more_after_a_while() {
    /// What each CPU may send at once, and in a second.
    const BURST: u64 = 50;
    const PER_SECOND: u128 = 1000;
    const LONGEST: Duration = Duration::from_secs(30);
    let cpus = u64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        world.serve(&[&shop]);
        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, shop.cluster_ip());
        let hook = world.ingress_hook("pod1");
        let begin = Instant::now();

        let counted = hook.flood(&request, |counted| {
            assert!(begin.elapsed() < LONGEST, "{counted:?}");
            counted.contains_key(&Counter::RefusalLimited)
        });

        // The clock that programs read runs ahead in steps of up to ten milliseconds.
        let passed_ms = (begin.elapsed() + Duration::from_millis(10)).as_millis();
        let allowed = BURST + 1 + u64::try_from(passed_ms * PER_SECOND / 1000).unwrap();
        let of = |counter| counted.get(&counter).copied().unwrap_or_default();
        let (told, untold) = (of(Counter::Refused), of(Counter::RefusalLimited));
        assert!(told <= allowed * cpus, "{counted:?}");
        assert_eq!(of(Counter::NoEndpoint), told + untold);
        hook.flood(&request, |counted| {
            assert!(begin.elapsed() < LONGEST, "{counted:?}");
            counted.contains_key(&Counter::Refused)
        });
    }
}

#[test]
fn what_is_not_refused_for_being_too_many_is_dropped() {
    const LONGEST: Duration = Duration::from_secs(30);
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = Shop::new(flavour, 1);
    world.serve(&[&shop]);
    let request = flavour.first(flavour.local_pod(1).at(40_000), shop.cluster_ip());
    let hook = world.ingress_hook("pod1");
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < LONGEST, "no refusal was too many");
        hook.flood(&request, |counted| {
            counted.contains_key(&Counter::RefusalLimited)
        });

        let outcome = world.ingress("pod1", &request);

        // The next one may again be allowed.
        if !outcome.was_refused() {
            outcome
                .drops(Counter::NoEndpoint)
                .counts(Counter::RefusalLimited);
            return;
        }
    }
}
