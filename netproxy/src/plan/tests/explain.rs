//! The reasons why endpoints are used or not.

use super::{endpoint, ip, letter_of, service, slice, this_node};
use crate::model::{Service, TrafficPolicy};
use crate::plan::{ExplainedEndpoint, ExplainedPort, Preferred, Reason, explain_service};

fn explained(service: &Service, endpoints: &[&str]) -> ExplainedPort {
    let endpoints = endpoints.iter().map(|words| endpoint(words)).collect();
    let slice = slice("s", endpoints);
    let mut ports = explain_service(service, &[&slice], &this_node());
    assert_eq!(ports.len(), 1);
    ports.remove(0)
}

/// Every endpoint's letter with what `of` yields.
fn reasons<T>(port: &ExplainedPort, of: impl Fn(&ExplainedEndpoint) -> T) -> Vec<(String, T)> {
    let endpoints = port.endpoints.iter();
    endpoints
        .map(|endpoint| (letter_of(endpoint.address), of(endpoint)))
        .collect()
}

fn internal(service: &Service, endpoints: &[&str]) -> Vec<(String, Reason)> {
    reasons(&explained(service, endpoints), |endpoint| endpoint.internal)
}

fn is(letter: &str, reason: Reason) -> (String, Reason) {
    (letter.to_owned(), reason)
}

#[test]
fn conditions_are_reasons() {
    let endpoints = [
        "a ready",
        "b",
        "c serving",
        "d serving terminating",
        "e terminating",
        "f ready terminating",
    ];

    assert_eq!(
        internal(&service(), &endpoints),
        [
            is("a", Reason::Ready),
            is("b", Reason::NotReady),
            is("c", Reason::Kept),
            is("d", Reason::Terminating),
            is("e", Reason::Stopped),
            is("f", Reason::Ready),
        ]
    );
}

#[test]
fn where_nothing_is_ready_what_terminates_is_the_last_resort() {
    assert_eq!(
        internal(&service(), &["a", "b serving terminating", "c terminating"]),
        [
            is("a", Reason::NotReady),
            is("b", Reason::LastResort),
            is("c", Reason::Stopped),
        ]
    );
}

#[test]
fn hints_are_a_reason_and_it_is_told_whose() {
    let port = explained(&service(), &["a ready zone:a", "b ready zone:b"]);

    assert_eq!(port.preferred, Some(Preferred::Zone("a".into())));
    assert_eq!(
        reasons(&port, |endpoint| endpoint.internal),
        [is("a", Reason::Ready), is("b", Reason::NotHinted)]
    );
}

#[test]
fn policy_local_is_a_reason_only_for_what_would_be_used_without_it() {
    let local = Service {
        internal_policy: TrafficPolicy::Local,
        ..service()
    };

    assert_eq!(
        internal(
            &local,
            &[
                "a ready local",
                "b ready",
                "c",
                "d serving terminating local"
            ]
        ),
        [
            is("a", Reason::Ready),
            is("b", Reason::Elsewhere),
            is("c", Reason::NotReady),
            is("d", Reason::Terminating),
        ]
    );
}

#[test]
fn every_kind_of_client_has_its_own_reasons() {
    let outside = Service {
        external_ips: vec![ip("192.0.2.80")],
        external_policy: TrafficPolicy::Local,
        ..service()
    };
    let endpoints = ["a ready local", "b ready"];

    let without = explained(&service(), &endpoints);
    let with = explained(&outside, &endpoints);

    let of = |endpoint: &ExplainedEndpoint| (endpoint.external, endpoint.external_local);
    assert_eq!(
        reasons(&without, of),
        [
            ("a".to_owned(), (None, None)),
            ("b".to_owned(), (None, None))
        ]
    );
    assert_eq!(
        reasons(&with, of),
        [
            ("a".to_owned(), (Some(Reason::Ready), Some(Reason::Ready))),
            (
                "b".to_owned(),
                (Some(Reason::Ready), Some(Reason::Elsewhere))
            ),
        ]
    );
}

#[test]
fn what_is_explained_is_what_is_planned() {
    let endpoints = ["a ready local", "b ready zone:a", "c serving terminating"];

    let port = explained(&service(), &endpoints);

    let used = port.endpoints.iter().filter(|it| it.internal.is_used());
    assert_eq!(used.count(), port.wanted.range.internal.count as usize);
}
