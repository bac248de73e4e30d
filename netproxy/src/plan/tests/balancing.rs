//! How endpoints are chosen of those that a client may use.

use super::{endpoint, ip, plan_one, service, slice, this_node};
use crate::model::{Balancing, Service, TrafficPolicy};
use crate::plan::NodeView;

/// With a frontend of each kind.
fn external() -> Service {
    Service {
        load_balancer_vips: vec![ip("192.0.2.80")],
        ..service()
    }
}

/// How clients of cluster IPs, and of external destinations, have endpoints where external ones have them so by
/// default.
fn balancing(service: &Service, external_balancing: Balancing) -> (Balancing, Balancing) {
    let node = NodeView {
        external_balancing,
        ..this_node()
    };
    let range = plan_one(service, &[], &node).range;
    (range.internal_balancing, range.external_balancing)
}

#[test]
fn what_a_service_says_goes_before_the_setting_which_is_about_external_clients() {
    use Balancing::{Consistent, Random};
    for (said, setting, expected) in [
        (None, Random, (Random, Random)),
        (None, Consistent, (Random, Consistent)),
        (Some(Random), Consistent, (Random, Random)),
        (Some(Consistent), Random, (Consistent, Consistent)),
    ] {
        let service = Service {
            balancing: said,
            ..external()
        };
        assert_eq!(balancing(&service, setting), expected, "{said:?}");
    }
    assert_eq!(balancing(&service(), Consistent), (Random, Random));
}

#[test]
fn clients_that_are_kept_to_a_node_have_endpoints_at_random() {
    let service = Service {
        balancing: Some(Balancing::Consistent),
        internal_policy: TrafficPolicy::Local,
        ..external()
    };

    let (internal, external) = balancing(&service, Balancing::Random);

    assert_eq!(internal, Balancing::Random);
    assert_eq!(external, Balancing::Consistent);
}

#[test]
fn a_table_is_over_the_endpoints_that_may_be_used_cluster_wide() {
    let endpoints = ["a ready", "b serving", "c ready local", "d ready"].map(endpoint);
    let service = Service {
        balancing: Some(Balancing::Consistent),
        ..external()
    };
    let table = |endpoints: &[_]| {
        let slice = slice("web-1", endpoints.to_vec());
        plan_one(&service, &[slice], &this_node())
            .range
            .consistent()
    };

    // Local ones come first.
    let places = ["10.1.0.99:8080", "10.1.0.97:8080", "10.1.0.100:8080"];
    let places = places.map(|place| place.parse().unwrap());
    assert_eq!(table(&endpoints), Some(places.to_vec()));
    assert_eq!(table(&endpoints[..2]), None, "nothing to choose");
    assert_eq!(table(&[]), None);
}
