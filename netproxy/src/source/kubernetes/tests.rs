//! The conversation with an API server: what is asked, and what follows from its answers.

mod api_server;
mod connections;
mod pods;
mod service_cidrs;

use std::time::Duration;

use serde_json::json;

use self::api_server::{Following, bookmark, list, service, status, stream};
use crate::model::{Change, ObjectName};
use crate::source::SourceHealth;

const SERVICES: &str = "/api/v1/services?watch=true&timeoutSeconds=290\
    &fieldSelector=spec.clusterIP!=None\
    &labelSelector=!service.kubernetes.io/service-proxy-name&allowWatchBookmarks=true";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices?watch=true&timeoutSeconds=290\
    &labelSelector=!service.kubernetes.io/headless&allowWatchBookmarks=true";
const NODE: &str = "/api/v1/nodes?watch=true&timeoutSeconds=290\
    &fieldSelector=metadata.name=worker-1&allowWatchBookmarks=true";
const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs?watch=true&timeoutSeconds=290\
    &allowWatchBookmarks=true";
const STREAMED: &str = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
    &resourceVersion=0";
const LISTED: &str = "/api/v1/services?fieldSelector=spec.clusterIP!=None\
    &labelSelector=!service.kubernetes.io/service-proxy-name&limit=500";

/// Answers the first request for the other kinds with an empty, complete list.
async fn complete_others(following: &mut Following) {
    let Following {
        slices,
        node,
        cidrs,
        ..
    } = following;
    for server in [slices, node, cidrs] {
        server.asked().await.answer(200, stream(&[bookmark("1")]));
        server.asked().await.hold();
    }
}

#[tokio::test(start_paused = true)]
async fn each_kind_is_asked_for_with_exactly_its_selectors() {
    let mut following = Following::start();

    assert_eq!(
        following.services.asked().await.url,
        format!("{SERVICES}{STREAMED}")
    );
    assert_eq!(
        following.slices.asked().await.url,
        format!("{SLICES}{STREAMED}")
    );
    assert_eq!(
        following.node.asked().await.url,
        format!("{NODE}{STREAMED}")
    );
    assert_eq!(
        following.cidrs.asked().await.url,
        format!("{CIDRS}{STREAMED}")
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_large_is_asked_for_in_protobuf() {
    let mut following = Following::start();

    for server in [&mut following.services, &mut following.slices] {
        let accept = server.asked().await.accept;
        assert_eq!(
            accept,
            "application/vnd.kubernetes.protobuf, application/json"
        );
    }
    for server in [&mut following.node, &mut following.cidrs] {
        assert_eq!(server.asked().await.accept, "");
    }
}

#[tokio::test(start_paused = true)]
async fn listed_is_told_once_after_every_kind() {
    let mut following = Following::start();
    let initial = stream(&[("ADDED", service("web", "7")).into(), bookmark("7")]);

    complete_others(&mut following).await;
    let asked = following.services.asked().await;
    assert_eq!(following.change().await, Change::Node(None));
    assert!(
        following.changes.try_recv().is_err(),
        "services are still missing"
    );
    asked.answer(200, initial.clone());

    assert_eq!(
        following.change().await.name(),
        Some(ObjectName::new("shop", "web"))
    );
    assert_eq!(following.change().await, Change::Listed);
    following
        .until(|health| *health == SourceHealth::Connected)
        .await;

    // The server forgets where we were: all is listed anew, and Listed is not repeated.
    let gone = ("ERROR", status(410, "too old")).into();
    following
        .services
        .asked()
        .await
        .answer(200, stream(&[gone]));
    let again = following.services.asked().await;
    assert_eq!(again.url, format!("{SERVICES}{STREAMED}"));
    again.answer(200, stream(&[bookmark("9")]));
    let removal = Change::Service(ObjectName::new("shop", "web"), None);
    assert_eq!(following.change().await, removal);
    let resumed = following.services.asked().await;
    assert_eq!(resumed.url, format!("{SERVICES}&resourceVersion=9"));
    assert!(following.changes.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streaming_lists_is_listed_in_pages() {
    let mut following = Following::start();

    let message = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch";
    let refused = status(422, message);
    following
        .services
        .asked()
        .await
        .answer(422, refused.to_string());
    let first = following.services.asked().await;
    assert_eq!(first.url, LISTED);
    first.answer(200, list(&[service("a", "3")], "7", Some("more")));
    let second = following.services.asked().await;
    assert_eq!(second.url, format!("{LISTED}&continue=more"));
    second.answer(200, list(&[service("b", "4")], "7", None));

    assert_eq!(
        following.change().await.name(),
        Some(ObjectName::new("shop", "a"))
    );
    assert_eq!(
        following.change().await.name(),
        Some(ObjectName::new("shop", "b"))
    );
    let watched = following.services.asked().await;
    assert_eq!(watched.url, format!("{SERVICES}&resourceVersion=7"));
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_field_selector_is_asked_without_it() {
    let mut following = Following::start();

    let refused = status(400, "field label not supported: spec.clusterIP");
    following
        .services
        .asked()
        .await
        .answer(400, refused.to_string());

    let without =
        format!("{SERVICES}{STREAMED}").replace("&fieldSelector=spec.clusterIP!=None", "");
    let asked = following.services.asked().await;
    assert_eq!(asked.url, without);
    let mut headless = service("headless", "8");
    headless["spec"]["clusterIP"] = json!("None");
    let events = [
        ("ADDED", headless).into(),
        ("ADDED", service("web", "9")).into(),
        bookmark("9"),
    ];
    asked.answer(200, stream(&events));
    assert_eq!(
        following.change().await.name(),
        Some(ObjectName::new("shop", "web"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_removes_nothing_and_ends_when_the_server_answers() {
    let mut following = Following::start();
    complete_others(&mut following).await;
    let initial = stream(&[("ADDED", service("web", "7")).into(), bookmark("7")]);
    following.services.asked().await.answer(200, initial);
    while following.change().await != Change::Listed {}

    for _ in 0..5 {
        following.services.asked().await.fail("connection refused");
    }
    let health = following
        .until(|health| matches!(health, SourceHealth::Retrying { .. }))
        .await;
    let SourceHealth::Retrying { reason, .. } = health else {
        unreachable!("just waited for it")
    };
    assert!(reason.contains("connection refused"), "{reason}");

    // Resumed where it had stopped, with nothing to tell: the answer alone ends the outage.
    let resumed = following.services.asked().await;
    assert_eq!(resumed.url, format!("{SERVICES}&resourceVersion=7"));
    resumed.answer(200, String::new());
    following
        .until(|health| *health == SourceHealth::Connected)
        .await;
    assert!(following.changes.try_recv().is_err(), "nothing has changed");
}

#[tokio::test(start_paused = true)]
async fn a_refused_account_is_told_with_the_servers_words() {
    let mut following = Following::start();

    let refused = status(403, "services is forbidden: User \"x\" cannot list");
    following
        .services
        .asked()
        .await
        .answer(403, refused.to_string());

    let health = following
        .until(|health| matches!(health, SourceHealth::Retrying { .. }))
        .await;
    assert!(
        format!("{health:?}").contains("403: services is forbidden"),
        "{health:?}"
    );
    assert_eq!(
        following.services.asked().await.url,
        format!("{SERVICES}{STREAMED}")
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_the_server_no_longer_accepts_is_listed_anew() {
    let mut following = Following::start();
    following
        .services
        .asked()
        .await
        .answer(200, stream(&[bookmark("7")]));

    let expired = status(410, "too old resource version");
    following
        .services
        .asked()
        .await
        .answer(410, expired.to_string());

    assert_eq!(
        following.services.asked().await.url,
        format!("{SERVICES}{STREAMED}")
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_an_outage() {
    let mut following = Following::start();
    let asked_at = tokio::time::Instant::now();

    following.services.asked().await.hold();

    following
        .until(|health| matches!(health, SourceHealth::Retrying { .. }))
        .await;
    assert!(asked_at.elapsed() <= Duration::from_secs(61));
    assert_eq!(
        following.services.asked().await.url,
        format!("{SERVICES}{STREAMED}")
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_every_task() {
    let following = Following::start();

    following.stop.cancel();

    following.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_ends_every_task() {
    let following = Following::start();

    drop(following.changes);

    following.task.await.unwrap();
}
