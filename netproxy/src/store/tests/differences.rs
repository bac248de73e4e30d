//! From one set of slices to another: what each service's ports answer with afterwards.

use super::{endpoint_at, ip, name, service, set_service, slice};
use crate::model::{Change, EndpointSlice, Protocol, ServicePort, SlicePort};
use crate::store::Store;

/// `SERVICE/SLICE PORT=NUMBER,… ADDRESS ADDRESS:terminating ADDRESS:unready`.
fn parsed(text: &str) -> EndpointSlice {
    let mut words = text.split_whitespace();
    let (service, name) = words.next().unwrap().split_once('/').unwrap();
    let ports = words.next().unwrap().split(',').map(|port| {
        let (name, number) = port.split_once('=').unwrap();
        SlicePort {
            name: name.into(),
            protocol: Protocol::Udp,
            port: number.parse().unwrap(),
        }
    });
    let mut parsed = slice(&format!("{service}-{name}"), service, &[]);
    parsed.ports = ports.collect();
    parsed.endpoints = words
        .map(|word| {
            let (address, state) = word.split_once(':').unwrap_or((word, "ready"));
            let mut endpoint = endpoint_at(address);
            endpoint.ready = state == "ready";
            endpoint.terminating = state == "terminating";
            endpoint
        })
        .collect();
    parsed
}

/// A store with the services `a` and `b`, each with the unnamed port and the ports `p` and `q`.
fn services() -> Store {
    let mut store = Store::new();
    for (name, cluster_ip) in [("a", "10.96.0.1"), ("b", "10.96.0.2")] {
        let mut service = service(name);
        service.cluster_ips = vec![ip(cluster_ip)];
        let port = |(name, port): (&str, u16)| ServicePort {
            name: name.into(),
            protocol: Protocol::Udp,
            port,
            node_port: None,
        };
        service.ports = [("", 53), ("p", 54), ("q", 55)].map(port).to_vec();
        set_service(&mut store, service);
    }
    store
}

/// Puts the slices of `now` in the place of those of `before`.
fn replace(store: &mut Store, before: &[&str], now: &[&str]) {
    let now: Vec<_> = now.iter().map(|text| parsed(text)).collect();
    for old in before.iter().map(|text| parsed(text).name) {
        if now.iter().all(|new| new.name != old) {
            store.apply(Change::Slice(old, None));
        }
    }
    for new in now {
        store.apply(Change::Slice(new.name.clone(), Some(Box::new(new))));
    }
}

/// `SERVICE:PORT=ADDRESS:NUMBER` for every endpoint that new clients may be sent to.
fn served(store: &Store) -> Vec<String> {
    let mut served = Vec::new();
    for service in ["a", "b"] {
        for port in store.plan(&name(service)) {
            let range = &port.range;
            let from = range.internal.offset as usize;
            for endpoint in &range.endpoints[from..from + range.internal.count as usize] {
                let (address, number) = (endpoint.address, endpoint.port);
                served.push(format!("{service}:{}={address}:{number}", port.key.port));
            }
        }
    }
    served
}

/// What changes, the slices before and after, what is served then, and the services that are
/// planned anew.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const CASES: &[Case] = &[
    ("nothing stays nothing", &[], &[], &[], &[]),
    (
        "an unnamed port stays",
        &["a/1 =11 1.1.1.1"],
        &["a/1 =11 1.1.1.1"],
        &["a:=1.1.1.1:11"],
        &[],
    ),
    (
        "a named port stays",
        &["a/1 p=11 1.1.1.1"],
        &["a/1 p=11 1.1.1.1"],
        &["a:p=1.1.1.1:11"],
        &[],
    ),
    (
        "several slices stay",
        &["a/1 p=11 1.1.1.1", "a/2 q=12 1.1.1.2"],
        &["a/1 p=11 1.1.1.1", "a/2 q=12 1.1.1.2"],
        &["a:p=1.1.1.1:11", "a:q=1.1.1.2:12"],
        &[],
    ),
    (
        "several ports of several services stay",
        &["a/1 p=11,q=12 1.1.1.1 1.1.1.2", "b/1 p=21 2.2.2.2"],
        &["a/1 p=11,q=12 1.1.1.1 1.1.1.2", "b/1 p=21 2.2.2.2"],
        &[
            "a:p=1.1.1.1:11",
            "a:p=1.1.1.2:11",
            "a:q=1.1.1.1:12",
            "a:q=1.1.1.2:12",
            "b:p=2.2.2.2:21",
        ],
        &[],
    ),
    (
        "the first slice",
        &[],
        &["a/1 =11 1.1.1.1"],
        &["a:=1.1.1.1:11"],
        &["a"],
    ),
    ("the last slice", &["a/1 =11 1.1.1.1"], &[], &[], &["a"]),
    (
        "an address and a port more",
        &["a/1 p=11 1.1.1.1"],
        &["a/1 p=11,q=12 1.1.1.1 1.1.1.2"],
        &[
            "a:p=1.1.1.1:11",
            "a:p=1.1.1.2:11",
            "a:q=1.1.1.1:12",
            "a:q=1.1.1.2:12",
        ],
        &["a"],
    ),
    (
        "an address and a port less",
        &["a/1 p=11,q=12 1.1.1.1 1.1.1.2"],
        &["a/1 p=11 1.1.1.1"],
        &["a:p=1.1.1.1:11"],
        &["a"],
    ),
    (
        "a slice more",
        &["a/1 p=11 1.1.1.1"],
        &["a/1 p=11 1.1.1.1", "a/2 q=12 1.1.1.2"],
        &["a:p=1.1.1.1:11", "a:q=1.1.1.2:12"],
        &["a"],
    ),
    (
        "a slice less",
        &["a/1 p=11 1.1.1.1", "a/2 q=12 1.1.1.2"],
        &["a/1 p=11 1.1.1.1"],
        &["a:p=1.1.1.1:11"],
        &["a"],
    ),
    (
        "a port is renamed",
        &["a/1 p=11 1.1.1.1"],
        &["a/1 q=11 1.1.1.1"],
        &["a:q=1.1.1.1:11"],
        &["a"],
    ),
    (
        "a port is renumbered",
        &["a/1 p=11 1.1.1.1"],
        &["a/1 p=22 1.1.1.1"],
        &["a:p=1.1.1.1:22"],
        &["a"],
    ),
    (
        "many things at once",
        &[
            "a/1 p=11,q=12 1.1.1.1 1.1.1.2",
            "a/2 q=13 1.1.1.3",
            "b/1 p=21 2.2.2.2",
        ],
        &[
            "a/1 p=11,q=12 1.1.1.1 1.1.1.4",
            "b/1 p=22 2.2.2.2",
            "b/2 q=23 2.2.2.3",
        ],
        &[
            "a:p=1.1.1.1:11",
            "a:p=1.1.1.4:11",
            "a:q=1.1.1.1:12",
            "a:q=1.1.1.4:12",
            "b:p=2.2.2.2:22",
            "b:q=2.2.2.3:23",
        ],
        &["a", "b"],
    ),
    (
        "from no endpoint to one",
        &["a/1 p=11"],
        &["a/1 p=11 1.1.1.1"],
        &["a:p=1.1.1.1:11"],
        &["a"],
    ),
    (
        "the only endpoint terminates",
        &["a/1 p=11 1.1.1.1"],
        &["a/1 p=11 1.1.1.1:terminating"],
        &["a:p=1.1.1.1:11"],
        &["a"],
    ),
    (
        "one of two terminates",
        &["a/1 p=11 1.1.1.1 1.1.1.2"],
        &["a/1 p=11 1.1.1.1:terminating 1.1.1.2"],
        &["a:p=1.1.1.2:11"],
        &["a"],
    ),
    (
        "the terminating one is gone",
        &["a/1 p=11 1.1.1.1:terminating"],
        &["a/1 p=11"],
        &[],
        &["a"],
    ),
    (
        "an endpoint becomes unready",
        &["a/1 p=11 1.1.1.1 1.1.1.2"],
        &["a/1 p=11 1.1.1.1:unready 1.1.1.2"],
        &["a:p=1.1.1.2:11"],
        &["a"],
    ),
    (
        "an endpoint moves from one slice to another",
        &["a/1 p=11 1.1.1.1 1.1.1.2", "a/2 p=11 1.1.1.3"],
        &["a/1 p=11 1.1.1.1", "a/2 p=11 1.1.1.2 1.1.1.3"],
        &["a:p=1.1.1.1:11", "a:p=1.1.1.2:11", "a:p=1.1.1.3:11"],
        &["a"],
    ),
];

#[test]
fn what_is_served_follows_the_slices_and_only_touched_services_are_planned_anew() {
    for (rule, before, now, expected, dirty) in CASES {
        // What was there must not matter: the same slices on a fresh store plan alike.
        let mut store = services();
        replace(&mut store, &[], before);
        store.take_dirty();
        replace(&mut store, before, now);
        let mut fresh = services();
        replace(&mut fresh, &[], now);

        assert_eq!(served(&store), *expected, "{rule}");
        assert_eq!(served(&fresh), *expected, "{rule}");
        let dirty: Vec<_> = dirty.iter().map(|service| name(service)).collect();
        assert_eq!(store.take_dirty(), dirty, "{rule}");
    }
}
