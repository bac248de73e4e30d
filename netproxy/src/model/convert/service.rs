//! Services.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;

use super::address::{parse_address, parse_addresses, parse_ranges};
use super::{Interner, label, object_name, port, protocol};
use crate::model::{Family, ObjectName, Service, ServicePort, TrafficPolicy};

/// Services with this label belong to another proxy; its value says nothing.
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// `sessionAffinityConfig.clientIP.timeoutSeconds` when the object does not say.
const DEFAULT_AFFINITY_S: u32 = 10_800;
/// The longest affinity that the API allows.
const LONGEST_AFFINITY_S: u32 = 86_400;

/// The Service as a proxy sees it, or None if it is of no concern to one: headless,
/// `ExternalName`, somebody else's, or without a usable cluster IP.
pub fn service(object: &core::Service, interner: &mut Interner) -> Option<Service> {
    let spec = object.spec.as_ref()?;
    if label(&object.metadata, PROXY_NAME_LABEL).is_some() || is_skipped(spec) {
        return None;
    }
    let name = object_name(&object.metadata, interner)?;
    let cluster_ips = cluster_ips(spec);
    if cluster_ips.is_empty() {
        tracing::warn!(service = %name, "ignored: none of its cluster IPs is an IP address");
        return None;
    }
    let external_policy = external_policy(spec);
    let ports = spec.ports.iter().flatten();
    Some(Service {
        cluster_ips,
        external_ips: parse_addresses("spec.externalIPs", spec.external_ips.iter().flatten()),
        load_balancer_vips: load_balancer_vips(object),
        source_ranges: parse_ranges(
            "spec.loadBalancerSourceRanges",
            spec.load_balancer_source_ranges.iter().flatten(),
        ),
        ports: ports
            .filter_map(|port| service_port(&name, port, interner))
            .collect(),
        internal_policy: policy(spec.internal_traffic_policy.as_deref()),
        external_policy,
        affinity_s: affinity_s(spec),
        health_check_node_port: health_check_node_port(spec, external_policy),
        name,
    })
}

/// Whether a proxy skips the Service: no cluster IP, or `ExternalName` (even if a cluster IP of
/// an earlier type is left over).
fn is_skipped(spec: &core::ServiceSpec) -> bool {
    let cluster_ip = spec.cluster_ip.as_deref().unwrap_or_default();
    matches!(cluster_ip, "" | "None") || spec.type_.as_deref() == Some("ExternalName")
}

/// The first cluster IP of each family.
fn cluster_ips(spec: &core::ServiceSpec) -> Vec<IpAddr> {
    let listed = spec.cluster_ips.as_deref().unwrap_or_default();
    let texts = if listed.is_empty() {
        spec.cluster_ip.as_slice()
    } else {
        listed
    };
    let mut firsts: Vec<IpAddr> = Vec::with_capacity(texts.len().min(Family::BOTH.len()));
    for address in texts.iter().filter_map(|text| parse_address(text)) {
        let family = Family::of(&address);
        if firsts.iter().all(|first| Family::of(first) != family) {
            firsts.push(address);
        }
    }
    firsts
}

/// The ingress addresses at which packets arrive unchanged. With ipMode `Proxy` traffic really
/// has to go to the load balancer.
fn load_balancer_vips(object: &core::Service) -> Vec<IpAddr> {
    let status = object
        .status
        .as_ref()
        .and_then(|s| s.load_balancer.as_ref());
    let ingress = status.and_then(|balancer| balancer.ingress.as_ref());
    let vips = ingress
        .into_iter()
        .flatten()
        .filter(|ingress| matches!(ingress.ip_mode.as_deref(), None | Some("VIP")))
        .filter_map(|ingress| ingress.ip.as_ref());
    parse_addresses("status.loadBalancer.ingress[].ip", vips)
}

fn service_port(
    service: &ObjectName,
    declared: &core::ServicePort,
    interner: &mut Interner,
) -> Option<ServicePort> {
    let name = declared.name.as_deref().unwrap_or_default();
    let Some(protocol) = protocol(declared.protocol.as_deref()) else {
        let protocol = declared.protocol.as_deref();
        tracing::warn!(%service, port = name, protocol, "port ignored: unknown protocol");
        return None;
    };
    let Some(number) = port(declared.port) else {
        tracing::warn!(%service, port = name, number = declared.port, "port ignored: no number");
        return None;
    };
    Some(ServicePort {
        name: interner.intern(name),
        protocol,
        port: number,
        node_port: declared.node_port.and_then(port),
    })
}

/// `spec.externalTrafficPolicy` where Kubernetes consults it: pkg/api/v1/service/util.go there
/// does so for types LoadBalancer and NodePort, and for ClusterIP with external IPs.
fn external_policy(spec: &core::ServiceSpec) -> TrafficPolicy {
    let is_accessible = match spec.type_.as_deref() {
        Some("LoadBalancer" | "NodePort") => true,
        None | Some("" | "ClusterIP") => spec
            .external_ips
            .as_ref()
            .is_some_and(|ips| !ips.is_empty()),
        Some(_) => false,
    };
    if is_accessible {
        policy(spec.external_traffic_policy.as_deref())
    } else {
        TrafficPolicy::Cluster
    }
}

fn policy(name: Option<&str>) -> TrafficPolicy {
    match name {
        Some("Local") => TrafficPolicy::Local,
        _ => TrafficPolicy::Cluster,
    }
}

fn affinity_s(spec: &core::ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref();
    let timeout = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    let timeout = timeout.and_then(|timeout| u32::try_from(timeout).ok());
    Some(match timeout {
        None | Some(0) => DEFAULT_AFFINITY_S,
        Some(timeout) => timeout.min(LONGEST_AFFINITY_S),
    })
}

fn health_check_node_port(spec: &core::ServiceSpec, external: TrafficPolicy) -> Option<u16> {
    let is_needed =
        spec.type_.as_deref() == Some("LoadBalancer") && external == TrafficPolicy::Local;
    spec.health_check_node_port
        .filter(|_| is_needed)
        .and_then(port)
}
