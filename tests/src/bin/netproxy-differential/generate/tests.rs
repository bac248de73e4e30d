use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::{
    manifest,
    slot::{NODE_PORTS, Slot},
};

fn cases() -> impl Iterator<Item = Case> {
    (0..400).map(|number| case(3, number))
}

fn states() -> impl Iterator<Item = Service> {
    cases().flat_map(|case| case.steps.into_iter().flatten())
}

#[test]
fn a_seed_and_a_number_make_the_same_case() {
    assert_eq!(case(5, 17), case(5, 17));
    assert_ne!(case(5, 17).steps, case(5, 18).steps);
    assert_ne!(case(5, 17).steps, case(6, 17).steps);
}

#[test]
fn the_steps_of_a_case_have_the_same_services_and_differ() {
    for case in cases() {
        for pair in case.steps.windows(2) {
            assert_eq!(pair[0].len(), pair[1].len(), "{}", case.name);
            assert_ne!(pair[0], pair[1], "{}", case.name);
        }
    }
}

#[test]
fn ports_of_a_service_are_what_the_api_server_takes() {
    for service in states() {
        let ports = &service.ports;
        let distinct = |key: &dyn Fn(&Port) -> String| {
            let keys: BTreeSet<_> = ports.iter().map(key).collect();
            assert_eq!(keys.len(), ports.len(), "{ports:?}");
        };
        distinct(&|it| it.name.clone());
        distinct(&|it| format!("{} {}", it.protocol, it.number));
        distinct(&|it| it.place.to_string());
        assert!(ports.iter().all(|it| it.place < NODE_PORTS));
        assert!(ports.len() == 1 || ports.iter().all(|it| !it.name.is_empty()));
    }
}

#[test]
fn families_of_a_service_never_change() {
    for case in cases() {
        for index in 0..case.steps[0].len() {
            let families: Vec<_> = case.steps.iter().map(|it| &it[index].families).collect();
            assert!(families.windows(2).all(|it| it[0] == it[1]));
        }
    }
}

#[test]
fn fields_that_only_some_types_may_have_are_on_no_others() {
    let has = |service: &Value, field: &str| !service["spec"][field].is_null();
    for service in states() {
        let object = manifest::service(&service, Slot::of(1));
        let is_balanced = service.kind == Kind::LoadBalancer;
        assert!(is_balanced || !has(&object, "loadBalancerSourceRanges"));
        assert!(is_balanced || !has(&object, "healthCheckNodePort"));
        assert!(is_balanced || !has(&object, "allocateLoadBalancerNodePorts"));
        assert_eq!(service.is_external(), has(&object, "externalTrafficPolicy"));
        let status = manifest::load_balancer(&service, Slot::of(1));
        assert!(is_balanced || status["ingress"].is_null());
    }
}

#[test]
fn slices_of_a_service_have_names_of_their_own() {
    for service in states() {
        let names: BTreeSet<_> = service
            .slices
            .iter()
            .map(|it| manifest::slice_name(it, Slot::of(1)))
            .collect();
        assert_eq!(names.len(), service.slices.len());
    }
}

#[test]
fn two_entries_for_one_server_differ_in_termination_only() {
    for service in states() {
        let mut seen: Vec<&Endpoint> = Vec::new();
        for endpoint in service.slices.iter().flat_map(|it| &it.endpoints) {
            for other in seen.iter().filter(|it| it.server == endpoint.server) {
                assert_eq!(other.for_zones, endpoint.for_zones);
                assert_eq!(other.for_nodes, endpoint.for_nodes);
                let is_ending = |it: &Endpoint| it.terminating == Some(true);
                if is_ending(other) == is_ending(endpoint) {
                    assert_eq!(*other, endpoint);
                }
            }
            seen.push(endpoint);
        }
    }
}

#[test]
fn every_kind_of_thing_comes_up() {
    let all: Vec<Service> = states().collect();
    let any = |what: &str, is: &dyn Fn(&Service) -> bool| assert!(all.iter().any(is), "{what}");
    any("no endpoints", &|it| {
        it.slices.iter().all(|it| it.endpoints.is_empty())
    });
    any("a hint for a node", &|it| {
        it.slices
            .iter()
            .flat_map(|it| &it.endpoints)
            .any(|it| !it.for_nodes.is_empty())
    });
    any("a port without a number", &|it| {
        it.slices
            .iter()
            .flat_map(|it| &it.ports)
            .any(|it| it.number.is_none())
    });
    any("an address that is not to be programmed", &|it| {
        it.shown_vip() == Some(IpMode::Proxy)
    });
    any("affinity", &|it| it.has_affinity);
    any("source ranges", &|it| {
        it.kind == Kind::LoadBalancer && !it.source_ranges.is_empty()
    });
    any("a deleted service", &|it| !it.exists);
    any("both families", &|it| it.families.len() == 2);
}
