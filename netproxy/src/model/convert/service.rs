//! Services.

mod ports;

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::address::{parse_range, parse_ranges, parse_servable};
use super::complaint::Complaints;
use super::{Interner, annotation, is_label, label, object_name};
use crate::model::{Balancing, Family, Service, TrafficPolicy};

/// Services with this label belong to another proxy; its value says nothing.
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Annotation: how endpoints are chosen.
const BALANCING: &str = "netproxy.dev/balancing";
/// `sessionAffinityConfig.clientIP.timeoutSeconds` when the object does not say.
const DEFAULT_AFFINITY_S: u32 = 10_800;
/// The longest affinity that the API allows.
const LONGEST_AFFINITY_S: u32 = 86_400;
const SOURCE_RANGES: &str = "spec.loadBalancerSourceRanges";
/// Ports times addresses of one Service that are served: a quarter of what the maps hold.
const MOST_FRONTENDS: usize = 65_536;

/// The Service as a proxy sees it, or None if it is of no concern to one: headless,
/// `ExternalName`, somebody else's, or without a usable cluster IP.
pub fn service(object: &core::Service, interner: &mut Interner) -> Option<Service> {
    let mut complaints = Complaints::default();
    let service = read(object, interner, &mut complaints);
    complaints.log("Service", &object.metadata);
    service
}

pub(super) fn read(
    object: &core::Service,
    interner: &mut Interner,
    complaints: &mut Complaints,
) -> Option<Service> {
    let spec = object.spec.as_ref()?;
    if label(&object.metadata, PROXY_NAME_LABEL).is_some() || is_skipped(spec) {
        return None;
    }
    let name = object_name(&object.metadata, interner)?;
    if !is_label(&name.name) {
        complaints.add(
            "metadata.name",
            &name.name,
            "ignored: longer than 63 characters",
        );
        return None;
    }
    let cluster_ips = cluster_ips(spec, complaints);
    if cluster_ips.is_empty() {
        let listed = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
        let listed = listed.map(String::as_str).collect::<Vec<_>>().join(", ");
        complaints.add(
            "spec.clusterIPs",
            listed,
            "Service ignored: none can be served",
        );
        return None;
    }
    let ports = ports::ports(spec, interner, complaints);
    let external_policy = external_policy(spec, complaints);
    let source_ranges = parse_ranges(SOURCE_RANGES, listed_ranges(spec), complaints);
    let mut service = Service {
        cluster_ips,
        external_ips: parse_servable(
            "spec.externalIPs",
            spec.external_ips.iter().flatten(),
            complaints,
        ),
        load_balancer_vips: load_balancer_vips(object, complaints),
        source_ranges,
        ports,
        internal_policy: policy(
            "spec.internalTrafficPolicy",
            spec.internal_traffic_policy.as_deref(),
            complaints,
        ),
        external_policy,
        affinity_s: affinity_s(spec, complaints),
        balancing: balancing(&object.metadata, complaints),
        health_check_node_port: ports::health_check_node_port(spec, external_policy, complaints),
        name,
    };
    close_unfiltered_vips(&mut service, spec, complaints);
    limit_frontends(&mut service, complaints);
    Some(service)
}

/// Whether a proxy skips the Service: no cluster IP, or `ExternalName` (even if a cluster IP of
/// an earlier type is left over).
fn is_skipped(spec: &core::ServiceSpec) -> bool {
    let cluster_ip = spec.cluster_ip.as_deref().unwrap_or_default();
    matches!(cluster_ip, "" | "None") || spec.type_.as_deref() == Some("ExternalName")
}

/// The first cluster IP of each family.
fn cluster_ips(spec: &core::ServiceSpec, complaints: &mut Complaints) -> Vec<IpAddr> {
    let listed = spec.cluster_ips.as_deref().unwrap_or_default();
    let (field, texts) = if listed.is_empty() {
        ("spec.clusterIP", spec.cluster_ip.as_slice())
    } else {
        ("spec.clusterIPs", listed)
    };
    let addresses = parse_servable(field, texts, complaints);
    let firsts = Family::BOTH.map(|family| {
        let mut of_family = addresses.iter().filter(|ip| Family::of(ip) == family);
        of_family.next().copied()
    });
    let is_first = |address: &IpAddr| firsts.contains(&Some(*address));
    addresses.into_iter().filter(is_first).collect()
}

/// The ingress addresses at which packets arrive unchanged. With ipMode `Proxy` traffic really
/// has to go to the load balancer.
fn load_balancer_vips(object: &core::Service, complaints: &mut Complaints) -> Vec<IpAddr> {
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
    parse_servable("status.loadBalancer.ingress[].ip", vips, complaints)
}

fn listed_ranges(spec: &core::ServiceSpec) -> impl Iterator<Item = &String> {
    spec.load_balancer_source_ranges.iter().flatten()
}

/// Takes away the VIPs of a family for which ranges are listed, but none that can be read: they
/// were to be closed to somebody, and must not be open to everybody.
fn close_unfiltered_vips(
    service: &mut Service,
    spec: &core::ServiceSpec,
    complaints: &mut Complaints,
) {
    let is_unreadable = |text: &&String| !text.trim().is_empty() && parse_range(text).is_none();
    let unreadable: Vec<_> = listed_ranges(spec).filter(is_unreadable).collect();
    for family in Family::BOTH {
        let may_be_meant = unreadable
            .iter()
            .any(|text| family_meant(text).is_none_or(|meant| meant == family));
        let is_of_family = |range: &IpNet| Family::of(&range.addr()) == family;
        if !may_be_meant || service.source_ranges.iter().any(is_of_family) {
            continue;
        }
        let before = service.load_balancer_vips.len();
        service
            .load_balancer_vips
            .retain(|vip| Family::of(vip) != family);
        if service.load_balancer_vips.len() < before {
            complaints.add(
                SOURCE_RANGES,
                family,
                "load-balancer VIPs of this family are not served: no range of it can be read",
            );
        }
    }
}

/// The family that an unreadable range was probably meant for; None: either.
fn family_meant(text: &str) -> Option<Family> {
    match (text.contains(':'), text.contains('.')) {
        (true, _) => Some(Family::V6),
        (false, true) => Some(Family::V4),
        (false, false) => None,
    }
}

/// Keeps a Service from taking all room for itself.
fn limit_frontends(service: &mut Service, complaints: &mut Complaints) {
    const REASON: &str = "only the first ones are served: too many for so many ports";
    let ports = service.ports.len().max(1);
    let mut room = (MOST_FRONTENDS / ports).saturating_sub(Family::BOTH.len());
    for (field, addresses) in [
        (
            "status.loadBalancer.ingress[].ip",
            &mut service.load_balancer_vips,
        ),
        ("spec.externalIPs", &mut service.external_ips),
    ] {
        if addresses.len() > room {
            complaints.add(field, format_args!("{} addresses", addresses.len()), REASON);
            addresses.truncate(room);
        }
        room -= addresses.len();
    }
}

/// `spec.externalTrafficPolicy` where Kubernetes consults it: pkg/api/v1/service/util.go there
/// does so for types LoadBalancer and NodePort, and for ClusterIP with external IPs.
fn external_policy(spec: &core::ServiceSpec, complaints: &mut Complaints) -> TrafficPolicy {
    let is_accessible = match spec.type_.as_deref() {
        Some("LoadBalancer" | "NodePort") => true,
        None | Some("" | "ClusterIP") => spec
            .external_ips
            .as_ref()
            .is_some_and(|ips| !ips.is_empty()),
        Some(_) => false,
    };
    if is_accessible {
        policy(
            "spec.externalTrafficPolicy",
            spec.external_traffic_policy.as_deref(),
            complaints,
        )
    } else {
        TrafficPolicy::Cluster
    }
}

fn policy(field: &'static str, name: Option<&str>, complaints: &mut Complaints) -> TrafficPolicy {
    match name {
        Some("Local") => TrafficPolicy::Local,
        None | Some("" | "Cluster") => TrafficPolicy::Cluster,
        Some(other) => {
            complaints.add(field, other, "taken for Cluster: neither Cluster nor Local");
            TrafficPolicy::Cluster
        }
    }
}

fn balancing(metadata: &ObjectMeta, complaints: &mut Complaints) -> Option<Balancing> {
    match annotation(metadata, BALANCING)? {
        "random" => Some(Balancing::Random),
        "consistent" => Some(Balancing::Consistent),
        other => {
            complaints.add(
                "metadata.annotations.netproxy.dev/balancing",
                other,
                "taken for absent: neither random nor consistent",
            );
            None
        }
    }
}

fn affinity_s(spec: &core::ServiceSpec, complaints: &mut Complaints) -> Option<u32> {
    const TIMEOUT: &str = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    match spec.session_affinity.as_deref() {
        Some("ClientIP") => {}
        None | Some("" | "None") => return None,
        Some(other) => {
            complaints.add("spec.sessionAffinity", other, "taken for None: unknown");
            return None;
        }
    }
    let config = spec.session_affinity_config.as_ref();
    let Some(timeout) = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds) else {
        return Some(DEFAULT_AFFINITY_S);
    };
    Some(match u32::try_from(timeout) {
        Ok(timeout @ 1..=LONGEST_AFFINITY_S) => timeout,
        Ok(timeout) if timeout > LONGEST_AFFINITY_S => {
            complaints.add(TIMEOUT, timeout, "taken for 86400: longer than that");
            LONGEST_AFFINITY_S
        }
        _ => {
            complaints.add(TIMEOUT, timeout, "taken for 10800: less than 1");
            DEFAULT_AFFINITY_S
        }
    })
}
