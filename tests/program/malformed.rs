//! Packets that are not what they claim to be: left alone, whatever is wrong with them.

use netproxy::model::{Family, Protocol};

use crate::world::{At as _, Flavour, POD_PORT, Shop, World};

/// Where things stand in a packet with an Ethernet header.
const IP: usize = 14;

fn transport(flavour: Flavour) -> usize {
    IP + match flavour.family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

fn transport_header(flavour: Flavour) -> usize {
    match flavour.protocol {
        Protocol::Tcp => 20,
        Protocol::Udp => 8,
        Protocol::Sctp => 12,
    }
}

/// Overwrites what the packet says of its own length after the Ethernet header.
fn set_length(flavour: Flavour, bytes: &mut [u8], length: usize) {
    let (at, value) = match flavour.family {
        Family::V4 => (IP + 2, length),
        Family::V6 => (IP + 4, length - 40),
    };
    bytes[at..][..2].copy_from_slice(&u16::try_from(value).unwrap().to_be_bytes());
}

#[test]
fn a_packet_cut_off_before_its_ports_end_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
        world.serve(&[&shop]);
        let whole = flavour
            .first(flavour.outside().at(40_000), shop.node_port())
            .bytes();
        // The kernel does not run a program on a test packet without an IP header.
        for length in transport(flavour)..transport(flavour) + transport_header(flavour) {
            let cut = whole[..length].to_vec();
            world
                .ingress("eth0", cut.clone())
                .passes_untouched()
                .counts_nothing();
            world
                .egress("eth0", cut.clone())
                .passes_untouched()
                .counts_nothing();
            world.sent("eth0", cut).passes_untouched().counts_nothing();
        }
    }
}

/// Never more than addresses, ports and checksums change, however much is missing.
#[test]
fn a_packet_cut_off_in_its_data_keeps_what_it_has() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(endpoint.ip());
        world.serve(&[&shop]);
        let request = flavour.first(flavour.outside().at(40_000), shop.node_port());
        let (whole, translated) = (request.bytes(), request.to(endpoint).bytes());
        for length in transport(flavour) + transport_header(flavour)..=whole.len() {
            let outcome = world.ingress("eth0", whole[..length].to_vec());
            let output = outcome.output();
            assert!(
                output == &whole[..length] || output == &translated[..length],
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn a_packet_shorter_by_its_own_account_than_its_headers_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
        world.serve(&[&shop]);
        let whole = flavour
            .first(flavour.outside().at(40_000), shop.node_port())
            .bytes();
        let ip = transport(flavour) - IP;
        let shortest = if flavour.family == Family::V4 {
            1
        } else {
            40 + 1
        };
        for length in shortest..ip + transport_header(flavour) {
            let mut lying = whole.clone();
            set_length(flavour, &mut lying, length);

            let outcome = world.ingress("eth0", lying);

            outcome.passes_untouched().counts_nothing();
        }
    }
}

/// Zero stands for "too long to say" where segments are sent together, and for nothing elsewhere.
#[test]
fn a_packet_of_no_length_by_its_own_account_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
        world.serve(&[&shop]);
        let mut lying = flavour
            .first(flavour.outside().at(40_000), shop.node_port())
            .bytes();
        let at = if flavour.family == Family::V4 {
            IP + 2
        } else {
            IP + 4
        };
        lying[at..][..2].fill(0);

        let outcome = world.ingress("eth0", lying);

        outcome.passes_untouched().counts_nothing();
    }
}

#[test]
fn a_version_that_is_not_the_ethertypes_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
        world.serve(&[&shop]);
        let right = flavour
            .first(flavour.outside().at(40_000), shop.node_port())
            .bytes();
        for version in (0..16).filter(|version| *version != right[IP] >> 4) {
            let mut wrong = right.clone();
            wrong[IP] = version << 4 | wrong[IP] & 0x0f;

            world
                .ingress("eth0", wrong.clone())
                .passes_untouched()
                .counts_nothing();
            world
                .sent("eth0", wrong)
                .passes_untouched()
                .counts_nothing();
        }
    }
}

#[test]
fn an_ipv4_header_shorter_than_an_ipv4_header_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::V4 {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
        world.serve(&[&shop]);
        let right = flavour
            .first(flavour.outside().at(40_000), shop.node_port())
            .bytes();
        for words in 0..5 {
            let mut wrong = right.clone();
            wrong[IP] = 0x40 | words;

            world
                .ingress("eth0", wrong)
                .passes_untouched()
                .counts_nothing();
        }
    }
}

#[test]
fn more_extension_headers_than_anyone_sends_are_not_followed() {
    let mut world = World::new();
    for flavour in Flavour::V6 {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
        world.serve(&[&shop]);
        let mut packet = flavour
            .first(flavour.outside().at(40_000), shop.node_port())
            .bytes();
        let last = packet[IP + 6];
        for number in 0..5 {
            // Destination options, eight bytes of padding.
            let next = if number == 0 { last } else { 60 };
            packet.splice(IP + 40..IP + 40, [next, 0, 1, 4, 0, 0, 0, 0]);
            packet[IP + 6] = 60;
        }
        let length = packet.len() - IP;
        set_length(flavour, &mut packet, length);

        let outcome = world.ingress("eth0", packet);

        outcome.passes_untouched().counts_nothing();
    }
}

#[test]
fn addresses_of_no_service_are_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).here(flavour.local_pod(1));
        world.serve(&[&shop]);
        let client = flavour.outside().at(40_000);
        for destination in [
            flavour.local_pod(1).at(POD_PORT),
            flavour.remote_pod(1).at(shop.cluster_ip().port()),
            flavour.node().at(shop.cluster_ip().port()),
            flavour.cluster_ip(9).at(shop.cluster_ip().port()),
        ] {
            let packet = flavour.first(client, destination);
            world
                .ingress("eth0", &packet)
                .passes_untouched()
                .counts_nothing();
            world
                .egress("pod1", &packet)
                .passes_untouched()
                .counts_nothing();
            world
                .sent("eth0", &packet)
                .passes_untouched()
                .counts_nothing();
        }
        assert_eq!(world.flows(), []);
    }
}
