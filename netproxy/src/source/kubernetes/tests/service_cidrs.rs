//! `ServiceCIDR`s, which not every server has or shows.

use std::time::Duration;

use serde_json::{Value, json};

use super::api_server::{Following, bookmark, status, stream};
use super::{CIDRS, STREAMED};
use crate::model::Change;
use crate::source::SourceHealth;

fn service_cidr(name: &str, cidrs: &[&str]) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": name, "resourceVersion": "7"},
        "spec": {"cidrs": cidrs},
    })
}

/// Answers the first request for every required kind with an empty, complete list.
async fn complete_required(following: &mut Following) {
    let Following {
        services,
        slices,
        node,
        ..
    } = following;
    for server in [services, slices, node] {
        server.asked().await.answer(200, stream(&[bookmark("1")]));
        server.asked().await.hold();
    }
}

#[tokio::test(start_paused = true)]
async fn service_cidrs_are_told_before_all_is_listed() {
    let mut following = Following::start();
    complete_required(&mut following).await;

    let event = (
        "ADDED",
        service_cidr("kubernetes", &["10.96.0.0/16", "fd00::/108"]),
    );
    let initial = stream(&[event.into(), bookmark("7")]);
    following.cidrs.asked().await.answer(200, initial);

    let networks = ["10.96.0.0/16", "fd00::/108"].map(|network| network.parse().unwrap());
    assert_eq!(following.change().await, Change::Node(None));
    assert_eq!(
        following.change().await,
        Change::ServiceCidr("kubernetes".into(), Some(networks.to_vec()))
    );
    assert_eq!(following.change().await, Change::Listed);
    following.cidrs.asked().await.answer(
        200,
        stream(&[("DELETED", service_cidr("kubernetes", &[])).into()]),
    );
    assert_eq!(
        following.change().await,
        Change::ServiceCidr("kubernetes".into(), None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lacks_or_hides_service_cidrs_is_followed_without_them() {
    for code in [403, 404] {
        let mut following = Following::start();
        complete_required(&mut following).await;

        let refused = status(code, "servicecidrs");
        following
            .cidrs
            .asked()
            .await
            .answer(code, refused.to_string());

        assert_eq!(following.change().await, Change::Node(None));
        assert_eq!(following.change().await, Change::Listed);
        following
            .until(|health| *health == SourceHealth::Connected)
            .await;

        // They may come with an upgrade, or with the permission.
        let refused_at = tokio::time::Instant::now();
        let again = following.cidrs.asked().await;
        assert_eq!(again.url, format!("{CIDRS}{STREAMED}"));
        assert!(refused_at.elapsed() >= Duration::from_mins(5));
        let event = ("ADDED", service_cidr("kubernetes", &["10.96.0.0/16"]));
        again.answer(200, stream(&[event.into(), bookmark("7")]));
        assert!(matches!(
            following.change().await,
            Change::ServiceCidr(_, Some(_))
        ));
        assert!(following.changes.try_recv().is_err(), "listed once only");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_reached_for_service_cidrs_is_waited_for() {
    let mut following = Following::start();
    complete_required(&mut following).await;

    following.cidrs.asked().await.fail("connection refused");

    assert_eq!(following.change().await, Change::Node(None));
    let initial = stream(&[bookmark("7")]);
    let again = following.cidrs.asked().await;
    assert!(following.changes.try_recv().is_err(), "not listed yet");
    again.answer(200, initial);
    assert_eq!(following.change().await, Change::Listed);
}
