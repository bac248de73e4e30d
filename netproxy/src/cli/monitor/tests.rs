//! Which events are told, and how.

use std::time::SystemTime;

use clap::Parser;
use netproxy::model::{Family, ObjectName};
use netproxy_common::{EventHook, FlowKind};
use serde_json::{Value, json};

use super::super::table::Row as _;
use super::super::table::tests::texts;
use super::*;

/// A command line of `netproxy monitor`.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    monitor: MonitorArgs,
}

fn args(arguments: &str) -> MonitorArgs {
    let words = std::iter::once("monitor").chain(arguments.split_whitespace());
    Line::try_parse_from(words).unwrap().monitor
}

fn flow() -> EventEntry {
    EventEntry {
        time: SystemTime::UNIX_EPOCH + Duration::from_micros(86_399_123_456),
        kind: EventKind::NewFlow,
        hook: EventHook::Packet,
        protocol: 6,
        service: Some(7),
        client: Some("192.0.2.7:40000".parse().unwrap()),
        frontend: "203.0.113.1:30080".parse().unwrap(),
        endpoint: Some("10.1.1.3:8080".parse().unwrap()),
        source: Some("203.0.113.1:10300".parse().unwrap()),
        flow_kind: Some(FlowKind::Whole),
        reason: None,
        ifindex: Some(1),
        process: None,
    }
}

fn dropped() -> EventEntry {
    EventEntry {
        kind: EventKind::Drop,
        service: None,
        endpoint: None,
        source: None,
        flow_kind: None,
        reason: Some(Counter::UnusedAddress),
        ..flow()
    }
}

fn refused_socket() -> EventEntry {
    EventEntry {
        kind: EventKind::Refused,
        hook: EventHook::Socket,
        client: None,
        endpoint: None,
        source: None,
        flow_kind: None,
        reason: Some(Counter::SocketRefused),
        ifindex: None,
        process: Some((4711, "curl".to_owned())),
        ..flow()
    }
}

fn key() -> PortKey {
    PortKey {
        service: ObjectName::new("shop", "cart"),
        port: "http".into(),
        protocol: Protocol::Tcp,
        family: Family::V4,
    }
}

#[test]
fn an_event_is_told_if_it_meets_every_condition() {
    let (key, known, unknown) = (key(), flow(), dropped());
    for (arguments, of_service, of_none) in [
        ("", true, true),
        ("--service shop/cart:http", true, false),
        ("--service basket", false, false),
        ("-n shop", true, false),
        ("-n other", false, false),
        ("--client 192.0.2.7", true, true),
        ("--client 203.0.113.1", false, false),
        ("--endpoint 10.1.1.3", true, false),
        ("--address 203.0.113.1", true, true),
        ("--address 10.1.1.3", true, false),
        ("--address 10.1.1.4", false, false),
        ("--protocol tcp", true, true),
        ("--protocol udp", false, false),
        ("--reason unused_address,no_endpoint", false, true),
        ("--reason no_endpoint", false, false),
        ("--client 192.0.2.7 --protocol udp", false, false),
    ] {
        let args = args(arguments);

        assert_eq!(args.admits(&known, Some(&key)), of_service, "{arguments}");
        assert_eq!(args.admits(&unknown, None), of_none, "{arguments}");
    }
}

#[test]
fn a_socket_without_an_address_is_no_clients() {
    let socket = refused_socket();

    assert!(!args("--client 192.0.2.7").admits(&socket, None));
    assert!(args("--address 203.0.113.1").admits(&socket, None));
}

#[test]
fn the_programs_are_asked_only_for_kinds_that_are_wanted() {
    let drops = [EventKind::Drop, EventKind::Refused];

    assert_eq!(args("").kinds(), EventKind::ALL);
    assert_eq!(args("--flows").kinds(), [EventKind::NewFlow]);
    assert_eq!(args("--drops").kinds(), drops);
    assert_eq!(args("--reason no_endpoint").kinds(), drops);
}

#[test]
fn what_can_meet_nothing_is_refused() {
    for arguments in [
        "--flows --drops",
        "--flows --reason no_route",
        "--reason new_flow",
        "--count 0",
    ] {
        let words = std::iter::once("monitor").chain(arguments.split_whitespace());

        assert!(Line::try_parse_from(words).is_err(), "{arguments}");
    }
}

#[test]
fn a_line_tells_who_what_and_why() {
    assert_eq!(
        texts(EventRow::new(&flow(), Some(&key())).cells()),
        [
            "23:59:59.123Z",
            "new flow",
            "packet",
            "TCP",
            "192.0.2.7:40000",
            "shop/cart:http",
            "203.0.113.1:30080",
            "10.1.1.3:8080",
            "whole",
            "-",
            "lo",
        ]
    );
    assert_eq!(
        texts(EventRow::new(&refused_socket(), None).cells())[1..],
        [
            "refused",
            "socket",
            "TCP",
            "curl[4711]",
            "removed (id 7)",
            "203.0.113.1:30080",
            "-",
            "refused",
            "socket_refused",
            "-",
        ]
    );
}

#[test]
fn what_has_no_ports_is_shown_without() {
    let ping = EventEntry {
        protocol: 1,
        client: Some("192.0.2.7:0".parse().unwrap()),
        frontend: "10.96.0.9:0".parse().unwrap(),
        ifindex: Some(u32::MAX),
        ..dropped()
    };

    let cells = texts(EventRow::new(&ping, None).cells());

    assert_eq!(cells[3..7], ["ICMP", "192.0.2.7", "-", "10.96.0.9"]);
    assert_eq!(cells[9..], ["unused_address", "#4294967295"]);
}

#[test]
fn the_json_object_has_the_documented_fields() {
    let object = serde_json::to_value(EventRow::new(&refused_socket(), Some(&key()))).unwrap();

    assert_eq!(
        object,
        json!({
            "time": "1970-01-01T23:59:59.123456Z",
            "event": "refused",
            "by": "socket",
            "protocol": "TCP",
            "service_id": 7,
            "namespace": "shop",
            "name": "cart",
            "port_name": "http",
            "client": null,
            "frontend": {"address": "203.0.113.1", "port": 30080},
            "endpoint": null,
            "source": null,
            "verdict": "refused",
            "reason": "socket_refused",
            "device": null,
            "process": {"id": 4711, "name": "curl"},
        })
    );
    let lost = serde_json::to_value(Lost::now(3)).unwrap();
    assert_eq!(
        (&lost["event"], &lost["count"]),
        (&json!("lost"), &json!(3))
    );
    assert!(matches!(lost["time"], Value::String(_)));
}
