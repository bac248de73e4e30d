//! EndpointSlices.

use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

use super::address::{is_unicast, parse_address};
use super::complaint::Complaints;
use super::{Interner, is_label, label, namespace_of, object_name, port, protocol};
use crate::model::{Endpoint, EndpointSlice, Family, Hints, ObjectName, SlicePort};

/// Names the Service that a slice belongs to.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// The same, as a field.
const SERVICE_LABEL: &str = "metadata.labels[kubernetes.io/service-name]";
/// Slices of headless services; its value says nothing.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// When the change that led to this version of the slice happened.
const TRIGGER_ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The slice as a proxy sees it, or None if it is of no concern to one: of a headless service, of
/// no service, or of names instead of addresses.
pub fn endpoint_slice(
    object: &discovery::EndpointSlice,
    interner: &mut Interner,
) -> Option<EndpointSlice> {
    let mut complaints = Complaints::default();
    let slice = read(object, interner, &mut complaints);
    complaints.log("EndpointSlice", &object.metadata);
    slice
}

pub(super) fn read(
    object: &discovery::EndpointSlice,
    interner: &mut Interner,
    complaints: &mut Complaints,
) -> Option<EndpointSlice> {
    let metadata = &object.metadata;
    if label(metadata, HEADLESS_LABEL).is_some() {
        return None;
    }
    let name = object_name(metadata, interner)?;
    let Some(service) = label(metadata, SERVICE_NAME_LABEL).filter(|name| !name.is_empty()) else {
        tracing::debug!(slice = %name, "ignored: no label {SERVICE_NAME_LABEL}");
        return None;
    };
    let family = match object.address_type.as_str() {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        "FQDN" => return None,
        other => {
            complaints.add("addressType", other, "slice ignored: neither IPv4 nor IPv6");
            return None;
        }
    };
    if !is_label(service) {
        complaints.add(
            SERVICE_LABEL,
            service,
            "slice ignored: no name of a Service",
        );
        return None;
    }
    let service = ObjectName::new(namespace_of(metadata, interner)?, interner.intern(service));
    let ports = object.ports.iter().flatten();
    let ports = ports.filter_map(|port| slice_port(port, interner, complaints));
    let mut ports: Vec<_> = ports.collect();
    let endpoints = object.endpoints.iter();
    let endpoints = endpoints.filter_map(|found| endpoint(family, found, interner, complaints));
    let mut endpoints: Vec<_> = endpoints.collect();
    // Every node holds every slice of the cluster: no spare capacity.
    ports.shrink_to_fit();
    endpoints.shrink_to_fit();
    Some(EndpointSlice {
        service,
        family,
        ports,
        endpoints,
        triggered_unix_ns: triggered_unix_ns(metadata),
        name,
    })
}

/// A port with a name and a number. The API says that a port without a number means all ports;
/// kube-proxy never did that.
fn slice_port(
    declared: &discovery::EndpointPort,
    interner: &mut Interner,
    complaints: &mut Complaints,
) -> Option<SlicePort> {
    let Some(name) = declared.name.as_deref() else {
        let number = declared.port.unwrap_or_default();
        complaints.add(
            "ports[].name",
            format_args!("null (port {number})"),
            "port ignored: it has no name to join it by",
        );
        return None;
    };
    if !name.is_empty() && !is_label(name) {
        complaints.add("ports[].name", name, "port ignored: no name of a port");
        return None;
    }
    let Some(protocol) = protocol(declared.protocol.as_deref()) else {
        let protocol = declared.protocol.as_deref().unwrap_or_default();
        complaints.add(
            "ports[].protocol",
            protocol,
            "port ignored: unknown protocol",
        );
        return None;
    };
    let number = declared.port.unwrap_or_default();
    let Some(port) = port(number) else {
        if number != 0 {
            complaints.add("ports[].port", number, "port ignored: not from 1 to 65535");
        }
        return None;
    };
    Some(SlicePort {
        name: interner.intern(name),
        protocol,
        port,
    })
}

fn endpoint(
    family: Family,
    declared: &discovery::Endpoint,
    interner: &mut Interner,
    complaints: &mut Complaints,
) -> Option<Endpoint> {
    const FIELD: &str = "endpoints[].addresses[0]";
    let text = declared.addresses.first()?;
    let Some(address) = parse_address(text) else {
        complaints.add(FIELD, text, "endpoint ignored: not an IP address");
        return None;
    };
    if Family::of(&address) != family {
        complaints.add(
            FIELD,
            text,
            "endpoint ignored: not of the slice's addressType",
        );
        return None;
    }
    if !is_unicast(&address) {
        complaints.add(FIELD, text, "endpoint ignored: no pod or host can be there");
        return None;
    }
    let conditions = declared.conditions.as_ref();
    Some(Endpoint {
        address,
        node: declared
            .node_name
            .as_deref()
            .map(|name| interner.intern(name)),
        ready: conditions.and_then(|known| known.ready).unwrap_or(true),
        serving: conditions.and_then(|known| known.serving).unwrap_or(true),
        terminating: conditions
            .and_then(|known| known.terminating)
            .unwrap_or(false),
        hints: declared
            .hints
            .as_ref()
            .and_then(|hints| self::hints(hints, interner)),
    })
}

fn hints(declared: &discovery::EndpointHints, interner: &mut Interner) -> Option<Box<Hints>> {
    let nodes = declared.for_nodes.iter().flatten();
    let nodes: Vec<_> = nodes.map(|node| interner.intern(&node.name)).collect();
    let zones = declared.for_zones.iter().flatten();
    let zones: Vec<_> = zones.map(|zone| interner.intern(&zone.name)).collect();
    let is_hinted = !(nodes.is_empty() && zones.is_empty());
    is_hinted.then(|| Box::new(Hints { nodes, zones }))
}

fn triggered_unix_ns(metadata: &ObjectMeta) -> Option<i64> {
    let text = metadata.annotations.as_ref()?.get(TRIGGER_ANNOTATION)?;
    let time: Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}
