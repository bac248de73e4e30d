//! Which pods of this node are balanced at the socket, where they may opt out.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Label, Namespace, ObjectName, Pod, PodUid, SocketWish};

/// The cgroups of the pods that are balanced, of all `cgroups` (with the pod that each is named by).
/// A pod's own wish goes before its namespace's. What is not known counts as opted out: a pod, or the
/// namespace of one that has no wish of its own. So does a cgroup of which two pods say different things.
#[must_use]
pub fn socket_clients(
    pods: &BTreeMap<ObjectName, Pod>,
    namespaces: &BTreeMap<Label, Namespace>,
    cgroups: &BTreeSet<(PodUid, u64)>,
) -> BTreeSet<u64> {
    let mut balanced: BTreeMap<PodUid, bool> = BTreeMap::new();
    for pod in pods.values() {
        let is_balanced = is_balanced(pod, namespaces);
        let so_far = balanced.entry(pod.uid).or_insert(true);
        *so_far &= is_balanced;
    }
    cgroups
        .iter()
        .filter(|(uid, _)| balanced.get(uid) == Some(&true))
        .map(|(_, cgroup)| *cgroup)
        .collect()
}

fn is_balanced(pod: &Pod, namespaces: &BTreeMap<Label, Namespace>) -> bool {
    let inherited = || match namespaces.get(&pod.name.namespace) {
        Some(namespace) => namespace.wish.unwrap_or(SocketWish::On),
        None => SocketWish::Off,
    };
    pod.wish.unwrap_or_else(inherited) == SocketWish::On
}
