//! One entry of the slices of a Service: a pod, or any place or address that serves.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::{Node, Place, Pod};

/// An endpoint of a Service, in both families.
#[derive(Clone, Debug)]
#[must_use]
pub struct EndpointObject {
    name: String,
    addresses: Vec<IpAddr>,
    node: Option<String>,
    is_ready: bool,
    is_serving: bool,
    is_terminating: bool,
}

impl From<&Pod> for EndpointObject {
    fn from(pod: &Pod) -> Self {
        Self::new(
            pod.name(),
            &pod.addresses().both(),
            Some(pod.node().to_owned()),
        )
    }
}

/// A pod with `hostNetwork`.
impl From<&Node> for EndpointObject {
    fn from(node: &Node) -> Self {
        Self::new(
            node.name(),
            &node.internal_ips(),
            Some(node.name().to_owned()),
        )
    }
}

impl EndpointObject {
    fn new(name: &str, addresses: &[IpAddr], node: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            addresses: addresses.to_vec(),
            node,
            is_ready: true,
            is_serving: true,
            is_terminating: false,
        }
    }

    /// A machine outside of the cluster, on no node.
    pub fn outside(place: &dyn Place) -> Self {
        Self::new(place.name(), &place.addresses().both(), None)
    }

    /// Its readiness probe fails.
    pub fn not_ready(mut self) -> Self {
        self.is_ready = false;
        self.is_serving = false;
        self
    }

    /// It has been told to end, and still serves.
    pub fn terminating(mut self) -> Self {
        self.is_ready = false;
        self.is_terminating = true;
        self
    }

    /// Its entry in the slice of the family; none where it has no address of that.
    pub(super) fn entry(&self, is_v4: bool, namespace: &str) -> Option<Value> {
        let addresses: Vec<_> = self
            .addresses
            .iter()
            .filter(|address| address.is_ipv4() == is_v4)
            .collect();
        if addresses.is_empty() {
            return None;
        }
        let mut entry = json!({
            "addresses": addresses,
            "conditions": {
                "ready": self.is_ready,
                "serving": self.is_serving,
                "terminating": self.is_terminating,
            },
        });
        if let Some(node) = &self.node {
            entry["nodeName"] = json!(node);
            entry["targetRef"] =
                json!({ "kind": "Pod", "namespace": namespace, "name": self.name });
        }
        Some(entry)
    }
}
