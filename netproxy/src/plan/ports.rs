//! From a Service and its slices to the wanted state of its ports.

use std::net::IpAddr;

use ipnet::IpNet;
use netproxy_common::{FrontendKind, Window};
use rustc_hash::FxHashSet;

use super::join::join;
use super::segments::Segments;
use super::{NodeView, PortKey, WantedFrontend, WantedPort, WantedRange};
use crate::model::{Balancing, EndpointSlice, Family, Service, ServicePort, TrafficPolicy};
use crate::settings::Masquerade;

/// The wanted state of every port of `service`, in both families it has a cluster IP of.
///
/// `slices` are all slices of the service, in any order. Every [`PortKey`] of the result is
/// different.
#[must_use]
pub fn plan_service(
    service: &Service,
    slices: &[&EndpointSlice],
    node: &NodeView,
) -> Vec<WantedPort> {
    in_every_family(service, slices, |port, family, slices| {
        plan_port(service, port, family, slices, node)
    })
}

/// What `plan` makes of every port of `service`, in both families it has a cluster IP of. It is given
/// the slices in the order of their names.
pub(super) fn in_every_family<T>(
    service: &Service,
    slices: &[&EndpointSlice],
    plan: impl Fn(&ServicePort, Family, &[&EndpointSlice]) -> T,
) -> Vec<T> {
    let mut slices = slices.to_vec();
    slices.sort_by(|a, b| a.name.cmp(&b.name));
    let ports = last_of_each_name(&service.ports);
    Family::BOTH
        .into_iter()
        .filter(|family| of_family(&service.cluster_ips, *family).next().is_some())
        .flat_map(|family| ports.iter().map(move |port| (*port, family)))
        .map(|(port, family)| plan(port, family, &slices))
        .collect()
}

/// The API server refuses two ports of one name; a manifest may hold them, and then the later one
/// counts, as it does for kube-proxy.
fn last_of_each_name(ports: &[ServicePort]) -> Vec<&ServicePort> {
    let mut seen = FxHashSet::default();
    let mut last: Vec<_> = ports
        .iter()
        .rev()
        .filter(|port| seen.insert((port.protocol, &port.name)))
        .collect();
    last.reverse();
    last
}

/// The wanted state of one port in one family; `slices` in the order of their names.
pub(super) fn plan_port(
    service: &Service,
    port: &ServicePort,
    family: Family,
    slices: &[&EndpointSlice],
    node: &NodeView,
) -> WantedPort {
    let frontends = frontends(service, port, family, node);
    let segments = Segments::new(&join(slices, port, family), node);

    let internal = match service.internal_policy {
        TrafficPolicy::Cluster => segments.cluster(),
        TrafficPolicy::Local => segments.local(),
    };
    let is_external = frontends.iter().any(WantedFrontend::is_external);
    let is_external_local = is_external && service.external_policy == TrafficPolicy::Local;
    // Without an external frontend nobody may use these windows, so they stay empty.
    let external_cluster = if is_external {
        segments.cluster()
    } else {
        Window::default()
    };
    let external_local = if is_external_local {
        segments.local()
    } else {
        external_cluster
    };

    let internal_balancing = match service.internal_policy {
        TrafficPolicy::Cluster => service.balancing.unwrap_or_default(),
        TrafficPolicy::Local => Balancing::Random,
    };
    let external_balancing = if is_external {
        service.balancing.unwrap_or(node.external_balancing)
    } else {
        Balancing::Random
    };

    WantedPort {
        key: PortKey {
            service: service.name.clone(),
            port: port.name.clone(),
            protocol: port.protocol,
            family,
        },
        range: WantedRange {
            internal,
            external_cluster,
            external_local,
            verdicts: [segments.verdict(); 3],
            is_external_local,
            affinity_s: service.affinity_s.unwrap_or(0),
            source_ranges: source_ranges(service, family, node),
            masquerades_internal: node.masquerade == Masquerade::All,
            masquerades_external: is_external && node.masquerade != Masquerade::Needed,
            internal_balancing,
            external_balancing,
            segment_ends: segments.ends,
            endpoints: segments.endpoints,
        },
        frontends,
    }
}

/// Where clients reach `port` in `family`, sorted and without duplicates.
fn frontends(
    service: &Service,
    port: &ServicePort,
    family: Family,
    node: &NodeView,
) -> Vec<WantedFrontend> {
    let external_ips = if node.serves_external_ips {
        &service.external_ips[..]
    } else {
        &[]
    };
    let at = |addresses, kind| {
        of_family(addresses, family).map(move |address| WantedFrontend {
            address: Some(address),
            port: port.port,
            kind,
        })
    };
    let node_port = port.node_port.map(|node_port| WantedFrontend {
        address: None,
        port: node_port,
        kind: FrontendKind::NodePort,
    });
    let mut frontends: Vec<_> = at(&service.cluster_ips, FrontendKind::ClusterIp)
        .chain(node_port)
        .chain(at(&service.load_balancer_vips, FrontendKind::LoadBalancer))
        .chain(at(external_ips, FrontendKind::ExternalIp))
        .collect();
    // The kind is last in the order: a VIP that is also an external IP stays a VIP, and its
    // source ranges hold.
    frontends.sort_unstable();
    frontends.dedup_by_key(|frontend| (frontend.address, frontend.port));
    frontends
}

/// The networks that may reach the load-balancer VIPs of `family`; empty if all may.
///
/// Where they admit the node, the VIPs themselves are admitted: where a VIP is an address of a
/// device of the node, the kernel picks it as the source towards itself.
fn source_ranges(service: &Service, family: Family, node: &NodeView) -> Vec<IpNet> {
    let vips: Vec<_> = of_family(&service.load_balancer_vips, family).collect();
    if vips.is_empty() {
        return Vec::new();
    }
    let mut ranges: Vec<_> = service
        .source_ranges
        .iter()
        .filter(|range| Family::of(&range.addr()) == family)
        .map(IpNet::trunc)
        .collect();
    let admits_node = node
        .ips
        .iter()
        .any(|ip| ranges.iter().any(|range| range.contains(ip)));
    if admits_node {
        ranges.extend(vips.into_iter().map(IpNet::from));
    }
    let ranges = IpNet::aggregate(&ranges);
    if ranges.iter().any(|range| range.prefix_len() == 0) {
        Vec::new()
    } else {
        ranges
    }
}

/// Those of `addresses` that belong to `family`.
fn of_family(addresses: &[IpAddr], family: Family) -> impl Iterator<Item = IpAddr> {
    addresses
        .iter()
        .copied()
        .filter(move |address| Family::of(address) == family)
}
