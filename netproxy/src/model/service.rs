//! A Service, reduced to what a proxy needs.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Family, Label, ObjectName, Protocol};

/// A Service with at least one cluster IP. Both families in one; `plan` splits them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ObjectName,
    /// `spec.clusterIPs` (else `spec.clusterIP`), never empty.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` with ipMode unset or `VIP` (KEP-1860).
    pub load_balancer_vips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`.
    pub source_ranges: Vec<IpNet>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`, already `Cluster` where Kubernetes does not consult it
    /// (pkg/api/v1/service/util.go: type ClusterIP without external IPs).
    pub external_policy: TrafficPolicy,
    /// Seconds of `sessionAffinity: ClientIP`.
    pub affinity_s: Option<u32>,
    /// How the annotation `netproxy.dev/balancing` wants endpoints to be chosen; None: it says nothing.
    pub balancing: Option<Balancing>,
    /// `spec.healthCheckNodePort`, only with type LoadBalancer and external policy Local.
    pub health_check_node_port: Option<u16>,
}

/// One of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The name by which slices are joined; empty for the only, unnamed port.
    pub name: Label,
    /// The protocol.
    pub protocol: Protocol,
    /// The port of cluster IPs, VIPs and external IPs.
    pub port: u16,
    /// The NodePort, if one is allocated.
    pub node_port: Option<u16>,
}

/// `internalTrafficPolicy` and `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Any endpoint.
    #[default]
    Cluster,
    /// Endpoints of this node only.
    Local,
}

/// How an endpoint is chosen of those that a client may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Balancing {
    /// Any, at random.
    #[default]
    Random,
    /// The same on every node, for the same client's address and port (Maglev).
    Consistent,
}

/// The families of a service; of one that is gone nobody knows them.
pub(crate) fn families_of(service: Option<&Service>) -> Vec<Family> {
    match service {
        Some(service) => service.cluster_ips.iter().map(Family::of).collect(),
        None => Family::BOTH.into(),
    }
}
