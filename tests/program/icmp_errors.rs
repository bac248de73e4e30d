//! ICMP errors about packets of flows: each sender sees errors about the packets that it sent, whatever
//! became of their addresses.

use std::net::SocketAddr;

use netproxy::model::Protocol;
use netproxy_common::Counter;

use crate::world::{
    At as _, Course, Flavour, Fragment, Half, IcmpError, Message, NODE_MAC, Opened, POD_PORT,
    Packet, Shop, World,
};

impl Opened {
    /// A router tells the client of its packet, which the router knows as translated: the client hears of
    /// the one that it sent.
    #[track_caller]
    fn tells_the_client(
        &self,
        world: &World,
        message: Message,
        form: impl Fn(IcmpError) -> IcmpError,
        shape: impl Fn(Packet) -> Packet,
    ) {
        let (sent, translated) = self.requests();
        let router = self.flavour.remote_pod(9);
        let told = IcmpError::new(router, self.source.ip(), message, &shape(translated));
        let heard = IcmpError::new(self.frontend.ip(), self.client.ip(), message, &shape(sent));
        let (told, heard) = (form(told), form(heard));
        let outcome = self.course.answer(world, &told);
        let outcome = match self.course {
            Course::Edge | Course::Host => outcome.passes_as(&heard),
            Course::Whole | Course::Hairpin => outcome.redirects_as(&heard.ttl(63)),
            Course::HostToPod => outcome.redirects_as(&heard.with_mac(NODE_MAC)),
        };
        outcome.counts(Counter::IcmpTranslated);
    }

    /// As `tells_the_client`, the endpoint of its answer; the router is on the client's side.
    #[track_caller]
    fn tells_the_endpoint(
        &self,
        world: &World,
        message: Message,
        form: impl Fn(IcmpError) -> IcmpError,
        shape: impl Fn(Packet) -> Packet,
    ) {
        let (sent, translated) = self.answers();
        let router = match self.course {
            Course::Host | Course::HostToPod => self.client.ip(),
            _ => self.flavour.remote_pod(9),
        };
        // Where the source of packets is translated, that of errors about their answers is as well.
        let seen = if self.source == self.client {
            router
        } else {
            self.source.ip()
        };
        let told = IcmpError::new(router, self.frontend.ip(), message, &shape(translated));
        let heard = IcmpError::new(seen, self.endpoint.ip(), message, &shape(sent));
        let (told, heard) = (form(told), form(heard));
        let outcome = self.course.request(world, &told);
        let outcome = match self.course {
            Course::Edge => outcome.passes_as(&heard),
            Course::Whole | Course::Hairpin => outcome.redirects_as(&heard.ttl(63)),
            Course::Host | Course::HostToPod => outcome.redirects_as(&heard),
        };
        outcome.counts(Counter::IcmpTranslated);
    }

    fn messages(&self) -> &'static [Message] {
        IcmpError::messages(self.client.is_ipv4())
    }

    /// Length of an IP header without options.
    fn header(&self) -> usize {
        if self.client.is_ipv4() { 20 } else { 40 }
    }
}

fn as_it_is<T>(value: T) -> T {
    value
}

#[test]
fn clients_see_errors_about_their_packets_from_the_frontend() {
    Opened::each(|world, opened| {
        for message in opened.messages() {
            opened.tells_the_client(world, *message, as_it_is, as_it_is);
        }
    });
}

#[test]
fn endpoints_see_errors_about_their_answers() {
    Opened::each(|world, opened| {
        for message in opened.messages() {
            opened.tells_the_endpoint(world, *message, as_it_is, as_it_is);
        }
    });
}

/// RFC 792 asks for eight bytes behind the IP header; the checksums of TCP and SCTP are not among them.
#[test]
fn a_quote_may_be_cut_anywhere_behind_the_ports() {
    Opened::each(|world, opened| {
        let message = opened.messages()[0];
        let cuts = match opened.flavour.protocol {
            // Its checksum is left alone unless all of it is there.
            Protocol::Sctp => [8, 12, 16, 18, 20, 28],
            Protocol::Tcp | Protocol::Udp => [8, 10, 16, 18, 20, 28],
        };
        for bytes in cuts {
            let cut = |error: IcmpError| error.quoting(opened.header() + bytes);
            opened.tells_the_client(world, message, cut, as_it_is);
            opened.tells_the_endpoint(world, message, cut, as_it_is);
        }
    });
}

#[test]
fn a_quote_that_ends_before_the_ports_do_is_left_alone() {
    Opened::each(|world, opened| {
        let message = opened.messages()[0];
        let (_, translated) = opened.requests();
        for bytes in [0, opened.header() - 1, opened.header(), opened.header() + 3] {
            let router = opened.flavour.remote_pod(9);
            let error = IcmpError::new(router, opened.source.ip(), message, &translated);
            let outcome = opened.course.answer(world, &error.quoting(bytes));
            outcome.passes_untouched().counts(Counter::IcmpUnread);
        }
    });
}

#[test]
fn errors_with_options_of_their_own_are_left_alone_and_counted() {
    Opened::each(|world, opened| {
        let message = opened.messages()[0];
        let router = opened.flavour.remote_pod(9);
        let (_, translated) = opened.requests();
        let error = IcmpError::new(router, opened.source.ip(), message, &translated);

        let outcome = opened.course.answer(world, &error.with_options());

        outcome.passes_untouched().counts(Counter::IcmpUnread);
    });
}

#[test]
fn quoted_options_and_extension_headers_are_looked_behind() {
    let v4: [fn(Packet) -> Packet; 2] = [|packet| packet.v4_options(1), |p| p.v4_options(10)];
    let v6: [fn(Packet) -> Packet; 3] = [
        Packet::hop_by_hop,
        |packet| packet.hop_by_hop().routing(0),
        |packet| packet.destination_options(),
    ];
    Opened::each(|world, opened| {
        let message = opened.messages()[0];
        let shapes: &[_] = if opened.client.is_ipv4() { &v4 } else { &v6 };
        for shape in shapes {
            opened.tells_the_client(world, message, as_it_is, shape);
            opened.tells_the_endpoint(world, message, as_it_is, shape);
        }
    });
}

#[test]
fn a_quoted_datagram_without_a_checksum_stays_without() {
    let mut world = World::new();
    let [flavour, _] = Flavour::UDP;
    for course in Course::ALL {
        let opened = course.open(&mut world, flavour);
        let message = opened.messages()[0];
        opened.tells_the_client(&world, message, as_it_is, Packet::without_checksum);
        opened.tells_the_endpoint(&world, message, as_it_is, Packet::without_checksum);
    }
}

/// Whoever cut it did so after us: only the first piece tells whose it is.
#[test]
fn of_quoted_fragments_the_first_is_translated() {
    let piece = |offset| Fragment {
        offset,
        has_more: true,
    };
    Opened::each(|world, opened| {
        let message = opened.messages()[0];
        let (_, translated) = opened.requests();
        let router = opened.flavour.remote_pod(9);
        let later = translated.fragment(piece(1));
        let error = IcmpError::new(router, opened.source.ip(), message, &later);

        let outcome = opened.course.answer(world, &error);

        outcome.passes_untouched().counts_nothing();
        opened.tells_the_client(world, message, as_it_is, |packet| packet.fragment(piece(0)));
    });
}

#[test]
fn errors_about_no_flow_are_left_alone() {
    Opened::each(|world, opened| {
        let message = opened.messages()[0];
        let router = opened.flavour.remote_pod(9);
        let (sent, translated) = opened.requests();
        let (answer, restored) = opened.answers();
        let other = |address: SocketAddr| address.ip().at(address.port() + 1);
        let foreign = [
            translated.clone().from(other(opened.source)),
            translated.clone().to(other(opened.endpoint)),
            translated.to(opened.flavour.remote_pod(7).at(POD_PORT)),
            restored.clone().to(other(opened.client)),
            restored.from(other(opened.frontend)),
        ];
        for packet in foreign {
            let to = packet.source().ip();
            let error = IcmpError::new(router, to, message, &packet);
            let answered = opened.course.answer(world, &error);
            answered.passes_untouched().counts_nothing();
            let requested = opened.course.request(world, &error);
            requested.passes_untouched().counts_nothing();
        }
        // What left here never looked like this.
        for packet in [sent, answer] {
            let to = packet.source().ip();
            let error = IcmpError::new(router, to, message, &packet);
            let answered = opened.course.answer(world, &error);
            answered.passes_untouched().counts_nothing();
        }
    });
}

#[test]
fn an_error_that_does_not_go_to_whom_the_packet_came_from_is_left_alone() {
    Opened::each(|world, opened| {
        let message = opened.messages()[0];
        let router = opened.flavour.remote_pod(9);
        let (_, translated) = opened.requests();
        let (_, restored) = opened.answers();
        let to = opened.flavour.vip(1);

        let forged = IcmpError::new(router, to, message, &translated);
        opened
            .course
            .answer(world, &forged)
            .passes_untouched()
            .counts_nothing();
        let forged = IcmpError::new(router, to, message, &restored);
        opened
            .course
            .request(world, &forged)
            .passes_untouched()
            .counts_nothing();
    });
}

/// Redirects are of one link; answers to echo requests quote nothing.
#[test]
fn messages_that_are_no_errors_are_left_alone() {
    Opened::each(|world, opened| {
        let kinds: &[u8] = if opened.client.is_ipv4() {
            &[0, 5, 13, 14]
        } else {
            &[0, 129, 133, 137]
        };
        let router = opened.flavour.remote_pod(9);
        let (_, translated) = opened.requests();
        for kind in kinds {
            let message = (*kind, 1, [0; 4]);
            let notice = IcmpError::new(router, opened.source.ip(), message, &translated);
            let outcome = opened.course.answer(world, &notice);
            outcome.passes_untouched().counts_nothing();
        }
    });
}

#[test]
fn errors_neither_open_nor_prolong_nor_close_a_flow() {
    Opened::each(|world, opened| {
        let before = world.flow_table();
        for message in opened.messages() {
            opened.tells_the_client(world, *message, as_it_is, as_it_is);
            opened.tells_the_endpoint(world, *message, as_it_is, as_it_is);
        }

        assert_eq!(before.len(), 2);
        assert_eq!(world.flow_table(), before);
    });
}

#[test]
fn errors_about_a_flow_past_its_deadline_are_left_alone() {
    Opened::each(|world, opened| {
        world.outlive(Half::Forward);
        world.outlive(Half::Reply);
        let message = opened.messages()[0];
        let router = opened.flavour.remote_pod(9);
        let (_, translated) = opened.requests();
        let error = IcmpError::new(router, opened.source.ip(), message, &translated);

        let outcome = opened.course.answer(world, &error);

        outcome.passes_untouched().counts_nothing();
    });
}

#[test]
fn a_source_port_of_the_flows_own_is_turned_back() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let first = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        let second = Shop::new(flavour, 2).elsewhere(endpoint.ip());
        world.serve(&[&first, &second]);
        let client = flavour.local_pod(1).at(40_000);
        let _ = world.ingress("pod1", &flavour.first(client, first.cluster_ip()));
        let requested = world.ingress("pod1", &flavour.first(client, second.cluster_ip()));
        let opened = Opened {
            course: Course::Edge,
            flavour,
            client,
            frontend: second.cluster_ip(),
            source: requested.source(),
            endpoint,
        };

        assert_ne!(opened.source.port(), client.port());
        for message in opened.messages() {
            opened.tells_the_client(&world, *message, as_it_is, as_it_is);
            opened.tells_the_endpoint(&world, *message, as_it_is, as_it_is);
        }
        world.forget_flows();
    }
}

#[test]
fn devices_without_a_link_layer_translate_errors_alike() {
    let mut world = World::new().with_layer_3();
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1).elsewhere(flavour.remote_pod(1));
        world.serve(&[&shop]);
        let (client, endpoint) = (flavour.outside().at(40_000), shop.endpoints()[0]);
        let request = flavour.first(client, shop.node_port()).without_link_layer();
        let source = world.ingress("tun0", &request).source();
        let router = flavour.remote_pod(9);
        for message in IcmpError::messages(client.is_ipv4()) {
            let quoted = request.clone().from(source).to(endpoint);
            let told = IcmpError::new(router, source.ip(), *message, &quoted);
            let heard =
                IcmpError::new(shop.node_port().ip(), client.ip(), *message, &request).ttl(63);

            let outcome = world.ingress("tun0", &told.without_link_layer());

            outcome.redirects_as(&heard.without_link_layer());
        }
    }
}
