//! Which endpoints are told of when source ports become few.

use std::time::{Duration, Instant};

use super::{shown, start};
use crate::datapath::Destination;
use crate::metrics::{Metrics, MetricsPage};
use crate::model::Protocol;

/// Port 80 of 10.0.0.NUMBER.
fn endpoint(number: u8) -> Destination {
    Destination {
        endpoint: ([10, 0, 0, number], 80).into(),
        protocol: Protocol::Tcp,
    }
}

/// Of the endpoint with this number, or (0) of all others.
fn value(page: &MetricsPage, metric: &str, number: u8) -> String {
    let labels = match number {
        0 => "destination=\"other\",protocol=\"\"".to_owned(),
        number => format!("destination=\"10.0.0.{number}:80\",protocol=\"TCP\""),
    };
    shown(page, &format!("netproxy_source_ports_{metric}{{{labels}}}"))
}

#[test]
fn only_endpoints_under_pressure_are_told_of_and_the_worst_ones_by_name() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    let ports = &mut metrics.source_ports;
    ports.set_available(1000);
    let used = |counts: &[(u8, u32)]| {
        let counts = counts.iter();
        counts
            .map(|(number, count)| (endpoint(*number), *count))
            .collect()
    };

    ports.used(&used(&[(1, 10), (2, 900), (3, 9), (4, 50), (5, 40)]));
    assert_eq!(
        [2, 4, 0].map(|number| value(&page, "used", number)),
        ["900", "50", "40"]
    );

    ports.used(&used(&[(2, 9), (4, 60)]));
    assert_eq!(
        [4, 0].map(|number| value(&page, "used", number)),
        ["60", "0"]
    );
    let text = page.text().unwrap();
    assert_eq!(text.matches("netproxy_source_ports_used{").count(), 2);
    assert_eq!(shown(&page, "netproxy_source_ports"), "1000");
}

#[test]
fn refusals_are_counted_by_endpoint_as_long_as_there_is_room() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    let ports = &mut metrics.source_ports;
    let now = Instant::now();

    for (number, flows) in [(1, 3), (2, 5), (3, 7), (1, 1)] {
        ports.exhausted_at(endpoint(number), flows, now);
    }
    assert_eq!(
        [1, 2, 0].map(|number| value(&page, "exhausted_total", number)),
        ["4", "5", "7"]
    );

    // Who has been silent for long makes room.
    let later = now + Duration::from_hours(1);
    ports.exhausted_at(endpoint(3), 1, later);
    assert_eq!(
        [3, 0].map(|number| value(&page, "exhausted_total", number)),
        ["1", "7"]
    );
    assert!(!page.text().unwrap().contains("10.0.0.1:80"));
}
