//! A little of everything that is measured.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use netproxy_common::{Counter, DeviceKind, FlowKind, FlowState, Traffic, Volume};

use super::{slice_change, start, web};
use crate::datapath::{Destination, DeviceState, FlowClass, MapFill, ProgramLoad};
use crate::metrics::{Extent, HealthPath, Metrics, MetricsPage, note_request};
use crate::model::{Family, Protocol};

/// Gives each metric at least one series.
pub(super) fn note(metrics: &mut Metrics, page: &MetricsPage) {
    for path in [HealthPath::Healthz, HealthPath::Livez] {
        page.answers().count(path, StatusCode::OK);
    }
    let uri = "https://api.test:6443/api/v1/nodes".parse().unwrap();
    note_request(&Method::GET, &uri, None, Duration::from_millis(7));
    let (families, took) = (Family::BOTH.into(), Duration::from_millis(1));
    let syncs = &mut metrics.syncs;
    syncs.begun(&families, start());
    syncs.arrived(slice_change(&[start() + took]));
    for extent in [Extent::Full, Extent::Partial] {
        syncs.succeeded(extent, &families, took, start() + took);
    }
    let class = FlowClass {
        family: Family::V4,
        is_assured: true,
        kind: FlowKind::Edge,
        state: FlowState::Established,
    };
    metrics.datapath.flows(&[(class, 1)].into_iter().collect());
    metrics.datapath.fills(&[MapFill {
        map: "FLOWS_V4",
        entries: 1,
        capacity: 2,
    }]);
    let services = [(1, web())].into_iter().collect();
    let flows = [(1, 1)].into_iter().collect();
    metrics.services.flows(&services, &flows);
    let drops = [((1, Counter::NoRoute), 1)].into();
    metrics.services.drops(&services, drops);
    let traffic = Traffic {
        flows: 1,
        sockets: 1,
        to_endpoints: Volume {
            packets: 1,
            bytes: 40,
        },
        ..Traffic::default()
    };
    metrics.services.traffic(&services, [(1, traffic)].into());
    let destination = Destination {
        endpoint: ([10, 0, 0, 1], 80).into(),
        protocol: Protocol::Tcp,
    };
    let ports = &mut metrics.source_ports;
    ports.exhausted_at(destination, 1, Instant::now());
    ports.used(&[(destination, 1)].into_iter().collect());
    let device = DeviceState {
        name: "eth0".to_owned(),
        kind: DeviceKind::Outside,
        is_attached: true,
        xdp: None,
    };
    metrics.attachments.devices(vec![device], "tcx");
    metrics.attachments.programs(&[ProgramLoad {
        program: "tc_ingress".to_owned(),
        verified_instructions: Some(1),
        took,
    }]);
}
