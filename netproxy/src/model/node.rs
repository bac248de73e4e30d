//! This node's own Node object.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Label;

/// What a proxy needs of its own Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: Label,
    /// `status.addresses`: `InternalIP` first, then `ExternalIP`, in the object's order.
    pub addresses: Vec<IpAddr>,
    /// The label `topology.kubernetes.io/zone`, when not empty.
    pub zone: Option<Label>,
    /// `spec.podCIDRs` (else `spec.podCIDR`).
    pub pod_cidrs: Vec<IpNet>,
    /// Whether it is being deleted or carries the taint `ToBeDeletedByClusterAutoscaler`.
    pub is_leaving: bool,
}
