//! Who listens is told what begins, what is dropped, and what is refused; nobody else pays for it.

use std::net::SocketAddr;
use std::time::Duration;

use aya::maps::{Array, Map, MapData, RingBuf};
use netproxy::datapath::{DatapathError, EventEntry, Events, View};
use netproxy_common::event::EVENTS_BYTES;
use netproxy_common::{Counter, Event, EventHook, EventKind, FlowKind, Listener};
use nix::time::{ClockId, clock_gettime};

use crate::world::{At as _, Flavour, POD_PORT, Shop, World};

/// Listens to everything.
fn listen(world: &World) -> Events {
    listen_to(world, &EventKind::ALL)
}

fn listen_to(world: &World, kinds: &[EventKind]) -> Events {
    View::open(world.pins()).unwrap().listen(kinds).unwrap()
}

/// What has been told.
fn told(events: &mut Events) -> Vec<EventEntry> {
    std::iter::from_fn(|| events.next_event()).collect()
}

/// The one event that has been told.
#[track_caller]
fn only(events: &mut Events) -> EventEntry {
    let mut told = told(events);
    assert_eq!(told.len(), 1, "{told:#?}");
    told.remove(0)
}

/// The name of the service that the event is about.
fn service(world: &World, event: &EventEntry) -> Option<String> {
    let key = View::open(world.pins())
        .unwrap()
        .service_port(event.service?)
        .unwrap()?;
    Some(key.service.name.to_string())
}

/// Who asked, what for, and who answers under which source.
type Ends = (
    Option<SocketAddr>,
    SocketAddr,
    Option<SocketAddr>,
    Option<SocketAddr>,
);

fn ends(event: &EventEntry) -> Ends {
    (event.client, event.frontend, event.endpoint, event.source)
}

#[test]
fn a_new_flow_is_told_with_all_its_ends() {
    for flavour in Flavour::ALL {
        let mut world = World::new();
        let (here, there) = (flavour.local_pod(2), flavour.remote_pod(1));
        let near = Shop::new(flavour, 1).here(here);
        let far = Shop::new(flavour, 2).elsewhere(there);
        world.serve(&[&near, &far]);
        let mut events = listen(&world);
        let pod = flavour.local_pod(1).at(40_000);
        let outside = flavour.outside().at(40_001);
        let process = flavour.node().at(40_002);

        let _ = world.ingress("pod1", &flavour.first(pod, near.cluster_ip()));
        let edge = only(&mut events);
        let outcome = world.ingress("eth0", &flavour.first(outside, far.node_port()));
        let whole = only(&mut events);
        let _ = world.sent("eth0", &flavour.first(process, far.cluster_ip()));
        let host = only(&mut events);

        let (here, there) = (Some(here.at(POD_PORT)), Some(there.at(POD_PORT)));
        assert_eq!(ends(&edge), (Some(pod), near.cluster_ip(), here, Some(pod)));
        let source = Some(outcome.source());
        assert_eq!(
            ends(&whole),
            (Some(outside), far.node_port(), there, source)
        );
        assert_eq!(
            ends(&host),
            (Some(process), far.cluster_ip(), there, Some(process))
        );
        let kinds = [&edge, &whole, &host].map(|event| event.flow_kind);
        let expected = [FlowKind::Edge, FlowKind::Whole, FlowKind::Host].map(Some);
        assert_eq!(kinds, expected);
        for (event, shop) in [(&edge, &near), (&whole, &far), (&host, &far)] {
            assert_eq!((event.kind, event.reason), (EventKind::NewFlow, None));
            assert_eq!((event.hook, &event.process), (EventHook::Packet, &None));
            let name = shop.name().name.to_string();
            assert_eq!(service(&world, event), Some(name));
        }
        assert_eq!(edge.ifindex, Some(world.ingress_hook("pod1").ifindex()));
        assert_eq!(whole.ifindex, Some(world.ingress_hook("eth0").ifindex()));
    }
}

#[test]
fn packets_that_go_on_in_a_flow_are_not_told() {
    for flavour in Flavour::ALL {
        let mut world = World::new();
        let endpoint = flavour.local_pod(2).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, shop.cluster_ip());
        let mut events = listen(&world);

        let _ = world.ingress("pod1", &request);
        only(&mut events);
        let _ = world.egress("pod1", &flavour.answer(endpoint, client));
        let _ = world.ingress("pod1", &flavour.later(client, shop.cluster_ip()));
        let nobodys = flavour.first(client, flavour.outside().at(80));
        let _ = world.ingress("pod1", &nobodys);

        assert_eq!(told(&mut events), []);
    }
}

#[test]
fn what_is_not_served_is_told_with_its_reason() {
    for flavour in Flavour::ALL {
        let mut world = World::new();
        let empty = Shop::new(flavour, 1);
        let lost = Shop::new(flavour, 2).elsewhere(flavour.unreachable_pod());
        let closed = Shop::new(flavour, 3)
            .here(flavour.local_pod(2))
            .open_to(&["192.0.2.77/32", "2001:db8::77/128"]);
        world.serve(&[&empty, &lost, &closed]);
        let networks = ["10.96.0.0/22", "fd00:96::/118"].map(|network| network.parse().unwrap());
        world.datapath().set_service_cidrs(&networks).unwrap();
        let mut events = listen(&world);
        let client = flavour.outside().at(40_000);
        let unused_port = empty.cluster_ip().ip().at(9);
        let unused_address = flavour.cluster_ip(99).at(80);

        for (frontend, kind, reason, of) in [
            (
                empty.cluster_ip(),
                EventKind::Refused,
                Counter::NoEndpoint,
                Some(&empty),
            ),
            (
                lost.node_port(),
                EventKind::Drop,
                Counter::NoRoute,
                Some(&lost),
            ),
            (
                closed.vip(),
                EventKind::Drop,
                Counter::SourceRange,
                Some(&closed),
            ),
            (unused_port, EventKind::Refused, Counter::UnusedPort, None),
            (
                unused_address,
                EventKind::Drop,
                Counter::UnusedAddress,
                None,
            ),
        ] {
            let outcome = world.ingress("eth0", &flavour.first(client, frontend));
            let event = only(&mut events);

            assert_eq!(outcome.is_dropped(), kind == EventKind::Drop, "{reason:?}");
            assert_eq!((event.kind, event.reason), (kind, Some(reason)));
            assert_eq!((event.client, event.frontend), (Some(client), frontend));
            let of = of.map(|shop| shop.name().name.to_string());
            assert_eq!(service(&world, &event), of, "{reason:?}");
            // Only one of them has found an endpoint before it failed.
            let endpoint = (reason == Counter::NoRoute).then(|| lost.endpoints()[0]);
            assert_eq!(event.endpoint, endpoint, "{reason:?}");
        }
    }
}

#[test]
fn a_process_that_is_refused_by_packet_is_told() {
    for flavour in Flavour::ALL {
        let mut world = World::new();
        let empty = Shop::new(flavour, 1);
        world.serve(&[&empty]);
        let mut events = listen(&world);
        let process = flavour.node().at(40_000);

        let outcome = world.sent("eth0", &flavour.first(process, empty.cluster_ip()));

        assert!(outcome.was_refused());
        let event = only(&mut events);
        assert_eq!(event.kind, EventKind::Refused);
        assert_eq!(event.reason, Some(Counter::NoEndpoint));
        assert_eq!(event.client, Some(process));
    }
}

/// Whichever way the packet goes.
#[test]
fn what_is_dropped_of_a_flow_is_told_as_the_client_knows_it() {
    for flavour in Flavour::ALL {
        let mut world = World::new();
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
        world.serve(&[&shop]);
        let client = flavour.outside().at(40_000);
        let request = flavour.first(client, shop.node_port());
        let source = world.ingress("eth0", &request).source();
        let answer = flavour.answer(endpoint, source);
        let mut events = listen(&world);

        let _ = world.ingress("eth0", &request.ttl(1));
        let there = only(&mut events);
        let _ = world.ingress("eth0", &answer.ttl(1));
        let back = only(&mut events);

        for event in [&there, &back] {
            assert_eq!(event.kind, EventKind::Refused);
            assert_eq!(event.reason, Some(Counter::Expired));
            let expected = (Some(client), shop.node_port(), Some(endpoint), Some(source));
            assert_eq!(ends(event), expected);
            let name = shop.name().name.to_string();
            assert_eq!(service(&world, event), Some(name));
        }
    }
}

/// The limit of refusals: what is above it is dropped, and told as that.
#[test]
fn a_refusal_of_which_the_sender_is_not_told_is_a_drop() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let empty = Shop::new(flavour, 1);
    world.serve(&[&empty]);
    let mut events = listen(&world);
    let request = flavour.first(flavour.outside().at(40_000), empty.cluster_ip());

    let mut all = Vec::new();
    let counted = world.ingress_hook("eth0").flood(&request, |counted| {
        all.extend(told(&mut events));
        events.go_on().unwrap();
        counted.contains_key(&Counter::RefusalLimited)
    });

    let of = |kind| all.iter().filter(|event| event.kind == kind).count() as u64;
    assert_eq!(of(EventKind::Drop), counted[&Counter::RefusalLimited]);
    assert_eq!(of(EventKind::Refused), counted[&Counter::Refused]);
    assert_eq!(of(EventKind::NewFlow), 0);
}

#[test]
fn nothing_is_told_while_nobody_listens() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
    world.serve(&[&shop]);
    let buffer = MapData::from_pin(world.pins().map("EVENTS")).unwrap();
    let mut buffer = RingBuf::try_from(Map::RingBuf(buffer)).unwrap();
    let mut port = 40_000;
    let mut opens = |world: &World| {
        port += 1;
        let client = flavour.local_pod(1).at(port);
        let outcome = world.ingress("pod1", &flavour.first(client, shop.cluster_ip()));
        outcome.counts(Counter::NewFlow);
    };

    opens(&world);
    assert!(buffer.next().is_none(), "nobody has listened yet");
    let mut events = listen(&world);
    opens(&world);
    only(&mut events);
    drop(events);
    opens(&world);

    let position = RingBuf::try_from(Map::RingBuf(
        MapData::from_pin(world.pins().map("EVENTS")).unwrap(),
    ));
    assert!(
        position.unwrap().next().is_none(),
        "nobody listens any more"
    );
}

/// One that was killed has not said that it ends.
#[test]
fn a_listener_that_falls_silent_is_soon_taken_for_absent() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
    world.serve(&[&shop]);
    let mut events = listen(&world);
    let listener = MapData::from_pin(world.pins().map("LISTENER")).unwrap();
    let mut listener: Array<_, Listener> = Array::try_from(Map::Array(listener)).unwrap();
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    let first = |port| {
        let client = flavour.local_pod(1).at(port);
        flavour.first(client, shop.cluster_ip())
    };

    let said = listener.get(&0, 0).unwrap();
    let left = Duration::from_nanos(said.until_ns).saturating_sub(now());
    assert!(left <= Duration::from_secs(5), "{left:?}");
    // The programs' clock is coarse.
    let over = now().saturating_sub(Duration::from_millis(100));
    let over = u64::try_from(over.as_nanos()).unwrap();
    let silent = Listener {
        until_ns: over,
        ..said
    };
    listener.set(0, silent, 0).unwrap();
    let _ = world.ingress("pod1", &first(40_000));
    assert_eq!(told(&mut events), []);
    events.go_on().unwrap();
    let _ = world.ingress("pod1", &first(40_001));

    only(&mut events);
}

#[test]
fn only_the_kinds_that_are_wanted_are_told() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
    let lost = Shop::new(flavour, 2).elsewhere(flavour.unreachable_pod());
    let empty = Shop::new(flavour, 3);
    world.serve(&[&shop, &lost, &empty]);

    for kind in EventKind::ALL {
        world.forget_flows();
        let mut events = listen_to(&world, &[kind]);
        let client = flavour.outside().at(40_000);
        for frontend in [shop.node_port(), lost.node_port(), empty.node_port()] {
            let _ = world.ingress("eth0", &flavour.first(client, frontend));
        }

        assert_eq!(only(&mut events).kind, kind);
    }
}

#[test]
fn events_that_find_no_room_are_counted_and_packets_go_their_way() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let lost = Shop::new(flavour, 1).elsewhere(flavour.unreachable_pod());
    let fine = Shop::new(flavour, 2).here(flavour.local_pod(2));
    world.serve(&[&lost, &fine]);
    let mut events = listen(&world);
    let request = flavour.first(flavour.outside().at(40_000), lost.node_port());
    // Each has a header of eight bytes (kernel/bpf/ringbuf.c).
    let room = usize::try_from(EVENTS_BYTES).unwrap() / (size_of::<Event>() + 8);
    let sent = room + 100;

    for number in 0..sent {
        if number % 256 == 0 {
            events.go_on().unwrap();
        }
        let outcome = world.ingress("eth0", &request);
        assert!(outcome.is_dropped());
    }
    let client = flavour.local_pod(1).at(40_000);
    let request = flavour.first(client, fine.cluster_ip());
    let outcome = world.ingress("pod1", &request);

    outcome
        .counts(Counter::NewFlow)
        .passes_as(&request.to(fine.endpoints()[0]));
    let lost = usize::try_from(events.lost().unwrap()).unwrap();
    let told = told(&mut events).len();
    assert!((room - 1..=room).contains(&told), "{told} of {room}");
    assert_eq!(told + lost, sent + 1);
    assert_eq!(events.lost().unwrap(), 0, "they are told of once");
    let _ = world.ingress(
        "pod1",
        &flavour.first(client.ip().at(40_001), fine.cluster_ip()),
    );
    only(&mut events);
}

#[test]
fn what_an_earlier_listener_has_not_read_is_not_told_to_the_next() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
    world.serve(&[&shop]);
    let earlier = listen(&world);
    let client = flavour.local_pod(1).at(40_000);
    let _ = world.ingress("pod1", &flavour.first(client, shop.cluster_ip()));
    drop(earlier);

    let mut events = listen(&world);

    assert_eq!(told(&mut events), []);
    assert_eq!(events.lost().unwrap(), 0);
}

#[test]
fn one_listens_at_a_time_and_others_are_told_who() {
    let world = World::new();
    let first = listen(&world);

    let second = View::open(world.pins()).unwrap().listen(&EventKind::ALL);

    let error = second.unwrap_err();
    let process = std::process::id();
    assert!(
        matches!(error, DatapathError::HasListener { process: other, .. } if other == process),
        "{error:?}"
    );
    assert!(error.to_string().contains("netproxy monitor"), "{error}");
    drop(first);
    listen(&world);
}

/// Of a release that had no such maps.
#[test]
fn pins_without_events_are_adopted_and_get_them() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = Shop::new(flavour, 1).here(flavour.local_pod(2));
    world.serve(&[&shop]);
    world.stop();
    for map in ["EVENTS", "LISTENER"] {
        std::fs::remove_file(world.pins().map(map)).unwrap();
    }

    let before = View::open(world.pins()).unwrap().listen(&EventKind::ALL);
    world.start();
    let applied = world.datapath().apply(&[shop.plan()]).unwrap();
    let mut events = listen(&world);
    let client = flavour.local_pod(1).at(40_000);
    let _ = world.ingress("pod1", &flavour.first(client, shop.cluster_ip()));

    let error = before.unwrap_err();
    assert!(matches!(error, DatapathError::NoEvents { .. }), "{error:?}");
    assert!(error.to_string().contains("restart the agent"), "{error}");
    assert_eq!((applied.written, applied.unchanged), (0, 1), "{applied:?}");
    only(&mut events);
}
