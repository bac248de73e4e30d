//! Bodies, status codes and headers, and what they depend on.

use std::collections::BTreeSet;

use http::{Request, StatusCode};

use super::{LIMIT, after, body_of, node, publisher, service, start, web};
use crate::metrics::Metrics;
use crate::model::{Family, Node};
use crate::serve::answers::{self, Moment};
use crate::serve::health::Health;
use crate::serve::http::Answer;
use crate::serve::publisher::HealthPublisher;

fn get(path: &str, publisher: &HealthPublisher, now: Moment) -> Answer {
    let request = Request::get(path).body(()).unwrap();
    let (_, page) = Metrics::new(now.timestamp, 2);
    let counts = page.answers();
    answers::health(&request, &publisher.health().borrow(), LIMIT, now, counts)
}

fn status(path: &str, publisher: &HealthPublisher, now: Moment) -> u16 {
    get(path, publisher, now).status().as_u16()
}

fn queue(publisher: &HealthPublisher, families: &[Family], now: Moment) {
    publisher.queued([Some(&service(families))].into_iter(), now.instant);
}

#[tokio::test]
async fn healthz_says_what_kube_proxy_says_byte_for_byte() {
    let start = start();
    let publisher = publisher(start.timestamp);

    let answer = get("/healthz", &publisher, after(start, 10));

    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(
        body_of(answer).await,
        r#"{"lastUpdated":"2026-11-21T05:00:10.5Z","currentTime":"2026-11-21T05:00:10.5Z","nodeEligible":true,"healthy":true,"status":{"IPv4":{"lastUpdated":"2026-11-21T05:00:00.5Z","healthy":true},"IPv6":{"lastUpdated":"2026-11-21T05:00:00.5Z","healthy":true}}}"#
    );
}

#[tokio::test]
async fn livez_does_not_speak_of_the_node() {
    let start = start();
    let publisher = publisher(start.timestamp);
    publisher.node(None);

    let answer = get("/livez", &publisher, start);

    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        body_of(answer).await,
        r#"{"lastUpdated":"2026-11-21T05:00:00.5Z","currentTime":"2026-11-21T05:00:00.5Z","healthy":true,"status":{"IPv4":{"lastUpdated":"2026-11-21T05:00:00.5Z","healthy":true},"IPv6":{"lastUpdated":"2026-11-21T05:00:00.5Z","healthy":true}}}"#
    );
}

#[tokio::test]
async fn an_unhealthy_answer_tells_the_last_update_and_the_family_at_fault() {
    let start = start();
    let publisher = publisher(start.timestamp);
    queue(&publisher, &Family::BOTH, after(start, 10));
    publisher.updated(after(start, 20).timestamp);
    queue(&publisher, &[Family::V6], after(start, 30));

    let answer = get("/healthz", &publisher, after(start, 90));

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body_of(answer).await,
        r#"{"lastUpdated":"2026-11-21T05:00:20.5Z","currentTime":"2026-11-21T05:01:30.5Z","nodeEligible":true,"healthy":false,"status":{"IPv4":{"lastUpdated":"2026-11-21T05:00:20.5Z","healthy":true},"IPv6":{"lastUpdated":"2026-11-21T05:00:20.5Z","healthy":false}}}"#
    );
}

#[tokio::test]
async fn a_leaving_node_is_healthy_but_not_eligible() {
    let start = start();
    let publisher = publisher(start.timestamp);
    publisher.node(Some(&Node {
        is_leaving: true,
        ..node()
    }));

    let answer = get("/healthz", &publisher, after(start, 5));

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = body_of(answer).await;
    assert!(
        body.contains(r#""nodeEligible":false,"healthy":true"#),
        "{body}"
    );
    assert!(
        body.starts_with(r#"{"lastUpdated":"2026-11-21T05:00:00.5Z""#),
        "{body}"
    );
}

#[test]
fn only_a_change_that_waits_for_the_whole_limit_is_unhealthy() {
    let start = start();
    let publisher = publisher(start.timestamp);
    // Nothing to do, however long.
    assert_eq!(status("/healthz", &publisher, after(start, 100_000)), 200);

    queue(&publisher, &Family::BOTH, after(start, 10));

    for path in ["/healthz", "/livez"] {
        assert_eq!(status(path, &publisher, after(start, 69)), 200, "{path}");
        assert_eq!(status(path, &publisher, after(start, 70)), 503, "{path}");
    }
    publisher.updated(after(start, 80).timestamp);
    for path in ["/healthz", "/livez"] {
        assert_eq!(status(path, &publisher, after(start, 200)), 200, "{path}");
    }
}

#[test]
fn of_changes_that_wait_the_oldest_counts() {
    let start = start();
    let publisher = publisher(start.timestamp);
    for seconds in [10, 40, 69] {
        queue(&publisher, &Family::BOTH, after(start, seconds));
    }

    assert_eq!(status("/healthz", &publisher, after(start, 70)), 503);
}

#[test]
fn one_late_family_is_enough_and_only_a_sync_mends_it() {
    let start = start();
    for family in Family::BOTH {
        let publisher = publisher(start.timestamp);
        queue(&publisher, &[family], start);

        let late = status("/healthz", &publisher, after(start, 60));
        publisher.refused(1, &"full");
        let refused = status("/healthz", &publisher, after(start, 61));
        publisher.updated(after(start, 62).timestamp);
        let synced = status("/healthz", &publisher, after(start, 62));

        assert_eq!([late, refused, synced], [503, 503, 200], "{family}");
    }
}

#[test]
fn a_change_of_a_service_that_is_gone_waits_in_both_families() {
    let start = start();
    let publisher = publisher(start.timestamp);

    publisher.queued([None].into_iter(), start.instant);

    let health = publisher.health();
    let waits = health.borrow().families.map(|it| it.waiting_since);
    assert_eq!(waits, [Some(start.instant); 2]);
}

#[test]
fn the_node_decides_over_healthz_and_not_over_livez() {
    let start = start();
    let publisher = publisher(start.timestamp);
    let leaving = Node {
        is_leaving: true,
        ..node()
    };
    // Before anything is known of the Node; then what is known.
    assert_eq!(status("/healthz", &publisher, start), 200);
    for (node, expected) in [
        (Some(node()), 200),
        (Some(leaving), 503),
        (Some(node()), 200),
        (None, 503),
    ] {
        publisher.node(node.as_ref());

        assert_eq!(status("/healthz", &publisher, start), expected, "{node:?}");
        assert_eq!(status("/livez", &publisher, start), 200, "{node:?}");
    }
}

#[tokio::test]
async fn readiness_waits_for_the_first_sync_and_says_so() {
    let start = start();
    let publisher = publisher(start.timestamp);
    assert_eq!(status("/healthz", &publisher, start), 200);

    let before = get("/readyz", &publisher, start);
    publisher.updated(start.timestamp);
    let synced = get("/readyz", &publisher, start);

    assert_eq!(before.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body_of(before).await,
        r#"{"ready":false,"reasons":["the first complete sync has not been done"]}"#
    );
    assert_eq!(synced.status(), StatusCode::OK);
    assert_eq!(body_of(synced).await, r#"{"ready":true,"reasons":[]}"#);
}

#[tokio::test]
async fn readiness_waits_for_the_programs_at_sockets_and_says_so() {
    let start = start();
    let publisher = publisher(start.timestamp);
    publisher.awaits_sockets(true);
    publisher.updated(start.timestamp);

    let before = get("/readyz", &publisher, start);
    publisher.awaits_sockets(false);
    let after = status("/readyz", &publisher, start);

    assert_eq!(before.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body_of(before).await,
        r#"{"ready":false,"reasons":["no program is attached to sockets yet"]}"#
    );
    assert_eq!(after, 200);
}

#[tokio::test]
async fn readiness_ends_with_a_refusal_and_comes_back_with_a_sync() {
    let start = start();
    let publisher = publisher(start.timestamp);
    publisher.updated(start.timestamp);

    publisher.refused(2, &"map FRONTENDS_V4 is full");
    let refused = get("/readyz", &publisher, start);
    publisher.updated(start.timestamp);
    let synced = status("/readyz", &publisher, start);

    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body_of(refused).await,
        r#"{"ready":false,"reasons":["2 services are to be tried again: map FRONTENDS_V4 is full"]}"#
    );
    assert_eq!(synced, 200);
}

#[tokio::test]
async fn readiness_ends_when_a_change_waits_for_seconds() {
    let start = start();
    let publisher = publisher(start.timestamp);
    publisher.updated(start.timestamp);
    queue(&publisher, &[Family::V4], start);

    let soon = status("/readyz", &publisher, after(start, 2));
    let late = get("/readyz", &publisher, after(start, 4));

    assert_eq!(soon, 200);
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body_of(late).await,
        r#"{"ready":false,"reasons":["a change of IPv4 has waited for 4 s"]}"#
    );
}

#[tokio::test]
async fn readiness_ends_with_a_fault_of_the_nodes_network_until_it_is_mended() {
    let start = start();
    let publisher = publisher(start.timestamp);
    publisher.updated(start.timestamp);
    let none = None::<&&str>;

    publisher.devices(Some(&"device eth0: no"));
    publisher.node_port_addresses(&BTreeSet::new(), Some(&"map ADDRESSES_V4 is full"));
    let faulty = get("/readyz", &publisher, start);
    publisher.devices(none);
    let half = status("/readyz", &publisher, start);
    publisher.node_port_addresses(&BTreeSet::new(), none);
    let mended = status("/readyz", &publisher, start);

    assert_eq!(faulty.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body_of(faulty).await,
        r#"{"ready":false,"reasons":["device eth0: no","map ADDRESSES_V4 is full"]}"#
    );
    assert_eq!([half, mended], [503, 200]);
    // It is alive all the same.
    assert_eq!(status("/livez", &publisher, start), 200);
}

#[test]
fn unknown_paths_are_not_found() {
    let start = start();
    let publisher = publisher(start.timestamp);
    for path in [
        "/",
        "/healthz/",
        "/healthz/x",
        "/metrics",
        "/Healthz",
        "/readyz/",
    ] {
        assert_eq!(status(path, &publisher, start), 404, "{path}");
    }
    assert_eq!(status("/healthz?verbose", &publisher, start), 200);
}

#[tokio::test]
async fn a_service_is_answered_as_kube_proxy_answers_byte_for_byte() {
    let answer = answers::service(&web(), 2, true);

    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers();
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-load-balancing-endpoint-weight"], "2");
    assert_eq!(
        body_of(answer).await,
        "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"web\"\n\t},\n\t\
         \"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}"
    );
}

#[tokio::test]
async fn a_service_without_local_endpoints_or_a_healthy_proxy_is_unavailable() {
    for (count, is_healthy, status) in [
        (0, true, 503),
        (3, false, 503),
        (0, false, 503),
        (3, true, 200),
    ] {
        let answer = answers::service(&web(), count, is_healthy);

        assert_eq!(answer.status(), status, "{count} {is_healthy}");
        let weight = &answer.headers()["x-load-balancing-endpoint-weight"];
        assert_eq!(weight, &count.to_string());
        let body = body_of(answer).await;
        let told = format!("\"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {is_healthy}");
        assert!(body.contains(&told), "{body}");
    }
}

#[tokio::test]
async fn the_metrics_address_tells_that_it_is_there_and_the_mode() {
    let (_, page) = Metrics::new(start().timestamp, 2);
    let get = |path: &str| answers::metrics(&Request::get(path).body(()).unwrap(), &page);

    for (path, status, body) in [
        ("/healthz", 200, "ok"),
        ("/proxyMode", 200, "ebpf"),
        ("/metrics/slis", 404, "404 page not found\n"),
    ] {
        let answer = get(path);

        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
        assert_eq!(body_of(answer).await, body);
    }
}

#[tokio::test]
async fn metrics_are_plain_text_and_count_what_was_answered() {
    let now = start();
    let publisher = publisher(now.timestamp);
    let (_, page) = Metrics::new(now.timestamp, 2);
    let ask = |path: &str, health: &Health| {
        let request = Request::get(path).body(()).unwrap();
        answers::health(&request, health, LIMIT, now, page.answers());
    };
    publisher.node(None);
    for path in ["/healthz", "/livez", "/livez", "/readyz"] {
        ask(path, &publisher.health().borrow());
    }

    let answer = answers::metrics(&Request::get("/metrics").body(()).unwrap(), &page);

    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let body = body_of(answer).await;
    for line in [
        "# TYPE kubeproxy_proxy_healthz_total counter",
        "kubeproxy_proxy_healthz_total{code=\"503\"} 1",
        "kubeproxy_proxy_livez_total{code=\"200\"} 2",
    ] {
        assert!(body.lines().any(|it| it == line), "{line}: {body}");
    }
}
