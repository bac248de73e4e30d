//! Pods and namespaces, and what they wish of balancing at the socket.

use serde_json::{Map, Value, json};

use crate::{Place, Pod};

/// By which a namespace (label) and a pod (annotation) say whether processes are balanced at their
/// sockets.
pub const SOCKET_BALANCING: &str = "netproxy.dev/socket-balancing";

/// The Pod, as the API server would show it.
#[must_use]
pub fn pod_object(pod: &Pod, namespace: &str, wish: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name(),
            "namespace": namespace,
            "uid": pod.uid(),
            "annotations": wishes(wish),
        },
        "spec": {"nodeName": pod.node(), "containers": [{"name": "main", "image": "main"}]},
    })
}

/// The Namespace.
#[must_use]
pub fn namespace_object(name: &str, wish: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": wishes(wish)},
    })
}

fn wishes(wish: Option<&str>) -> Map<String, Value> {
    wish.map(|wish| (SOCKET_BALANCING.to_owned(), json!(wish)))
        .into_iter()
        .collect()
}
