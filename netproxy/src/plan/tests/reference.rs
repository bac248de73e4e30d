//! The plan against a second implementation of the same rules: plain sets, written down as the
//! rules are, without segments, windows or order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use netproxy_common::{Verdict, Window};
use proptest::prelude::*;

use super::{plan_one, service, slice, slice_port};
use crate::model::{Endpoint, EndpointSlice, Hints, Label, Protocol, TrafficPolicy};
use crate::plan::{NodeView, WantedPort};

/// Where an endpoint listens.
type Place = (IpAddr, u16);
type Merged<'a> = BTreeMap<Place, &'a Endpoint>;

proptest! {
    #[test]
    fn windows_equal_the_sets_of_the_rules(
        slices in slices(),
        node in node(),
        internal_policy in policy(),
        external_policy in policy(),
        node_port in prop::option::of(Just(30080)),
    ) {
        let mut service = service();
        service.internal_policy = internal_policy;
        service.external_policy = external_policy;
        service.ports[0].node_port = node_port;

        let port = plan_one(&service, &slices, &node);

        let merged = merge(&slices);
        let (cluster, local) = (cluster_set(&merged, &node), local_set(&merged, &node));
        let chosen = |policy| match policy {
            TrafficPolicy::Cluster => cluster.clone(),
            TrafficPolicy::Local => local.clone(),
        };
        let external = |policy| node_port.map(|_| chosen(policy)).unwrap_or_default();
        let range = &port.range;
        prop_assert_eq!(expand(&port, range.internal), chosen(internal_policy));
        prop_assert_eq!(expand(&port, range.external_cluster), external(TrafficPolicy::Cluster));
        prop_assert_eq!(expand(&port, range.external_local), external(external_policy));
        let has_any = merged.values().any(|endpoint| endpoint.ready || is_draining(endpoint));
        let verdict = if has_any { Verdict::Drop } else { Verdict::Reject };
        prop_assert_eq!(range.verdicts, [verdict; 3]);
    }

    #[test]
    fn segments_are_an_exact_sorted_partition(slices in slices(), node in node()) {
        let port = plan_one(&service(), &slices, &node);

        let range = &port.range;
        let ends = range.segment_ends.map(|end| end as usize);
        prop_assert!(ends.is_sorted());
        prop_assert_eq!(ends[6], range.endpoints.len());
        for (segment, end) in ends.into_iter().enumerate() {
            let start = segment.checked_sub(1).map_or(0, |previous| ends[previous]);
            let endpoints = &range.endpoints[start..end];
            let places: Vec<Place> = endpoints.iter().map(|e| (e.address, e.port)).collect();
            prop_assert!(places.is_sorted(), "segment {} is {:?}", segment, places);
        }
        let merged = merge(&slices);
        let usable: Vec<_> = merged
            .iter()
            .filter(|(_, endpoint)| endpoint.ready || endpoint.serving)
            .map(|(place, endpoint)| (*place, is_local(endpoint, &node)))
            .collect();
        let mut planned: Vec<_> = range
            .endpoints
            .iter()
            .map(|endpoint| ((endpoint.address, endpoint.port), endpoint.is_local))
            .collect();
        planned.sort_unstable();
        prop_assert_eq!(planned, usable, "every endpoint that is ready or serves, exactly once");
        for window in [range.internal, range.external_cluster, range.external_local] {
            prop_assert!((window.offset + window.count) as usize <= range.endpoints.len());
        }
    }
}

// === the rules, as sets ===

fn merge(slices: &[EndpointSlice]) -> Merged<'_> {
    let mut in_order: Vec<_> = slices.iter().collect();
    in_order.sort_by_key(|slice| slice.name.to_string());
    let mut merged = Merged::new();
    for slice in in_order {
        for port in slice.ports.iter().filter(|port| &*port.name == "http") {
            for endpoint in &slice.endpoints {
                let place = (endpoint.address, port.port);
                if !(endpoint.terminating && merged.contains_key(&place)) {
                    merged.insert(place, endpoint);
                }
            }
        }
    }
    merged
}

fn cluster_set(merged: &Merged<'_>, node: &NodeView) -> BTreeSet<Place> {
    let ready: Vec<&Endpoint> = merged.values().copied().filter(|e| e.ready).collect();
    let all_have = |hints: fn(&Endpoint) -> &[Label]| ready.iter().all(|e| !hints(e).is_empty());
    let same_node = |e: &Endpoint| node_hints(e).contains(&node.name);
    let same_zone = |e: &Endpoint| {
        node.zone
            .as_ref()
            .is_some_and(|z| zone_hints(e).contains(z))
    };
    let by_node = all_have(node_hints) && ready.iter().any(|e| same_node(e));
    let by_zone = !by_node && all_have(zone_hints) && ready.iter().any(|e| same_zone(e));

    let available = |e: &Endpoint| (!by_node || same_node(e)) && (!by_zone || same_zone(e));
    let chosen = select(merged, |e| e.ready && available(e));
    if chosen.is_empty() {
        select(merged, is_draining)
    } else {
        chosen
    }
}

fn local_set(merged: &Merged<'_>, node: &NodeView) -> BTreeSet<Place> {
    let chosen = select(merged, |e| e.ready && is_local(e, node));
    if chosen.is_empty() {
        select(merged, |e| is_draining(e) && is_local(e, node))
    } else {
        chosen
    }
}

fn select(merged: &Merged<'_>, is_chosen: impl Fn(&Endpoint) -> bool) -> BTreeSet<Place> {
    let chosen = merged.iter().filter(|(_, endpoint)| is_chosen(endpoint));
    chosen.map(|(place, _)| *place).collect()
}

fn is_draining(endpoint: &Endpoint) -> bool {
    endpoint.serving && endpoint.terminating
}

fn is_local(endpoint: &Endpoint, node: &NodeView) -> bool {
    endpoint.node.as_ref() == Some(&node.name)
}

fn node_hints(endpoint: &Endpoint) -> &[Label] {
    endpoint.hints.as_ref().map_or(&[], |hints| &hints.nodes)
}

fn zone_hints(endpoint: &Endpoint) -> &[Label] {
    endpoint.hints.as_ref().map_or(&[], |hints| &hints.zones)
}

fn expand(port: &WantedPort, window: Window) -> BTreeSet<Place> {
    let endpoints = &port.range.endpoints[window.offset as usize..][..window.count as usize];
    let places: BTreeSet<_> = endpoints.iter().map(|e| (e.address, e.port)).collect();
    assert_eq!(places.len(), endpoints.len(), "a window names nobody twice");
    places
}

// === arbitrary objects, small enough to collide ===

/// Slices of `default/web`; in half of the cases nearly all endpoints have hints.
fn slices() -> impl Strategy<Value = Vec<EndpointSlice>> {
    prop_oneof![
        prop::collection::vec(arbitrary_slice(arbitrary_hints(0)), 0..4),
        prop::collection::vec(arbitrary_slice(arbitrary_hints(1)), 0..4),
    ]
    .prop_map(|slices| {
        let named = slices.into_iter().zip(["m", "a", "z"]);
        named
            .map(|((ports, endpoints), name)| {
                let mut slice = slice(name, endpoints);
                slice.ports = ports
                    .into_iter()
                    .map(|(name, port)| slice_port(name, Protocol::Tcp, port))
                    .collect();
                slice
            })
            .collect()
    })
}

fn arbitrary_slice(
    hints: impl Strategy<Value = Option<Box<Hints>>>,
) -> impl Strategy<Value = (Vec<(&'static str, u16)>, Vec<Endpoint>)> {
    let port = (
        prop::sample::select(vec!["http", "http", "https"]),
        8080..8082_u16,
    );
    (
        prop::collection::vec(port, 0..3),
        prop::collection::vec(arbitrary_endpoint(hints), 0..8),
    )
}

fn arbitrary_endpoint(
    hints: impl Strategy<Value = Option<Box<Hints>>>,
) -> impl Strategy<Value = Endpoint> {
    let node = prop::option::of(prop::sample::select(vec!["this", "other", "third"]));
    let condition = prop::bool::ANY;
    (1..12_u8, node, condition, condition, condition, hints).prop_map(
        |(last, node, ready, serving, terminating, hints)| Endpoint {
            address: IpAddr::V4(Ipv4Addr::new(10, 1, 0, last)),
            node: node.map(Into::into),
            ready,
            serving,
            terminating,
            hints,
        },
    )
}

/// Hints with at least `fewest` nodes and zones each, or (seldom, if `fewest` is not zero) none.
fn arbitrary_hints(fewest: usize) -> impl Strategy<Value = Option<Box<Hints>>> {
    let labels = |from: [&'static str; 3]| {
        prop::collection::vec(prop::sample::select(from.to_vec()), fewest..3)
            .prop_map(|labels| labels.into_iter().map(Label::from).collect::<Vec<_>>())
    };
    let hints = (labels(["this", "other", "third"]), labels(["a", "b", "c"]))
        .prop_map(|(nodes, zones)| Box::new(Hints { nodes, zones }));
    prop::option::weighted(if fewest == 0 { 0.8 } else { 0.99 }, hints)
}

fn node() -> impl Strategy<Value = NodeView> {
    let name = prop::sample::select(vec!["this", "absent"]);
    let zone = prop::option::weighted(0.8, prop::sample::select(vec!["a", "d"]));
    (name, zone).prop_map(|(name, zone)| NodeView {
        zone: zone.map(Into::into),
        ..NodeView::named(name)
    })
}

fn policy() -> impl Strategy<Value = TrafficPolicy> {
    prop::sample::select(vec![TrafficPolicy::Cluster, TrafficPolicy::Local])
}
