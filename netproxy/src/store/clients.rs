//! Pods of this node and namespaces, for who is balanced at the socket.

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;

use crate::model::{Label, Namespace, ObjectName, Pod, PodUid, SocketWish};
use crate::plan::socket_clients;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Clients {
    pods: BTreeMap<ObjectName, Pod>,
    namespaces: BTreeMap<Label, Namespace>,
}

impl Clients {
    pub(super) fn set_pod(&mut self, name: ObjectName, pod: Option<Box<Pod>>) {
        let Some(pod) = pod else {
            self.pods.remove(&name);
            return;
        };
        let before = self.pods.get(&name).and_then(|before| before.wish);
        complain("Pod", &name, before, pod.wish);
        self.pods.insert(name, *pod);
    }

    pub(super) fn set_namespace(&mut self, name: Label, namespace: Option<Namespace>) {
        let Some(namespace) = namespace else {
            self.namespaces.remove(&name);
            return;
        };
        let before = self.namespaces.get(&name).and_then(|before| before.wish);
        complain("Namespace", &name, before, namespace.wish);
        self.namespaces.insert(name, namespace);
    }

    /// Of these cgroups of pods, those that are balanced at the socket.
    pub(super) fn among(&self, cgroups: &BTreeSet<(PodUid, u64)>) -> BTreeSet<u64> {
        socket_clients(&self.pods, &self.namespaces, cgroups)
    }
}

/// Objects come again with every change of their state: what is wrong with one is said once.
fn complain(
    kind: &'static str,
    name: &impl std::fmt::Display,
    before: Option<SocketWish>,
    now: Option<SocketWish>,
) {
    if now == Some(SocketWish::Unreadable) && before != now {
        warn!(
            kind, %name,
            "netproxy.dev/socket-balancing is neither \"on\" nor \"off\": it counts as \"off\""
        );
    }
}
