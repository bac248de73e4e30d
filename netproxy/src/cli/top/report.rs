//! Rates as they are printed.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use netproxy::model::Protocol;
use netproxy::plan::PortKey;
use netproxy_common::Counter;
use serde::Serialize;

use super::Sort;
use super::rates::{self, Activity, Rates};
use crate::cli::service_name;
use crate::cli::table::{Cell, Row, as_text};

/// Instead of an empty table.
pub(super) const NOTHING: &str = "nothing is going on";

/// One report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    time: String,
    interval_s: f64,
    flows: Flows,
    per_s: PerSecond,
    maps: Vec<Map>,
    services: Vec<ServiceRow>,
}

/// Live flows, by tier.
#[derive(Debug, Serialize)]
struct Flows {
    assured: u64,
    pending: u64,
}

/// Of the whole node.
#[derive(Debug, Serialize)]
struct PerSecond {
    new_flows: Option<f64>,
    sockets: Option<f64>,
    drops: Option<f64>,
    refused_sockets: Option<f64>,
    events: BTreeMap<&'static str, f64>,
}

#[derive(Debug, Serialize)]
struct Map {
    #[serde(rename = "map")]
    name: &'static str,
    entries: u32,
    capacity: u32,
}

/// One service port.
#[derive(Debug, Serialize)]
pub(super) struct ServiceRow {
    namespace: String,
    name: String,
    port_name: String,
    #[serde(serialize_with = "as_text")]
    protocol: Protocol,
    flows: u64,
    new_flows_per_s: Option<f64>,
    sockets_per_s: Option<f64>,
    packets_per_s: Option<f64>,
    bytes_per_s: Option<f64>,
    drops_per_s: Option<f64>,
    #[serde(skip)]
    shown: String,
}

impl Report {
    /// Of the service ports that `admits` takes.
    pub(super) fn new(rates: &Rates, sort: Sort, admits: impl Fn(&PortKey) -> bool) -> Self {
        let events = rates.events_per_s.iter();
        let events = events.map(|(counter, rate)| (counter.name(), rounded(*rate)));
        let services = rates.services.values();
        let mut services: Vec<_> = services
            .filter(|activity| admits(&activity.key))
            .map(ServiceRow::from)
            .collect();
        // They come by name, and stay so where they are equal.
        services.sort_by(|a, b| match sort {
            Sort::Flows => b.flows.cmp(&a.flows),
            Sort::New => most(begun(a), begun(b)),
            Sort::Bytes => most(a.bytes_per_s, b.bytes_per_s),
            Sort::Drops => most(a.drops_per_s, b.drops_per_s),
            Sort::Service => Ordering::Equal,
        });
        Self {
            time: Timestamp::try_from(rates.time)
                .map_or_else(|_| String::new(), |time| format!("{time:.3}")),
            interval_s: rounded(rates.interval_s),
            flows: Flows {
                assured: rates.assured,
                pending: rates.pending,
            },
            per_s: PerSecond {
                new_flows: rates.of_counter(Counter::NewFlow).map(rounded),
                sockets: rates.of_counter(Counter::SocketTranslated).map(rounded),
                drops: rates.of_drops().map(rounded),
                refused_sockets: rates.of_counter(Counter::SocketRefused).map(rounded),
                events: events.collect(),
            },
            maps: rates
                .fills
                .iter()
                .map(|fill| Map {
                    name: fill.map,
                    entries: fill.entries,
                    capacity: fill.capacity,
                })
                .collect(),
            services,
        }
    }

    /// The service ports.
    pub(super) fn services(&self) -> &[ServiceRow] {
        &self.services
    }

    /// The totals, line by line.
    pub(super) fn head(&self) -> Vec<String> {
        let Self {
            time,
            flows: Flows { assured, pending },
            per_s,
            maps,
            ..
        } = self;
        let time = time.split_once('T').map_or("", |(_, time)| time);
        let time = time.get(..8).unwrap_or(time);
        let maps: Vec<_> = maps
            .iter()
            .map(|map| {
                let hundredths = u64::from(map.entries) * 100 / u64::from(map.capacity).max(1);
                format!("{} {hundredths}%", map.name)
            })
            .collect();
        vec![
            format!(
                "{time}Z  flows: {} ({assured} assured, {pending} pending)",
                assured + pending
            ),
            format!(
                "per second: {} new flows, {} sockets, {} drops, {} refused sockets",
                rate(per_s.new_flows),
                rate(per_s.sockets),
                rate(per_s.drops),
                rate(per_s.refused_sockets)
            ),
            format!("maps: {}", maps.join(", ")),
        ]
    }
}

impl From<&Activity> for ServiceRow {
    fn from(activity: &Activity) -> Self {
        let Activity { key, flows, per_s } = activity;
        let rate = |of: fn(&rates::PerSecond) -> f64| per_s.as_ref().map(of).map(rounded);
        Self {
            namespace: key.service.namespace.to_string(),
            name: key.service.name.to_string(),
            port_name: key.port.to_string(),
            protocol: key.protocol,
            flows: *flows,
            new_flows_per_s: rate(|it| it.new_flows),
            sockets_per_s: rate(|it| it.sockets),
            packets_per_s: rate(|it| it.packets),
            bytes_per_s: rate(|it| it.bytes),
            drops_per_s: rate(|it| it.drops),
            shown: service_name::shown(key),
        }
    }
}

impl Row for ServiceRow {
    const HEAD: &'static [&'static str] = &[
        "SERVICE",
        "PROTOCOL",
        "FLOWS",
        "NEW/S",
        "SOCKETS/S",
        "PACKETS/S",
        "BYTES/S",
        "DROPS/S",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.shown.as_str().into(),
            self.protocol.to_string().into(),
            self.flows.to_string().into(),
            rate(self.new_flows_per_s).into(),
            rate(self.sockets_per_s).into(),
            rate(self.packets_per_s).into(),
            self.bytes_per_s
                .map_or_else(|| "-".to_owned(), bytes)
                .into(),
            rate(self.drops_per_s).into(),
        ]
    }
}

/// Flows that were begun, whoever began them.
fn begun(row: &ServiceRow) -> Option<f64> {
    Some(row.new_flows_per_s? + row.sockets_per_s?)
}

/// A rate in a few characters.
fn bytes(rate: f64) -> String {
    let units = ["", "k", "M", "G", "T"];
    let mut rate = rate;
    let mut unit = 0;
    while rate >= 1000.0 && unit + 1 < units.len() {
        rate /= 1000.0;
        unit += 1;
    }
    format!("{rate:.1}{}", units[unit])
}

fn most(a: Option<f64>, b: Option<f64>) -> Ordering {
    b.unwrap_or(0.0).total_cmp(&a.unwrap_or(0.0))
}

/// To a tenth.
fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))
}
