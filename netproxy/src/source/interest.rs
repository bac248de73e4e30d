//! What of the cluster an agent asks for.

use crate::model::Label;

/// The view of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The node's name. Of Nodes, its own is told.
    pub node_name: Label,
    /// Whether the node's Pods, and Namespaces, are told. Nobody asks for them otherwise.
    pub has_pods: bool,
}
