//! Ports of Services.

use k8s_openapi::api::core::v1 as core;
use rustc_hash::FxHashSet;

use crate::model::convert::complaint::Complaints;
use crate::model::convert::{Interner, is_label, port, protocol};
use crate::model::{ServicePort, TrafficPolicy};

const NOT_A_PORT: &str = "port ignored: not from 1 to 65535";

/// The usable ones of `spec.ports`.
pub(super) fn ports(
    spec: &core::ServiceSpec,
    interner: &mut Interner,
    complaints: &mut Complaints,
) -> Vec<ServicePort> {
    let declared = spec.ports.iter().flatten();
    let ports = declared.filter_map(|port| service_port(port, interner, complaints));
    let ports: Vec<_> = ports.collect();
    let mut seen = FxHashSet::default();
    for port in &ports {
        if !seen.insert((&port.name, port.protocol)) {
            complaints.add(
                "spec.ports[].name",
                &port.name,
                "the last port of this name and protocol is served: declared twice",
            );
        }
    }
    ports
}

fn service_port(
    declared: &core::ServicePort,
    interner: &mut Interner,
    complaints: &mut Complaints,
) -> Option<ServicePort> {
    let name = declared.name.as_deref().unwrap_or_default();
    if !name.is_empty() && !is_label(name) {
        complaints.add("spec.ports[].name", name, "port ignored: no name of a port");
        return None;
    }
    let Some(protocol) = protocol(declared.protocol.as_deref()) else {
        let protocol = declared.protocol.as_deref().unwrap_or_default();
        complaints.add(
            "spec.ports[].protocol",
            protocol,
            "port ignored: unknown protocol",
        );
        return None;
    };
    let Some(number) = port(declared.port) else {
        complaints.add("spec.ports[].port", declared.port, NOT_A_PORT);
        return None;
    };
    Some(ServicePort {
        name: interner.intern(name),
        protocol,
        port: number,
        node_port: optional("spec.ports[].nodePort", declared.node_port, complaints),
    })
}

/// `spec.healthCheckNodePort` where it is needed.
pub(super) fn health_check_node_port(
    spec: &core::ServiceSpec,
    external: TrafficPolicy,
    complaints: &mut Complaints,
) -> Option<u16> {
    let is_needed =
        spec.type_.as_deref() == Some("LoadBalancer") && external == TrafficPolicy::Local;
    let declared = spec.health_check_node_port.filter(|_| is_needed);
    optional("spec.healthCheckNodePort", declared, complaints)
}

/// A port that need not be there; zero stands for none.
fn optional(
    field: &'static str,
    declared: Option<i32>,
    complaints: &mut Complaints,
) -> Option<u16> {
    let number = declared.filter(|number| *number != 0)?;
    let port = port(number);
    if port.is_none() {
        complaints.add(field, number, NOT_A_PORT);
    }
    port
}
