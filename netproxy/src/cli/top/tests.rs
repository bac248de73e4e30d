//! Rates from samples that are known, and what becomes of them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use clap::Parser;
use netproxy::datapath::MapFill;
use netproxy::model::{Family, ObjectName, Protocol};
use netproxy::plan::PortKey;
use netproxy_common::{Counter, Traffic, Volume};
use serde_json::json;

use super::super::table::Row as _;
use super::super::table::tests::texts;
use super::*;

/// A command line of `netproxy top`.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    top: TopArgs,
}

const CART_V4: u32 = 1;
const CART_V6: u32 = 2;
const BASKET: u32 = 3;
const REMOVED: u32 = 9;

fn key(name: &str, family: Family) -> PortKey {
    PortKey {
        service: ObjectName::new("shop", name),
        port: "http".into(),
        protocol: Protocol::Tcp,
        family,
    }
}

/// What there is `at` so many seconds: flows by service, drops, new flows in all, what was carried.
fn sample(
    began: Instant,
    at: u64,
    flows: &[(u32, u64)],
    drops: &[(u32, u64)],
    new: u64,
    traffic: &[(u32, Traffic)],
) -> Sample {
    let at = Duration::from_secs(at);
    Sample {
        at: began + at,
        time: SystemTime::UNIX_EPOCH + at,
        names: BTreeMap::from([
            (CART_V4, key("cart", Family::V4)),
            (CART_V6, key("cart", Family::V6)),
            (BASKET, key("basket", Family::V4)),
        ]),
        flows: flows.iter().copied().collect(),
        assured: 1,
        traffic: traffic.iter().copied().collect(),
        drops: drops
            .iter()
            .map(|(service, count)| ((*service, Counter::NoEndpoint), *count))
            .collect(),
        counters: BTreeMap::from([(Counter::NewFlow, new), (Counter::NoEndpoint, 10 * new)]),
        fills: vec![MapFill {
            map: "FLOWS_V4",
            entries: 1,
            capacity: 8,
        }],
    }
}

/// So many flows of two packets each, and sockets.
fn carried(flows: u64, sockets: u64) -> Traffic {
    let volume = |bytes| Volume {
        packets: flows,
        bytes: flows * bytes,
    };
    Traffic {
        flows,
        sockets,
        to_endpoints: volume(100),
        to_clients: volume(1500),
    }
}

fn two_seconds() -> Rates {
    let began = Instant::now();
    let before = sample(
        began,
        10,
        &[(CART_V4, 2)],
        &[(BASKET, 5)],
        100,
        &[(CART_V4, carried(7, 1)), (CART_V6, carried(1, 0))],
    );
    let now = sample(
        began,
        12,
        &[(CART_V4, 2), (CART_V6, 1), (REMOVED, 1)],
        &[(BASKET, 8), (CART_V6, 1)],
        103,
        &[
            (CART_V4, carried(8, 2)),
            (CART_V6, carried(2, 4)),
            (REMOVED, carried(9, 9)),
        ],
    );
    Rates::between(&before, &now)
}

/// Names, flows and rates as a report lists them.
fn lines(rates: &Rates, sort: Sort) -> Vec<Vec<String>> {
    let report = Report::new(rates, sort, |_| true);
    report
        .services()
        .iter()
        .map(|row| texts(row.cells()))
        .collect()
}

#[test]
fn rates_are_by_second_and_families_are_counted_together() {
    assert_eq!(
        lines(&two_seconds(), Sort::Flows),
        [
            [
                "shop/cart:http",
                "TCP",
                "3",
                "1.0",
                "2.5",
                "2.0",
                "1.6k",
                "0.5"
            ],
            [
                "shop/basket:http",
                "TCP",
                "0",
                "0.0",
                "0.0",
                "0.0",
                "0.0",
                "1.5"
            ],
        ]
    );
}

#[test]
fn services_are_sorted_as_asked_for() {
    let first = |sort| lines(&two_seconds(), sort)[0][0].clone();

    assert_eq!(first(Sort::Flows), "shop/cart:http");
    assert_eq!(first(Sort::New), "shop/cart:http");
    assert_eq!(first(Sort::Bytes), "shop/cart:http");
    assert_eq!(first(Sort::Drops), "shop/basket:http");
    assert_eq!(first(Sort::Service), "shop/basket:http");
}

#[test]
fn before_the_second_look_no_rate_is_known() {
    let first = sample(
        Instant::now(),
        0,
        &[(CART_V4, 1)],
        &[(BASKET, 5)],
        100,
        &[(CART_V4, carried(5, 5))],
    );

    let rates = Rates::unknown(&first);

    assert_eq!(
        lines(&rates, Sort::Flows),
        [["shop/cart:http", "TCP", "1", "-", "-", "-", "-", "-"]]
    );
    let head = Report::new(&rates, Sort::Flows, |_| true).head();
    assert!(head[1].contains("- new flows"), "{head:?}");
}

/// The kernel forgets the least common counts, and ids are given to other services.
#[test]
fn a_count_that_began_anew_is_what_has_been_counted_since() {
    let began = Instant::now();
    let before = sample(
        began,
        0,
        &[],
        &[(BASKET, 50)],
        0,
        &[(BASKET, carried(9, 9))],
    );
    let now = sample(began, 1, &[], &[(BASKET, 2)], 0, &[(BASKET, carried(1, 0))]);

    let rates = Rates::between(&before, &now);

    assert_eq!(
        lines(&rates, Sort::Drops),
        [[
            "shop/basket:http",
            "TCP",
            "0",
            "1.0",
            "0.0",
            "2.0",
            "1.6k",
            "2.0"
        ]]
    );
}

#[test]
fn totals_stand_on_top() {
    let head = Report::new(&two_seconds(), Sort::Flows, |_| true).head();

    assert_eq!(
        head,
        [
            "00:00:12Z  flows: 4 (1 assured, 3 pending)",
            "per second: 1.5 new flows, 0.0 sockets, 15.0 drops, 0.0 refused sockets",
            "maps: FLOWS_V4 12%",
        ]
    );
}

#[test]
fn the_json_object_has_the_documented_fields() {
    let only_cart = |key: &PortKey| &*key.service.name == "cart";
    let report = Report::new(&two_seconds(), Sort::Flows, only_cart);

    assert_eq!(
        serde_json::to_value(report).unwrap(),
        json!({
            "time": "1970-01-01T00:00:12.000Z",
            "interval_s": 2.0,
            "flows": {"assured": 1, "pending": 3},
            "per_s": {
                "new_flows": 1.5,
                "sockets": 0.0,
                "drops": 15.0,
                "refused_sockets": 0.0,
                "events": {"new_flow": 1.5, "no_endpoint": 15.0},
            },
            "maps": [{"map": "FLOWS_V4", "entries": 1, "capacity": 8}],
            "services": [{
                "namespace": "shop",
                "name": "cart",
                "port_name": "http",
                "protocol": "TCP",
                "flows": 3,
                "new_flows_per_s": 1.0,
                "sockets_per_s": 2.5,
                "packets_per_s": 2.0,
                "bytes_per_s": 1600.0,
                "drops_per_s": 0.5,
            }],
        })
    );
}

#[test]
fn an_interval_is_a_tenth_of_a_second_to_an_hour() {
    let interval = |text: &str| {
        Line::try_parse_from(["top", "--interval", text]).map(|line| line.top.interval)
    };

    assert_eq!(interval("0.5").unwrap(), Duration::from_millis(500));
    for text in ["0", "0.01", "NaN", "4000", "soon"] {
        assert!(interval(text).is_err(), "{text}");
    }
}

#[test]
fn keys_end_and_sort() {
    for (pressed, meant) in [
        (&b"q"[..], Key::End),
        (b"\x03", Key::End),
        (b"d", Key::Sort(Sort::Drops)),
        (b"x", Key::Other),
        // An arrow, a function key, and several before they were read.
        (b"\x1b[B", Key::Other),
        (b"\x1b[15~", Key::Other),
        (b"\x1b[Adsx", Key::Sort(Sort::Service)),
        (b"\x1bOAsqd", Key::End),
    ] {
        assert_eq!(Key::among(pressed), meant, "{pressed:?}");
    }
}
