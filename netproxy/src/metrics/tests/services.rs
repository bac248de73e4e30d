//! Which services have series of their own, and that nothing is counted twice or forgotten.

use std::collections::BTreeMap;

use netproxy_common::{Counter as Reason, Traffic, Volume};
use rustc_hash::FxHashMap;

use super::{shown, start};
use crate::metrics::{Metrics, MetricsPage};
use crate::model::ObjectName;

/// Services `shop/1` to `shop/COUNT`, with a port each, whose id is their name.
fn services(count: u32) -> FxHashMap<u32, ObjectName> {
    let ids = 1..=count;
    ids.map(|id| (id, ObjectName::new("shop", id.to_string())))
        .collect()
}

fn labels(id: u32) -> String {
    match id {
        0 => "service_namespace=\"\",service_name=\"other\"".to_owned(),
        id => format!("service_namespace=\"shop\",service_name=\"{id}\""),
    }
}

/// Of the service of this id, or (0) of all others.
fn flows(page: &MetricsPage, id: u32) -> String {
    shown(page, &format!("netproxy_service_flows{{{}}}", labels(id)))
}

fn drops(page: &MetricsPage, id: u32) -> String {
    let reason = "reason=\"no_route\"";
    let labels = labels(id);
    shown(
        page,
        &format!("netproxy_service_drops_total{{{labels},{reason}}}"),
    )
}

fn dropped(counts: &[(u32, u64)]) -> BTreeMap<(u32, Reason), u64> {
    let counts = counts.iter();
    counts
        .map(|(id, count)| ((*id, Reason::NoRoute), *count))
        .collect()
}

#[test]
fn the_busiest_services_have_series_of_their_own_and_keep_them() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    let all = services(4);

    metrics
        .services
        .flows(&all, &[(1, 10), (2, 30), (3, 20)].into_iter().collect());
    metrics
        .services
        .flows(&all, &[(1, 99), (2, 5), (4, 1)].into_iter().collect());

    assert_eq!(flows(&page, 2), "5");
    assert_eq!(flows(&page, 3), "0");
    assert_eq!(flows(&page, 0), "100");
    let text = page.text().unwrap();
    assert_eq!(text.matches("netproxy_service_flows{").count(), 3, "{text}");
}

#[test]
fn a_service_that_is_gone_makes_room_and_its_flows_are_nobodys() {
    let (mut metrics, page) = Metrics::new(start(), 1);
    let all = services(2);
    metrics
        .services
        .flows(&all, &[(1, 10)].into_iter().collect());
    metrics.services.drops(&all, dropped(&[(1, 3)]));

    let only: FxHashMap<_, _> = all.into_iter().filter(|(id, _)| *id == 2).collect();
    metrics
        .services
        .forget_but(|name| only.values().any(|it| it == name));
    metrics
        .services
        .flows(&only, &[(1, 10), (2, 4)].into_iter().collect());
    metrics.services.drops(&only, dropped(&[(1, 5)]));

    assert_eq!([flows(&page, 2), flows(&page, 0)], ["4", "10"]);
    let text = page.text().unwrap();
    assert!(!text.contains("service_name=\"1\""), "{text}");
    assert_eq!(drops(&page, 0), "2");
}

#[test]
fn drops_are_counted_on_through_whatever_the_kernel_forgets() {
    let (mut metrics, page) = Metrics::new(start(), 1);
    let all = services(2);

    // What was counted before the agent started counts; so does what comes after an eviction.
    for counts in [&[(1, 3), (2, 1)][..], &[(1, 5), (2, 2)], &[], &[(1, 2)]] {
        metrics.services.drops(&all, dropped(counts));
    }

    assert_eq!([drops(&page, 1), drops(&page, 0)], ["7", "2"]);
}

/// So many flows, and as many packets of a hundred bytes to the endpoints.
fn carried(counts: &[(u32, u64)]) -> BTreeMap<u32, Traffic> {
    let traffic = |flows: u64| Traffic {
        flows,
        to_endpoints: Volume {
            packets: flows,
            bytes: 100 * flows,
        },
        ..Traffic::default()
    };
    let counts = counts.iter();
    counts.map(|(id, flows)| (*id, traffic(*flows))).collect()
}

/// New flows, and bytes to the endpoints.
fn traffic(page: &MetricsPage, id: u32) -> [String; 2] {
    let labels = labels(id);
    [
        format!("netproxy_service_new_flows_total{{{labels},by=\"packet\"}}"),
        format!("netproxy_service_bytes_total{{{labels},direction=\"to_endpoints\"}}"),
    ]
    .map(|series| shown(page, &series))
}

#[test]
fn traffic_is_counted_on_through_ids_that_change_hands() {
    let (mut metrics, page) = Metrics::new(start(), 1);
    let all = services(2);

    // The busiest has its own series; what has no room of its own stands under zero.
    for counts in [
        &[(0, 1), (1, 3), (2, 1)][..],
        &[(0, 2), (1, 5), (2, 9)],
        &[(1, 2)],
    ] {
        metrics.services.traffic(&all, carried(counts));
    }

    assert_eq!(traffic(&page, 1), ["7", "700"]);
    assert_eq!(traffic(&page, 0), ["11", "1100"]);
    metrics.services.forget_but(|_| false);
    let text = page.text().unwrap();
    assert!(!text.contains("service_name=\"1\""), "{text}");
}

#[test]
fn with_a_limit_of_zero_all_services_are_others() {
    let (mut metrics, page) = Metrics::new(start(), 0);

    metrics
        .services
        .flows(&services(2), &[(1, 1), (2, 2)].into_iter().collect());

    assert_eq!(flows(&page, 0), "3");
    assert_eq!(
        page.text()
            .unwrap()
            .matches("netproxy_service_flows{")
            .count(),
        1
    );
}
