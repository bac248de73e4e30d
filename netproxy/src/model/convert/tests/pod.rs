//! Pods and namespaces, told by their metadata.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::model::convert::{Interner, namespace, pod};
use crate::model::{ObjectName, PodUid, SocketWish};

const UID: &str = "0b3a2c1d-1111-4222-8333-abcdefabcdef";
const HASH: &str = "7f4c9a0b12de34f5a6b7c8d9e0f1a2b3";

fn metadata(annotations: &Value) -> ObjectMeta {
    let metadata = json!({
        "namespace": "shop", "name": "cart", "uid": UID, "annotations": annotations,
    });
    serde_json::from_value(metadata).unwrap()
}

#[test]
fn a_pod_is_known_by_its_uid() {
    let pod = pod(&metadata(&json!({})), &mut Interner::default()).unwrap();

    assert_eq!(pod.name, ObjectName::new("shop", "cart"));
    assert_eq!(pod.uid, PodUid::new(UID).unwrap());
    assert_eq!(pod.wish, None);
}

#[test]
fn a_static_pod_is_known_by_the_hash_that_its_mirror_names() {
    let mirror = json!({
        "kubernetes.io/config.mirror": HASH, "kubernetes.io/config.hash": HASH,
    });
    let mirror = pod(&metadata(&mirror), &mut Interner::default()).unwrap();
    // Whoever is no mirror has a cgroup of its own UID.
    let other = json!({"kubernetes.io/config.hash": HASH});
    let other = pod(&metadata(&other), &mut Interner::default()).unwrap();

    assert_eq!(mirror.uid, PodUid::new(HASH).unwrap());
    assert_eq!(other.uid, PodUid::new(UID).unwrap());
}

#[test]
fn a_pod_without_a_uid_is_none() {
    for uid in [Value::Null, json!(""), json!("cart")] {
        let mut metadata = metadata(&json!({}));
        metadata.uid = serde_json::from_value(uid).unwrap();

        assert_eq!(pod(&metadata, &mut Interner::default()), None);
    }
}

#[test]
fn a_wish_is_on_or_off_and_anything_else_cannot_be_read() {
    for (text, wish) in [
        ("on", SocketWish::On),
        ("On", SocketWish::On),
        ("off", SocketWish::Off),
        ("OFF", SocketWish::Off),
        ("false", SocketWish::Unreadable),
        ("", SocketWish::Unreadable),
    ] {
        let key = "netproxy.dev/socket-balancing";
        let annotated = metadata(&json!({ key: text }));
        let labelled = json!({"name": "shop", "labels": {key: text}});
        let labelled: ObjectMeta = serde_json::from_value(labelled).unwrap();

        let mut interner = Interner::default();
        let pod = pod(&annotated, &mut interner).unwrap();
        let namespace = namespace(&labelled, &mut interner).unwrap();

        assert_eq!(
            (pod.wish, namespace.wish),
            (Some(wish), Some(wish)),
            "{text}"
        );
    }
}
