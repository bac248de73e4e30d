//! Source ports of flows whose source is translated: who gets which, and who gets none.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use netproxy::datapath::SourcePorts;
use netproxy::model::Protocol;
use netproxy_common::Counter;

use crate::world::{At as _, Flavour, Outcome, POD_PORT, Shop, World};

/// A few ports, in two runs.
const FEW: SourcePorts = SourcePorts {
    low: (20_000, 30),
    high: (62_000, 10),
};
const FEW_COUNT: u16 = 40;

/// Clients outside, of a service with one endpoint elsewhere.
struct Clients<'a> {
    world: &'a mut World,
    flavour: Flavour,
    frontend: SocketAddr,
    endpoint: SocketAddr,
}

impl<'a> Clients<'a> {
    fn of(world: &'a mut World, flavour: Flavour) -> Self {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.forget_flows();
        world.serve(&[&shop]);
        Self {
            world,
            flavour,
            frontend: shop.node_port(),
            endpoint,
        }
    }

    fn client(&self, number: u16) -> SocketAddr {
        self.flavour.outside().at(40_000 + number)
    }

    /// A client sends its first packet.
    fn opens(&self, number: u16) -> Outcome {
        let request = self.flavour.first(self.client(number), self.frontend);
        self.world.ingress("eth0", &request)
    }

    /// A client has been answered, and has answered that. Yields its source.
    fn connects(&self, number: u16) -> SocketAddr {
        let source = self.opens(number).source();
        let answer = self.flavour.answer(self.endpoint, source);
        let answered = self.world.ingress("eth0", &answer);
        answered.redirects_as(&answer.from(self.frontend).to(self.client(number)).ttl(63));
        self.is_served(number, source);
        source
    }

    /// A client's later packet goes to the endpoint, from this source.
    #[track_caller]
    fn is_served(&self, number: u16, source: SocketAddr) {
        let later = self.flavour.later(self.client(number), self.frontend);
        let continued = self.world.ingress("eth0", &later);
        continued.redirects_as(&later.from(source).to(self.endpoint).ttl(63));
    }

    /// The flow of a client that has sent one packet ends.
    fn forget(&self, number: u16, source: SocketAddr) {
        let halves = [
            (self.client(number), self.frontend),
            (self.endpoint, source),
        ];
        self.world.forget_halves(self.flavour.protocol, halves);
    }
}

fn all_of(ports: SourcePorts) -> impl Iterator<Item = u16> {
    [ports.low, ports.high]
        .into_iter()
        .flat_map(|(first, count)| (0..count).map(move |number| first + number))
}

#[test]
fn every_port_is_used_before_any_flow_is_given_up() {
    let mut world = World::with_ports(FEW);
    for flavour in Flavour::ALL {
        let clients = Clients::of(&mut world, flavour);

        let used: BTreeSet<_> = (0..FEW_COUNT)
            .map(|number| clients.opens(number).source().port())
            .collect();

        assert_eq!(used, all_of(FEW).collect());
    }
}

#[test]
fn the_client_that_was_first_not_to_answer_makes_way() {
    let mut world = World::with_ports(FEW);
    for flavour in Flavour::ALL {
        let clients = Clients::of(&mut world, flavour);
        let first = clients.opens(0).source();
        for number in 1..FEW_COUNT {
            let _ = clients.opens(number);
        }

        let outcome = clients.opens(FEW_COUNT);

        assert_eq!(outcome.source(), first);
        outcome
            .counts(Counter::FlowGivenUp)
            .counts(Counter::NewFlow);
        let known: BTreeSet<_> = clients
            .world
            .flows()
            .into_iter()
            .map(|flow| flow.client)
            .collect();
        let expected = (1..=FEW_COUNT).map(|number| clients.client(number));
        assert_eq!(known, expected.collect());
    }
}

#[test]
fn a_flood_of_clients_that_never_answer_keeps_no_port_from_anybody() {
    let mut world = World::with_ports(FEW);
    for flavour in Flavour::ALL {
        let clients = Clients::of(&mut world, flavour);
        let held = clients.connects(0);

        for number in 1..1000 {
            let outcome = clients.opens(number);
            assert_ne!(outcome.source(), held);
            assert!(!outcome.is_dropped(), "{outcome:?}");
        }
        let late = clients.connects(1000);

        clients.is_served(0, held);
        clients.is_served(1000, late);
    }
}

#[test]
fn a_client_that_lost_its_port_to_another_gets_a_new_one() {
    let mut world = World::with_ports(FEW);
    for flavour in Flavour::ALL {
        let clients = Clients::of(&mut world, flavour);
        let lost = clients.opens(0).source();
        for number in 1..=FEW_COUNT {
            let _ = clients.opens(number);
        }

        let source = clients.connects(0);

        assert_ne!(source, lost);
    }
}

#[test]
fn a_closed_flow_makes_way_where_all_ports_are_taken() {
    let mut world = World::with_ports(FEW);
    for flavour in Flavour::TCP {
        let clients = Clients::of(&mut world, flavour);
        let sources: Vec<_> = (0..FEW_COUNT)
            .map(|number| clients.connects(number))
            .collect();
        let reset = crate::world::tcp(clients.client(7), clients.frontend).rst();
        let outcome = clients.world.ingress("eth0", &reset);
        assert!(!outcome.is_dropped());
        let source = clients.connects(FEW_COUNT);

        assert_eq!(source, sources[7]);
    }
}

#[test]
fn where_connections_have_every_port_a_client_is_refused_and_they_go_on() {
    let mut world = World::with_ports(FEW);
    for flavour in Flavour::ALL {
        let clients = Clients::of(&mut world, flavour);
        let sources: Vec<_> = (0..FEW_COUNT)
            .map(|number| clients.connects(number))
            .collect();

        for _ in 0..3 {
            clients.opens(FEW_COUNT).drops(Counter::PortsExhausted);
        }

        for (number, source) in (0..).zip(sources) {
            clients.is_served(number, source);
        }
        let ports = clients
            .world
            .ports_towards(clients.endpoint, flavour.protocol);
        assert_eq!(ports.unwrap().exhausted, 3);
        // Per endpoint: another one has all of them again.
        let other = Shop::new(flavour, 2).elsewhere(flavour.remote_pod(2));
        clients.world.serve(&[&other]);
        let request = flavour.first(flavour.outside().at(41_000), other.node_port());
        let outcome = clients.world.ingress("eth0", &request);
        outcome.counts(Counter::NewFlow);
    }
}

#[test]
fn the_port_taken_longest_ago_comes_first() {
    let mut world = World::with_ports(FEW);
    for flavour in Flavour::ALL {
        let clients = Clients::of(&mut world, flavour);
        let take = |number| {
            let source = clients.opens(number).source();
            clients.forget(number, source);
            source.port()
        };

        let first: Vec<_> = (0..FEW_COUNT).map(take).collect();
        let second: Vec<_> = (0..FEW_COUNT).map(take).collect();

        assert_eq!(
            first.iter().copied().collect::<BTreeSet<_>>(),
            all_of(FEW).collect()
        );
        assert_eq!(first, second);
    }
}

/// The first port towards each of many destinations, in as many parts of the range as there are degrees of
/// freedom and one: beyond the bound is one run in a million.
#[test]
fn first_ports_are_spread_evenly_over_the_range() {
    const PARTS: u16 = 16;
    const DRAWS: u16 = 1600;
    const BOUND: f64 = 57.0;
    let ports = SourcePorts::default();
    let all: Vec<_> = all_of(ports).collect();
    let mut world = World::with_ports(ports);
    for flavour in [Flavour::TCP[0], Flavour::UDP[1]] {
        let clients = Clients::of(&mut world, flavour);
        let mut drawn = [0_u32; PARTS as usize];
        for number in 0..DRAWS {
            let source = clients.opens(number).source();
            clients.forget(number, source);
            clients
                .world
                .forget_ports_towards(clients.endpoint, flavour.protocol);
            let place = all.binary_search(&source.port()).expect("a port of ours");
            drawn[place * usize::from(PARTS) / all.len()] += 1;
        }

        let expected = f64::from(DRAWS) / f64::from(PARTS);
        let distance: f64 = drawn
            .iter()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum();
        assert!(distance < BOUND, "{distance}: {drawn:?}");
    }
}

/// Of this many clients one may be refused while two ports in a hundred are free.
const CLIENTS: u16 = 10_000;
const MOST_REFUSED: usize = 10;

/// How many of [`CLIENTS`] are refused, one after the other.
fn refused(clients: &Clients<'_>) -> usize {
    (0..CLIENTS)
        .filter(|&number| {
            let outcome = clients.opens(number);
            if outcome.is_dropped() {
                let _ = outcome.drops(Counter::PortsExhausted);
                return true;
            }
            clients.forget(number, outcome.source());
            false
        })
        .count()
}

#[test]
fn a_port_is_found_while_two_in_a_hundred_are_free_anywhere() {
    let ports = SourcePorts::default();
    let mut world = World::with_ports(ports);
    for flavour in [Flavour::TCP[0], Flavour::UDP[1]] {
        let clients = Clients::of(&mut world, flavour);
        // Every fiftieth number, in an order that has nothing to do with that of the search.
        let taken = (0_u32..).zip(all_of(ports));
        let taken = taken.filter(|(number, _)| number.wrapping_mul(0x9e37_79b1) >> 16 > 1311);
        let taken: Vec<_> = taken.map(|(_, port)| port).collect();
        let free = all_of(ports).count() - taken.len();
        assert!((460..=490).contains(&free), "{free}");
        clients
            .world
            .occupy(flavour.protocol, clients.endpoint, flavour.node(), taken);

        let refused = refused(&clients);

        println!("{flavour:?}: {refused} of {CLIENTS} refused with {free} ports free");
        assert!(refused <= MOST_REFUSED, "{refused}");
    }
}

/// As connections leave them that were opened one after the other and last.
#[test]
fn a_port_is_found_while_two_in_a_hundred_are_free_in_a_row() {
    const FREE: usize = 486;
    let ports = SourcePorts::default();
    let mut world = World::with_ports(ports);
    for flavour in [Flavour::TCP[0], Flavour::UDP[1]] {
        let clients = Clients::of(&mut world, flavour);
        let lasting = all_of(ports).count() - FREE;
        for number in 0..lasting {
            // The table is not asked to hold more unanswered flows than it has room for.
            if number % 5000 == 4999 {
                clients.world.assure_all();
            }
            let port = u16::try_from(number).unwrap();
            let frontend = clients.frontend;
            let client = flavour.client(1).at(30_000 + port);
            let request = flavour.first(client, frontend);
            let outcome = clients.world.ingress("eth0", &request);
            assert!(!outcome.is_dropped(), "{outcome:?}");
        }
        clients.world.assure_all();

        let refused = refused(&clients);

        println!("{flavour:?}: {refused} of {CLIENTS} refused with {FREE} ports free in a row");
        assert!(refused <= MOST_REFUSED, "{refused}");
    }
}

#[test]
fn a_port_on_which_a_socket_of_the_node_listens_is_nobodys() {
    let mut world = World::with_ports(FEW);
    for flavour in Flavour::ALL {
        let clients = Clients::of(&mut world, flavour);
        let any = flavour.unspecified().at(20_011);
        let (_tcp, _udp);
        match flavour.protocol {
            Protocol::Tcp => _tcp = TcpListener::bind(any).unwrap(),
            _ => _udp = UdpSocket::bind(any).unwrap(),
        }

        let used: BTreeSet<_> = (0..FEW_COUNT)
            .map(|number| clients.opens(number).source().port())
            .collect();

        let expected: BTreeSet<_> = all_of(FEW).filter(|port| *port != any.port()).collect();
        assert_eq!(used, expected);
    }
}

#[test]
fn a_port_of_a_connection_of_the_node_to_the_same_endpoint_is_nobodys() {
    let mut world = World::with_ports(FEW);
    for flavour in Flavour::UDP {
        let clients = Clients::of(&mut world, flavour);
        let own = UdpSocket::bind(flavour.node().at(20_012)).unwrap();
        own.connect(clients.endpoint).unwrap();
        let elsewhere = UdpSocket::bind(flavour.node().at(20_013)).unwrap();
        elsewhere
            .connect(flavour.remote_pod(2).at(POD_PORT))
            .unwrap();

        let used: BTreeSet<_> = (0..FEW_COUNT - 1)
            .map(|number| clients.opens(number).source().port())
            .collect();

        let expected: BTreeSet<_> = all_of(FEW).filter(|port| *port != 20_012).collect();
        assert_eq!(used, expected);
    }
}
