//! Pods of the node and Namespaces, which are asked for where pods may opt out of something.

use serde_json::{Value, json};

use super::api_server::{Following, bookmark, status, stream};
use super::{STREAMED, complete_others};
use crate::model::{Change, ObjectName, SocketWish};

const PODS: &str = "/api/v1/pods?watch=true&timeoutSeconds=290\
    &fieldSelector=spec.nodeName=worker-1&allowWatchBookmarks=true";
const NAMESPACES: &str =
    "/api/v1/namespaces?watch=true&timeoutSeconds=290&allowWatchBookmarks=true";

/// An object as the API server shows it to those who ask for its metadata only.
fn metadata(metadata: &Value) -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata,
    })
}

fn pod(wish: &str) -> Value {
    metadata(&json!({
        "namespace": "shop", "name": "cart", "resourceVersion": "7",
        "uid": "0b3a2c1d-1111-4222-8333-abcdefabcdef",
        "annotations": {"netproxy.dev/socket-balancing": wish},
    }))
}

/// Completes all kinds but those of clients.
async fn complete_required(following: &mut Following) {
    let asked = following.services.asked().await;
    asked.answer(200, stream(&[bookmark("1")]));
    following.services.asked().await.hold();
    complete_others(following).await;
    assert_eq!(following.change().await, Change::Node(None));
}

#[tokio::test(start_paused = true)]
async fn the_metadata_of_the_nodes_pods_and_of_namespaces_is_asked_for() {
    let mut following = Following::start_with_pods();

    for (server, url) in following.clients.iter_mut().zip([PODS, NAMESPACES]) {
        let asked = server.asked().await;
        assert_eq!(asked.url, format!("{url}{STREAMED}"));
        assert!(
            asked.accept.contains("as=PartialObjectMetadata"),
            "{}",
            asked.accept
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pods_and_namespaces_are_told_before_all_is_listed() {
    let mut following = Following::start_with_pods();
    complete_required(&mut following).await;

    let initial = stream(&[("ADDED", pod("off")).into(), bookmark("7")]);
    following.clients[0].asked().await.answer(200, initial);
    let told = following.change().await;
    let namespace = metadata(&json!({"name": "shop", "resourceVersion": "8"}));
    let initial = stream(&[("ADDED", namespace.clone()).into(), bookmark("8")]);
    following.clients[1].asked().await.answer(200, initial);

    let Change::Pod(name, Some(pod)) = told else {
        panic!("not a pod: {told:?}")
    };
    assert_eq!(name, ObjectName::new("shop", "cart"));
    assert_eq!(pod.wish, Some(SocketWish::Off));
    assert!(matches!(
        following.change().await,
        Change::Namespace(name, Some(_)) if &*name == "shop"
    ));
    assert_eq!(following.change().await, Change::Listed);
    let end = stream(&[("DELETED", namespace).into()]);
    following.clients[1].asked().await.answer(200, end);
    assert_eq!(
        following.change().await,
        Change::Namespace("shop".into(), None)
    );
}

#[tokio::test(start_paused = true)]
async fn services_are_served_where_pods_and_namespaces_are_not_shown() {
    let mut following = Following::start_with_pods();
    complete_required(&mut following).await;

    for server in &mut following.clients {
        let refused = status(403, "forbidden").to_string();
        server.asked().await.answer(403, refused);
    }

    assert_eq!(following.change().await, Change::Listed);
}
