//! What a source tells the store.

use ipnet::IpNet;

use super::{EndpointSlice, Label, Namespace, Node, ObjectName, Pod, Service};

/// One change of the cluster's state. A source sends [`Change::Listed`] once Services,
/// EndpointSlices, the Node, (where the cluster has any) `ServiceCIDRs` and (where pods may opt out
/// of balancing at the socket) Pods and Namespaces have each been listed completely; nothing is removed from the datapath before. After a re-list it sends the removals it found missing, like any others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A Service exists in this form, or (None) is gone or of no concern to a proxy.
    Service(ObjectName, Option<Box<Service>>),
    /// An EndpointSlice exists in this form, or (None) is gone or of no concern to a proxy.
    Slice(ObjectName, Option<Box<EndpointSlice>>),
    /// This node's Node object, or (None) its absence.
    Node(Option<Box<Node>>),
    /// A `ServiceCIDR` has these networks, or (None) is gone.
    ServiceCidr(Label, Option<Vec<IpNet>>),
    /// A Pod of this node exists in this form, or (None) is gone or cannot be told from others.
    Pod(ObjectName, Option<Box<Pod>>),
    /// A Namespace exists in this form, or (None) is gone.
    Namespace(Label, Option<Namespace>),
    /// Everything has been listed completely.
    Listed,
}
