//! This node's own Node.

use k8s_openapi::api::core::v1 as core;

use super::address::{parse_addresses, parse_ranges};
use super::complaint::Complaints;
use super::{Interner, is_name, label};
use crate::model::Node;

/// The zone a node is in.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// The cluster autoscaler's announcement that it is about to remove the node.
const LEAVING_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// The Node as a proxy sees it, or None if it has no name.
pub fn node(object: &core::Node, interner: &mut Interner) -> Option<Node> {
    let mut complaints = Complaints::default();
    let node = read(object, interner, &mut complaints);
    complaints.log("Node", &object.metadata);
    node
}

pub(super) fn read(
    object: &core::Node,
    interner: &mut Interner,
    complaints: &mut Complaints,
) -> Option<Node> {
    let metadata = &object.metadata;
    let name = metadata.name.as_deref().filter(|name| is_name(name))?;
    let spec = object.spec.as_ref();
    let addresses = object.status.as_ref().and_then(|s| s.addresses.as_deref());
    let addresses = addresses.unwrap_or_default();
    let of_type = |kind: &'static str| {
        let those = addresses
            .iter()
            .filter(move |address| address.type_ == kind);
        those.map(|address| &address.address)
    };
    let is_tainted = spec
        .into_iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .any(|taint| taint.key == LEAVING_TAINT);
    Some(Node {
        name: interner.intern(name),
        addresses: parse_addresses(
            "status.addresses",
            of_type("InternalIP").chain(of_type("ExternalIP")),
            complaints,
        ),
        zone: label(metadata, ZONE_LABEL)
            .filter(|zone| !zone.is_empty())
            .map(|zone| interner.intern(zone)),
        pod_cidrs: parse_ranges(
            "spec.podCIDRs",
            spec.into_iter().flat_map(pod_cidrs),
            complaints,
        ),
        is_leaving: metadata.deletion_timestamp.is_some() || is_tainted,
    })
}

/// `spec.podCIDRs`, else `spec.podCIDR`.
fn pod_cidrs(spec: &core::NodeSpec) -> &[String] {
    match spec.pod_cidrs.as_deref() {
        Some(ranges) if !ranges.is_empty() => ranges,
        _ => spec.pod_cidr.as_slice(),
    }
}
