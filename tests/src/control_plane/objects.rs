//! The objects that a kubelet would have written: nodes, and pods with their state.

use anyhow::Result;
use serde_json::{Value, json};

use super::ControlPlane;
use crate::{Node, Place, Pod};

/// A pod of the lab as an object of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Replica<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The value of its label `app`.
    pub app: &'a str,
    /// Whether it is ready.
    pub is_ready: bool,
}

impl<'a> Replica<'a> {
    /// A pod that is ready.
    #[must_use]
    pub fn ready(pod: &'a Pod, app: &'a str) -> Self {
        Self {
            pod,
            app,
            is_ready: true,
        }
    }
}

impl ControlPlane<'_> {
    /// Makes the lab's nodes known, with their addresses.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn register_nodes(&self) -> Result<()> {
        self.register(self.lab.nodes().iter().map(node_object))
    }

    /// Makes pods of the lab known, in the namespace `default`, or changes what is known of them.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn register_pods(&self, replicas: &[Replica<'_>]) -> Result<()> {
        self.register(replicas.iter().map(pod_object))
    }

    /// The API server takes an object's status on its own, of an object that exists.
    fn register(&self, objects: impl Iterator<Item = Value>) -> Result<()> {
        let with_status: Vec<_> = objects.collect();
        let mut without = with_status.clone();
        for object in without.iter_mut().filter_map(Value::as_object_mut) {
            object.remove("status");
        }
        self.apply(&list(&without))?;
        self.replace_status(&list(&with_status))
    }
}

fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

fn node_object(node: &Node) -> Value {
    let name = node.name();
    let cidrs = node.pod_cidrs();
    let cidrs = [cidrs.v4.to_string(), cidrs.v6.to_string()];
    let addresses = node
        .internal_ips()
        .map(|address| json!({"type": "InternalIP", "address": address}));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
        "status": {
            "addresses": addresses,
            "conditions": [condition("Ready", true)],
        },
    })
}

fn pod_object(replica: &Replica<'_>) -> Value {
    let Replica { pod, app, is_ready } = *replica;
    let addresses = pod.addresses().both().map(|ip| json!({"ip": ip}));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod.name(), "namespace": "default", "labels": {"app": app}},
        "spec": {
            "nodeName": pod.node(),
            "containers": [{"name": "serve", "image": "netproxy-traffic"}],
        },
        "status": {
            "phase": "Running",
            "podIP": pod.ipv4(),
            "podIPs": addresses,
            "conditions": [condition("Ready", is_ready)],
        },
    })
}

fn condition(kind: &str, is_so: bool) -> Value {
    json!({"type": kind, "status": if is_so { "True" } else { "False" }})
}
