//! Endpoints that come up, terminate and go: who answers at each step, and what is said where nobody
//! does.

use netproxy_common::{Verdict, Window};

use super::{endpoint, ip, letters, plan_one, service, service_port, slice, this_node};
use crate::model::{Protocol, Service, TrafficPolicy};
use crate::plan::WantedPort;

/// A load balancer's service under this external policy.
fn balanced(policy: TrafficPolicy) -> Service {
    Service {
        load_balancer_vips: vec![ip("203.0.113.1")],
        external_policy: policy,
        ..service()
    }
}

fn planned(service: &Service, endpoints: &[&str]) -> WantedPort {
    let endpoints = endpoints.iter().map(|words| endpoint(words)).collect();
    plan_one(service, &[slice("s", endpoints)], &this_node())
}

/// Who answers in a window, or what happens to a client instead.
fn answer(port: &WantedPort, which: usize) -> String {
    let range = &port.range;
    let window: Window = [range.internal, range.external_cluster, range.external_local][which];
    match (window.count, range.verdicts[which]) {
        (0, Verdict::Reject) => "rejected".to_owned(),
        (0, Verdict::Drop) => "dropped".to_owned(),
        _ => letters(port, window),
    }
}

fn internal(port: &WantedPort) -> String {
    answer(port, 0)
}

/// What clients from outside find.
fn external(port: &WantedPort) -> String {
    answer(port, 2)
}

#[test]
fn under_policy_local_terminating_endpoints_answer_where_none_is_ready_here() {
    for (rule, endpoints, from_inside, from_outside) in [
        (
            "ready ones everywhere: the ready ones",
            &[
                "a ready local",
                "b ready local",
                "c serving terminating local",
                "d terminating local",
                "e ready",
            ][..],
            "a b e",
            "a b",
        ),
        (
            "only terminating ones here: they keep the load balancer's traffic",
            &[
                "a serving terminating local",
                "b serving terminating local",
                "c terminating local",
                "e ready",
            ],
            "e",
            "a b",
        ),
        (
            "only a terminating one elsewhere: cluster IPs use it, the balancer's traffic is dropped",
            &["a terminating local", "e serving terminating"],
            "e",
            "dropped",
        ),
        (
            "none serves any longer",
            &["a terminating local", "e terminating"],
            "rejected",
            "rejected",
        ),
        ("all are gone", &[], "rejected", "rejected"),
    ] {
        let port = planned(&balanced(TrafficPolicy::Local), endpoints);

        assert_eq!(internal(&port), from_inside, "{rule}");
        assert_eq!(external(&port), from_outside, "{rule}");
    }
}

#[test]
fn under_policy_cluster_terminating_endpoints_answer_where_none_is_ready_anywhere() {
    for (rule, endpoints, everywhere) in [
        (
            "ready ones: only they",
            &[
                "a ready local",
                "b serving terminating local",
                "e ready",
                "f serving terminating",
            ][..],
            "a e",
        ),
        (
            "all terminating: those that serve",
            &[
                "a serving terminating local",
                "b terminating local",
                "e serving terminating",
            ],
            "a e",
        ),
        (
            "only one elsewhere serves",
            &["a terminating local", "e serving terminating"],
            "e",
        ),
        (
            "none serves any longer",
            &["a terminating local", "e terminating"],
            "rejected",
        ),
    ] {
        let port = planned(&balanced(TrafficPolicy::Cluster), endpoints);

        assert_eq!(internal(&port), everywhere, "{rule}");
        assert_eq!(external(&port), everywhere, "{rule}");
    }
}

#[test]
fn the_internal_policy_decides_for_cluster_ips_only() {
    for (policy, endpoints, from_inside) in [
        (
            TrafficPolicy::Cluster,
            &["a ready", "b ready local", "c ready"][..],
            "a b c",
        ),
        (
            TrafficPolicy::Local,
            &["a ready", "b ready local", "c ready"],
            "b",
        ),
        (
            TrafficPolicy::Local,
            &["a ready", "b ready local", "c ready local"],
            "b c",
        ),
        (TrafficPolicy::Local, &["a ready", "c ready"], "dropped"),
        (TrafficPolicy::Local, &[], "rejected"),
    ] {
        let service = Service {
            internal_policy: policy,
            ..balanced(TrafficPolicy::Cluster)
        };

        let port = planned(&service, endpoints);

        assert_eq!(internal(&port), from_inside, "{policy:?} {endpoints:?}");
        let everybody: Vec<_> = endpoints.iter().map(|words| &words[..1]).collect();
        let expected = if everybody.is_empty() {
            "rejected".to_owned()
        } else {
            everybody.join(" ")
        };
        assert_eq!(external(&port), expected, "{policy:?} {endpoints:?}");
    }
}

#[test]
fn a_policy_drops_only_what_another_node_could_answer() {
    let both_local = Service {
        internal_policy: TrafficPolicy::Local,
        ..balanced(TrafficPolicy::Local)
    };
    for (endpoints, expected) in [
        (&["a ready local"][..], "a"),
        (&["e ready"], "dropped"),
        (&["e serving terminating"], "dropped"),
        (&["e serving"], "rejected"),
        (&["e terminating"], "rejected"),
        (&[], "rejected"),
    ] {
        let port = planned(&both_local, endpoints);

        assert_eq!(internal(&port), expected, "{endpoints:?}");
        assert_eq!(external(&port), expected, "{endpoints:?}");
    }
}

#[test]
fn a_service_without_endpoints_rejects_everybody_at_every_frontend() {
    let mut service = balanced(TrafficPolicy::Local);
    service.external_ips = vec![ip("192.0.2.1")];
    service.ports = vec![service_port("http", Protocol::Udp, 53)];
    service.ports[0].node_port = Some(30053);

    let port = plan_one(&service, &[], &this_node());

    assert_eq!(port.frontends.len(), 4);
    for which in 0..3 {
        assert_eq!(answer(&port, which), "rejected");
    }
}
