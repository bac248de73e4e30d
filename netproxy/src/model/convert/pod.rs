//! Pods and namespaces, of which nothing but the metadata is looked at.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Interner, annotation, is_label, label, object_name};
use crate::model::{Namespace, Pod, PodUid, SocketWish};

/// Label of a namespace, annotation of a pod.
const SOCKET_BALANCING: &str = "netproxy.dev/socket-balancing";
/// On the mirror of a static pod, which has another UID than the pod itself
/// (`ConfigMirrorAnnotationKey` in `pkg/kubelet/types/pod_update.go`).
const MIRROR: &str = "kubernetes.io/config.mirror";
/// There, too: the UID of the pod itself (`ConfigHashAnnotationKey`).
const STATIC_UID: &str = "kubernetes.io/config.hash";

/// The pod, or None if it has no name or no UID that its cgroup could be found by.
pub fn pod(metadata: &ObjectMeta, interner: &mut Interner) -> Option<Pod> {
    let uid = match annotation(metadata, MIRROR) {
        Some(_) => annotation(metadata, STATIC_UID)?,
        None => metadata.uid.as_deref()?,
    };
    Some(Pod {
        name: object_name(metadata, interner)?,
        uid: PodUid::new(uid)?,
        wish: annotation(metadata, SOCKET_BALANCING).map(wish),
    })
}

/// The namespace, or None if it has no name.
pub fn namespace(metadata: &ObjectMeta, interner: &mut Interner) -> Option<Namespace> {
    let name = metadata.name.as_deref().filter(|name| is_label(name))?;
    Some(Namespace {
        name: interner.intern(name),
        wish: label(metadata, SOCKET_BALANCING).map(wish),
    })
}

fn wish(text: &str) -> SocketWish {
    if text.eq_ignore_ascii_case("on") {
        SocketWish::On
    } else if text.eq_ignore_ascii_case("off") {
        SocketWish::Off
    } else {
        SocketWish::Unreadable
    }
}
