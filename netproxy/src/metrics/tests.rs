//! Tests of what stands on the page.

mod attachments;
mod everything;
mod services;
mod source_ports;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use netproxy_common::service::SEGMENTS;
use netproxy_common::{FlowKind, FlowState, Verdict, Window};
use rustc_hash::FxHashMap;

use super::{Extent, Metrics, MetricsPage};
use crate::datapath::{FlowClass, MapFill};
use crate::model::{Balancing, Family, ObjectName, Protocol};
use crate::plan::{PortKey, WantedPort, WantedRange};
use crate::store::Arrivals;

fn start() -> Timestamp {
    "2026-11-21T05:00:00Z".parse().unwrap()
}

/// The value of the series that is written so.
#[track_caller]
fn value(page: &MetricsPage, series: &str) -> f64 {
    shown(page, series).parse().unwrap()
}

/// The same, as it is written.
#[track_caller]
fn shown(page: &MetricsPage, series: &str) -> String {
    let text = page.text().unwrap();
    let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let found = lines.find(|(found, _)| *found == series);
    let Some((_, value)) = found else {
        panic!("no {series} in:\n{text}");
    };
    value.to_owned()
}

fn web() -> ObjectName {
    ObjectName::new("shop", "web")
}

/// A change of the slices of `shop/web`, because of what happened then.
fn slice_change(triggered: &[Timestamp]) -> Arrivals {
    Arrivals {
        services: BTreeSet::new(),
        endpoints: [web()].into(),
        triggers: [(
            web(),
            triggered.iter().map(|time| (Family::V4, *time)).collect(),
        )]
        .into(),
    }
}

#[test]
fn the_page_is_of_the_text_format_and_not_of_openmetrics() {
    let (metrics, page) = Metrics::new(start(), 2);
    metrics.syncs.failed();

    let text = page.text().unwrap();

    for line in [
        "# TYPE netproxy_sync_failures_total counter",
        "netproxy_sync_failures_total 1",
        "# TYPE netproxy_build_info gauge",
        concat!(
            "netproxy_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
        // kube-proxy's gauge is called so.
        "# TYPE kubeproxy_sync_proxy_rules_no_local_endpoints_total gauge",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    assert!(
        !text.contains("# EOF") && !text.contains("# UNIT"),
        "{text}"
    );
}

#[test]
fn every_metric_says_what_it_means_and_once() {
    let (_, page) = Metrics::new(start(), 2);

    let text = page.text().unwrap();

    let of = |word: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(word));
        let names = lines.filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect()
    };
    let (meanings, types) = (of("# HELP "), of("# TYPE "));
    assert_eq!(meanings, types);
    assert_eq!(types.iter().collect::<BTreeSet<_>>().len(), types.len());
}

/// The metrics of the table in docs/operations.md, with their types.
fn documented() -> BTreeSet<(String, String)> {
    let text = include_str!("../../../docs/operations.md");
    let (_, text) = text.split_once("\n## Metrics\n").unwrap();
    let (text, _) = text.split_once("\n## ").unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?, cells.next()?))
    });
    rows.map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn the_documentation_tells_of_every_metric_and_its_type() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    // What has no series yet is not on the page.
    everything::note(&mut metrics, &page);

    let text = page.text().unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types = lines.filter_map(|line| line.split_once(' '));
    let mut found: BTreeSet<_> = types
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    // These are read from the kernel.
    found.insert(("netproxy_events_total".to_owned(), "counter".to_owned()));

    assert_eq!(found, documented());
}

#[test]
fn the_process_tells_what_it_takes() {
    let (_, page) = Metrics::new(start(), 2);

    assert!(value(&page, "process_resident_memory_bytes") > 1024.0 * 1024.0);
    assert!(value(&page, "process_open_fds") >= 3.0);
    assert!(value(&page, "process_max_fds") >= value(&page, "process_open_fds"));
    assert!(value(&page, "process_cpu_seconds_total") > 0.0);
    let started = value(&page, "process_start_time_seconds");
    assert!((started - 1_795_237_200.0).abs() < 0.5, "{started}");
}

#[test]
fn a_pass_counts_for_the_families_that_it_concerns() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    let (v4, both) = ([Family::V4].into(), Family::BOTH.into());
    let took = Duration::from_millis(3);

    metrics.syncs.begun(&both, start());
    metrics.syncs.succeeded(Extent::Full, &both, took, start());
    let later = start() + Duration::from_secs(9);
    metrics.syncs.begun(&v4, later);
    metrics.syncs.succeeded(Extent::Partial, &v4, took, later);

    for (series, expected) in [
        ("duration_seconds_count{ip_family=\"IPv4\"}", "2"),
        ("duration_seconds_count{ip_family=\"IPv6\"}", "1"),
        (
            "duration_seconds_bucket{le=\"0.002\",ip_family=\"IPv4\"}",
            "0",
        ),
        (
            "duration_seconds_bucket{le=\"0.004\",ip_family=\"IPv4\"}",
            "2",
        ),
    ] {
        let series = format!("kubeproxy_sync_proxy_rules_{series}");
        assert_eq!(shown(&page, &series), expected, "{series}");
    }
    let partial = "kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}";
    assert_eq!(shown(&page, partial), "1");
    for kind in ["", "_queued"] {
        let name = format!("kubeproxy_sync_proxy_rules_last{kind}_timestamp_seconds");
        let [of_v4, of_v6] = ["IPv4", "IPv6"]
            .map(|family| value(&page, &format!("{name}{{ip_family=\"{family}\"}}")));
        assert!((of_v4 - of_v6 - 9.0).abs() < 0.001, "{of_v4} {of_v6}");
    }
}

#[test]
fn latency_is_from_the_trigger_until_the_pass_that_brings_it_into_force() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    let v4 = [Family::V4].into();
    let at = |seconds| start() + Duration::from_secs(seconds);
    let latency = |part: &str| {
        let name = "kubeproxy_network_programming_duration_seconds";
        shown(&page, &format!("{name}_{part}{{ip_family=\"IPv4\"}}"))
    };

    // One happened before the agent started: how long it took is not the agent's doing.
    let before = start() - Duration::from_mins(1);
    metrics
        .syncs
        .arrived(slice_change(&[before, at(10), at(11)]));
    let pending = "kubeproxy_sync_proxy_rules_endpoint_changes_pending";
    assert_eq!(shown(&page, pending), "1");
    metrics.syncs.failed();
    metrics
        .syncs
        .succeeded(Extent::Partial, &v4, Duration::ZERO, at(12));
    metrics
        .syncs
        .succeeded(Extent::Partial, &v4, Duration::ZERO, at(99));

    assert_eq!(latency("count"), "2");
    assert_eq!(latency("sum"), "3.0");
    assert_eq!(shown(&page, pending), "0");
    let changes = "kubeproxy_sync_proxy_rules_endpoint_changes_total";
    assert_eq!(shown(&page, changes), "1");
}

/// A port of `shop/web` under the policy Local for everybody, whose endpoints are elsewhere, or gone.
fn port(verdict: Verdict) -> WantedPort {
    WantedPort {
        key: PortKey {
            service: web(),
            port: "".into(),
            protocol: Protocol::Tcp,
            family: Family::V6,
        },
        frontends: Vec::new(),
        range: WantedRange {
            endpoints: Vec::new(),
            segment_ends: [0; SEGMENTS],
            internal: Window::default(),
            external_cluster: Window::default(),
            external_local: Window::default(),
            verdicts: [verdict; 3],
            is_external_local: true,
            affinity_s: 0,
            source_ranges: Vec::new(),
            masquerades_internal: false,
            masquerades_external: false,
            internal_balancing: Balancing::Random,
            external_balancing: Balancing::Random,
        },
    }
}

#[test]
fn ports_whose_endpoints_are_all_elsewhere_are_counted_until_they_are_not() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    let counts = || {
        let name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total";
        ["internal", "external"].map(|policy| {
            let labels = format!("traffic_policy=\"{policy}\",ip_family=\"IPv6\"");
            shown(&page, &format!("{name}{{{labels}}}"))
        })
    };
    let mut set = |ports| metrics.without_local.set(&[(web(), ports)]);
    assert_eq!(counts(), ["0", "0"]);

    set(vec![port(Verdict::Drop), port(Verdict::Drop)]);
    assert_eq!(counts(), ["2", "2"]);

    // Without any endpoint it is refused, whatever the policy.
    set(vec![port(Verdict::Reject)]);
    assert_eq!(counts(), ["0", "0"]);

    let mut external_cluster = port(Verdict::Drop);
    external_cluster.range.is_external_local = false;
    set(vec![external_cluster]);
    assert_eq!(counts(), ["1", "0"]);

    set(Vec::new());
    assert_eq!(counts(), ["0", "0"]);
}

#[test]
fn maps_and_flows_are_told_by_what_tells_them_apart() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    let class = FlowClass {
        family: Family::V6,
        is_assured: true,
        kind: FlowKind::Whole,
        state: FlowState::Established,
    };
    metrics.datapath.fills(&[MapFill {
        map: "FLOWS_V6",
        entries: 14,
        capacity: 100,
    }]);
    metrics.datapath.flows(&[(class, 7)].into_iter().collect());

    let flows = "netproxy_flows{ip_family=\"IPv6\",tier=\"assured\",kind=\"whole\",\
                 state=\"established\"}";
    assert_eq!(shown(&page, flows), "7");
    let of = |what: &str| shown(&page, &format!("netproxy_map_{what}{{map=\"FLOWS_V6\"}}"));
    assert_eq!([of("entries"), of("capacity")], ["14", "100"]);

    // Gone, but not forgotten: a series that vanishes is not zero.
    metrics.datapath.flows(&FxHashMap::default());
    assert_eq!(shown(&page, flows), "0");
}
