//! What a load balancer is told of this node's endpoints of a Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::NodeView;
use super::join::join;
use crate::model::{EndpointSlice, Family, Service};

/// The health check of a Service on this node (`spec.healthCheckNodePort`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The port at which load balancers ask.
    pub node_port: u16,
    /// For each family that the Service has: how many different addresses are ready on this node,
    /// over all of its ports.
    pub local_endpoints: BTreeMap<Family, usize>,
}

/// The health check that `service` wants, if it wants one.
///
/// Terminating endpoints are not ready and hence not counted, even while traffic falls back to
/// them: the load balancer turns away before the last of them ends. As in kube-proxy `ready` alone
/// decides: only `publishNotReadyAddresses` makes a terminating endpoint ready.
#[must_use]
pub fn health_check(
    service: &Service,
    slices: &[&EndpointSlice],
    node: &NodeView,
) -> Option<HealthCheck> {
    let node_port = service.health_check_node_port?;
    let families: BTreeSet<_> = service.cluster_ips.iter().map(Family::of).collect();
    let local_endpoints = families
        .into_iter()
        .map(|family| (family, local_ready(service, slices, node, family).len()))
        .collect();
    Some(HealthCheck {
        node_port,
        local_endpoints,
    })
}

/// The addresses of `family` that are ready on this node.
fn local_ready(
    service: &Service,
    slices: &[&EndpointSlice],
    node: &NodeView,
    family: Family,
) -> BTreeSet<IpAddr> {
    let joined = service
        .ports
        .iter()
        .flat_map(|port| join(slices, port, family));
    joined
        .filter(|entry| entry.endpoint.ready && node.hosts(entry.endpoint))
        .map(|entry| entry.address)
        .collect()
}
