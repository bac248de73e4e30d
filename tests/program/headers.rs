//! What may stand around addresses and ports: options, extension headers, missing checksums, tags,
//! and packets that are not a whole datagram.

use std::net::SocketAddr;

use crate::world::{At as _, Context, Flavour, POD_PORT, Packet, Shop, World};

/// Two services of one flavour: a NodePort with an endpoint here, and one with an endpoint
/// elsewhere.
struct Served<'a> {
    world: &'a World,
    here: (SocketAddr, SocketAddr),
    elsewhere: (SocketAddr, SocketAddr),
}

impl<'a> Served<'a> {
    fn by(world: &'a mut World, flavour: Flavour) -> Self {
        let here = flavour.local_pod(1).at(POD_PORT);
        let elsewhere = flavour.remote_pod(1).at(POD_PORT);
        let near = Shop::new(flavour, 1).here(here.ip());
        let far = Shop::new(flavour, 2).elsewhere(elsewhere.ip());
        world.serve(&[&near, &far]);
        Self {
            world,
            here: (near.node_port(), here),
            elsewhere: (far.node_port(), elsewhere),
        }
    }

    /// Asserts that requests of this form are translated, at the edge and whole, and so are
    /// answers of this form.
    #[track_caller]
    fn translates(&self, flavour: Flavour, client_port: u16, form: impl Fn(Packet) -> Packet) {
        let Self {
            world,
            here,
            elsewhere,
        } = self;
        let client = flavour.outside().at(client_port);

        let (frontend, endpoint) = *here;
        let request = form(flavour.first(client, frontend));
        world
            .ingress("eth0", &request)
            .passes_as(&request.clone().to(endpoint));
        let answer = form(flavour.answer(endpoint, client));
        world
            .egress("eth0", &answer)
            .passes_as(&answer.clone().from(frontend));

        let (frontend, endpoint) = *elsewhere;
        let request = form(flavour.first(client, frontend));
        let outcome = world.ingress("eth0", &request);
        let source = outcome.source();
        outcome.redirects_as(&request.from(source).to(endpoint).ttl(63));
        let answer = form(flavour.answer(endpoint, source));
        let outcome = world.ingress("eth0", &answer);
        outcome.redirects_as(&answer.from(frontend).to(client).ttl(63));
    }
}

#[test]
fn ipv4_options_of_any_length_are_carried_along() {
    let mut world = World::new();
    for flavour in Flavour::V4 {
        let served = Served::by(&mut world, flavour);
        for words in 0..=10 {
            let port = 40_000 + u16::try_from(words).unwrap();
            served.translates(flavour, port, |packet| packet.v4_options(words));
        }
    }
}

#[test]
fn ipv6_extension_headers_are_carried_along() {
    let mut world = World::new();
    for flavour in Flavour::V6 {
        let served = Served::by(&mut world, flavour);
        served.translates(flavour, 40_000, Packet::hop_by_hop);
        served.translates(flavour, 40_001, Packet::destination_options);
        served.translates(flavour, 40_002, |packet| {
            packet.hop_by_hop().destination_options()
        });
        served.translates(flavour, 40_003, |packet| packet.routing(0));
        served.translates(flavour, 40_004, |packet| {
            packet.hop_by_hop().destination_options().routing(0)
        });
    }
}

/// As long as they can be, they may be too long to be looked at, but never in the way.
#[test]
fn long_extension_headers_are_carried_along_or_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::V6 {
        let Served { world, here, .. } = Served::by(&mut world, flavour);
        let (frontend, endpoint) = here;
        for bytes in (8..=2048).step_by(8) {
            let client = flavour.outside().at(40_000);
            let request = flavour
                .first(client, frontend)
                .long_destination_options(bytes);
            let outcome = world.ingress("eth0", &request);
            if outcome.is_as(&request) {
                outcome.passes_untouched();
            } else {
                outcome.passes_as(&request.to(endpoint));
            }
        }
    }
}

/// The address in the header is then not where the packet goes in the end, and the checksum
/// counts the end (RFC 8200, section 8.1).
#[test]
fn a_packet_with_segments_left_is_on_its_way_elsewhere() {
    let mut world = World::new();
    for flavour in Flavour::V6 {
        let Served { world, here, .. } = Served::by(&mut world, flavour);
        let request = flavour
            .first(flavour.outside().at(40_000), here.0)
            .routing(1);

        let outcome = world.ingress("eth0", &request);

        outcome.passes_untouched();
    }
}

#[test]
fn a_udp_checksum_of_zero_stays_zero() {
    let [flavour, _] = Flavour::UDP;
    let mut world = World::new();
    let served = Served::by(&mut world, flavour);

    served.translates(flavour, 40_000, Packet::without_checksum);
}

/// Sums near the two representations of zero in one's complement are where incremental updates
/// go wrong (RFC 1624).
#[test]
fn checksums_hold_for_every_value_of_a_word_of_data() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let served = Served::by(&mut world, flavour);
        let (frontend, endpoint) = served.here;
        let request = flavour.first(flavour.outside().at(40_000), frontend);
        for word in (0..=u16::MAX).step_by(17) {
            let request = request.clone().payload(&word.to_be_bytes());
            let outcome = served.world.ingress("eth0", &request);
            outcome.passes_as(&request.to(endpoint));
        }
    }
}

#[test]
fn datagrams_of_any_size_are_translated() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let served = Served::by(&mut world, flavour);
        for (port, size) in (40_000..).zip([0, 1, 2, 63, 64, 512, 1400]) {
            served.translates(flavour, port, |packet| packet.payload(&vec![0xa5; size]));
        }
    }
}

/// What the length fields cannot hold is written as zero ("BIG TCP").
#[test]
fn segments_longer_than_a_length_field_are_translated() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        let served = Served::by(&mut world, flavour);
        let (frontend, endpoint) = served.here;
        let hook = served.world.ingress_hook("eth0");
        let client = flavour.outside().at(40_000);
        let first = flavour.first(client, frontend);
        served
            .world
            .ingress("eth0", &first)
            .passes_as(&first.clone().to(endpoint));
        let segments = flavour
            .later(client, frontend)
            .payload(&[0xa5; 3000])
            .unlimited();
        let context = Context {
            came_in_by: hook.ifindex(),
            gso_size: 1400,
        };

        let outcome = hook.run(&segments, context);

        outcome.passes_as(&segments.to(endpoint));
    }
}

#[test]
fn tagged_packets_are_left_to_the_vlans_own_device() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let Served { world, here, .. } = Served::by(&mut world, flavour);
        let request = flavour.first(flavour.outside().at(40_000), here.0);

        let mut tagged = request.bytes();
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07]);

        world
            .ingress("eth0", tagged.clone())
            .passes_untouched()
            .counts_nothing();
        world
            .egress("eth0", tagged)
            .passes_untouched()
            .counts_nothing();
    }
}

#[test]
fn icmp_is_left_alone() {
    let mut world = World::new();
    for flavour in Flavour::UDP {
        let Served { world, here, .. } = Served::by(&mut world, flavour);
        let request = flavour.first(flavour.outside().at(40_000), here.0);

        let ping = request.echo_request();

        world
            .ingress("eth0", ping.clone())
            .passes_untouched()
            .counts_nothing();
        world.sent("eth0", ping).passes_untouched().counts_nothing();
    }
}
