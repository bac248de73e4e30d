//! A case's services as objects of the API, in full: no field that a proxy heeds is left to defaults
//! that it was not meant to have.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::{
    case::{Endpoint, Family, IpMode, Kind, Policy, Protocol, Server, Service, Slice},
    slot::Slot,
};

/// The namespace of all of them.
pub(crate) const NAMESPACE: &str = "default";
/// Long enough that nobody's affinity ends while a case is looked at.
const AFFINITY_TIMEOUT_S: u32 = 10_800;

/// Where servers are.
pub(crate) trait Addresses {
    fn of(&self, server: Server, family: Family) -> IpAddr;
}

/// The Service, without its status.
pub(crate) fn service(service: &Service, slot: Slot) -> Value {
    let mut spec = json!({
        "type": kind(service.kind),
        "ipFamilies": service.families.iter().map(|&it| family_name(it)).collect::<Vec<_>>(),
        "ipFamilyPolicy": if service.families.len() == 2 { "RequireDualStack" } else { "SingleStack" },
        "clusterIP": slot.cluster_ip(service.families[0]),
        "clusterIPs": service.families.iter().map(|&it| slot.cluster_ip(it)).collect::<Vec<_>>(),
        "internalTrafficPolicy": service.internal_policy.to_string(),
        "sessionAffinity": if service.has_affinity { "ClientIP" } else { "None" },
        "ports": ports(service, slot),
    });
    if service.has_affinity {
        spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": AFFINITY_TIMEOUT_S}});
    }
    if service.is_external() {
        spec["externalTrafficPolicy"] = json!(service.external_policy.to_string());
    }
    if service.has_external_ip {
        spec["externalIPs"] = addresses(service, |family| slot.external_ip(family));
    }
    if service.kind == Kind::LoadBalancer {
        spec["allocateLoadBalancerNodePorts"] = json!(service.has_node_ports);
        if !service.source_ranges.is_empty() {
            spec["loadBalancerSourceRanges"] = json!(service.source_ranges);
        }
        if service.external_policy == Policy::Local {
            spec["healthCheckNodePort"] = json!(slot.health_check_port());
        }
    }
    let labels = if service.has_other_proxy {
        json!({"service.kubernetes.io/service-proxy-name": "another"})
    } else {
        json!({})
    };
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": slot.name(), "labels": labels},
        "spec": spec,
    })
}

/// What the status of the Service is to have under `loadBalancer`.
pub(crate) fn load_balancer(service: &Service, slot: Slot) -> Value {
    let Some(mode) = service.shown_vip() else {
        return json!({"ingress": null});
    };
    let ingress = service.families.iter().map(|&family| {
        let ip = slot.vip(family);
        match mode {
            IpMode::Unset => json!({"ip": ip}),
            IpMode::Vip => json!({"ip": ip, "ipMode": "VIP"}),
            IpMode::Proxy => json!({"ip": ip, "ipMode": "Proxy"}),
        }
    });
    json!({"ingress": ingress.collect::<Vec<_>>()})
}

/// The name of a slice's object.
pub(crate) fn slice_name(slice: &Slice, slot: Slot) -> String {
    let family = family_name(slice.family).to_lowercase();
    format!("{}-{family}-{}", slot.name(), slice.number)
}

/// The `EndpointSlice`.
pub(crate) fn slice(slice: &Slice, slot: Slot, at: &dyn Addresses) -> Value {
    let ports: Vec<_> = slice
        .ports
        .iter()
        .map(|port| {
            json!({
                "name": port.name,
                "protocol": protocol(port.protocol),
                "port": port.number,
            })
        })
        .collect();
    let endpoints: Vec<_> = slice
        .endpoints
        .iter()
        .map(|it| endpoint(it, at.of(it.server, slice.family)))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": NAMESPACE,
            "name": slice_name(slice, slot),
            "labels": {"kubernetes.io/service-name": slot.name()},
        },
        "addressType": family_name(slice.family),
        "ports": ports,
        "endpoints": endpoints,
    })
}

fn endpoint(endpoint: &Endpoint, address: IpAddr) -> Value {
    let mut object = json!({
        "addresses": [address],
        "conditions": {
            "ready": endpoint.ready,
            "serving": endpoint.serving,
            "terminating": endpoint.terminating,
        },
        "nodeName": endpoint.server.node().name(),
        "zone": endpoint.server.node().zone(),
    });
    let named = |names: &[String]| -> Vec<Value> {
        names.iter().map(|name| json!({"name": name})).collect()
    };
    let mut hints = json!({});
    if !endpoint.for_zones.is_empty() {
        hints["forZones"] = json!(named(&endpoint.for_zones));
    }
    if !endpoint.for_nodes.is_empty() {
        hints["forNodes"] = json!(named(&endpoint.for_nodes));
    }
    object["hints"] = hints;
    object
}

fn ports(service: &Service, slot: Slot) -> Vec<Value> {
    let ports = service.ports.iter().map(|port| {
        let mut object = json!({"protocol": protocol(port.protocol), "port": port.number});
        if !port.name.is_empty() {
            object["name"] = json!(port.name);
        }
        if service.is_on_nodes() {
            object["nodePort"] = json!(slot.node_port(port));
        }
        object
    });
    ports.collect()
}

fn addresses(service: &Service, address: impl Fn(Family) -> IpAddr) -> Value {
    service
        .families
        .iter()
        .map(|&it| json!(address(it)))
        .collect()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::ClusterIp => "ClusterIP",
        Kind::NodePort => "NodePort",
        Kind::LoadBalancer => "LoadBalancer",
    }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}
