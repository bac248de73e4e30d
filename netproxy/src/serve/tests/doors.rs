//! At which addresses health checks are answered.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{check, web};
use crate::model::{Family, ObjectName};
use crate::serve::health_checks::HealthChecks;
use crate::settings::NodePortAddresses;

fn restricted_to(networks: &[&str]) -> NodePortAddresses {
    NodePortAddresses {
        primary: false,
        localhost: false,
        all: false,
        networks: networks.iter().map(|it| it.parse().unwrap()).collect(),
    }
}

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|it| it.parse().unwrap()).collect()
}

/// Where a service of both families is asked after, of a node with `own` addresses for NodePorts.
fn doors(chosen: &NodePortAddresses, own: &[&str]) -> Vec<String> {
    let mut checks = HealthChecks::new(chosen);
    checks.set(
        web(),
        Some(check(32_000, &[(Family::V4, 1), (Family::V6, 0)])),
    );
    checks.set_addresses(&addresses(own));
    let doors = checks.doors();
    doors.iter().map(|door| door.address.to_string()).collect()
}

#[test]
fn every_address_answers_unless_some_are_chosen() {
    let all = NodePortAddresses {
        all: true,
        ..restricted_to(&["192.0.2.0/24"])
    };
    for chosen in [NodePortAddresses::default(), all, restricted_to(&[])] {
        assert_eq!(
            doors(&chosen, &["192.0.2.1"]),
            ["0.0.0.0:32000", "[::]:32000"],
            "{chosen:?}"
        );
    }
}

#[test]
fn only_the_chosen_addresses_answer() {
    let both = restricted_to(&["192.0.2.0/24", "2001:db8::/32"]);

    assert_eq!(
        doors(&both, &["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
        ["192.0.2.1:32000", "192.0.2.2:32000", "[2001:db8::1]:32000"]
    );
    assert!(doors(&both, &[]).is_empty());
}

#[test]
fn the_nodes_own_addresses_alone_can_be_chosen() {
    let primary = NodePortAddresses {
        primary: true,
        ..restricted_to(&[])
    };

    assert_eq!(doors(&primary, &["192.0.2.1"]), ["192.0.2.1:32000"]);
}

#[test]
fn a_family_of_which_nothing_is_chosen_is_not_restricted() {
    let v4 = restricted_to(&["192.0.2.0/24"]);

    assert_eq!(
        doors(&v4, &["192.0.2.1", "2001:db8::1"]),
        ["192.0.2.1:32000", "[::]:32000"]
    );
}

#[test]
fn a_service_has_doors_in_its_own_families_only() {
    let mut checks = HealthChecks::new(&NodePortAddresses::default());
    checks.set(web(), Some(check(32_000, &[(Family::V6, 1)])));

    let doors: Vec<_> = checks.doors().into_iter().map(|it| it.address).collect();

    assert_eq!(doors, ["[::]:32000".parse().unwrap()]);
}

#[test]
fn counts_are_those_of_the_family_and_none_of_an_unknown_service() {
    let mut checks = HealthChecks::new(&NodePortAddresses::default());
    let both = [(Family::V4, 1), (Family::V6, 3)];
    checks.set(web(), Some(check(32_000, &both)));

    assert_eq!(checks.local_endpoints(&web(), Family::V4), 1);
    assert_eq!(checks.local_endpoints(&web(), Family::V6), 3);
    let unknown = ObjectName::new("shop", "unknown");
    assert_eq!(checks.local_endpoints(&unknown, Family::V4), 0);
}

#[test]
fn what_is_as_it_was_is_no_change() {
    let mut checks = HealthChecks::new(&restricted_to(&["192.0.2.0/24"]));
    let one = check(32_000, &[(Family::V4, 1)]);

    assert!(!checks.set(web(), None));
    assert!(checks.set(web(), Some(one.clone())));
    assert!(!checks.set(web(), Some(one)));
    assert!(checks.set_addresses(&addresses(&["192.0.2.1"])));
    assert!(!checks.set_addresses(&addresses(&["192.0.2.1"])));
    assert!(checks.set(web(), None));
}
