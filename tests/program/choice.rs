//! Which endpoint a new flow gets: evenly spread, and never one that no state of the service held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::world::{At as _, Context, Flavour, POD_PORT, Shop, World, tcp};

#[test]
fn flows_spread_evenly_over_endpoints() {
    const FLOWS: u16 = 3000;
    const ENDPOINTS: u16 = 3;
    /// Exceeded by chance once in a billion runs, with two degrees of freedom.
    const BOUND: f64 = 41.4;
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = (1..=ENDPOINTS).fold(Shop::new(flavour, 1), |shop, number| {
            shop.elsewhere(flavour.remote_pod(number))
        });
        world.serve(&[&shop]);

        let mut flows: BTreeMap<_, u32> = BTreeMap::new();
        for number in 0..FLOWS {
            let client = flavour.local_pod(1).at(20_000 + number);
            let request = flavour.first(client, shop.cluster_ip());
            let outcome = world.ingress("pod1", &request);
            *flows.entry(outcome.destination()).or_default() += 1;
        }

        let expected = f64::from(FLOWS) / f64::from(ENDPOINTS);
        let chi_square: f64 = flows
            .values()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum();
        assert_eq!(flows.len(), usize::from(ENDPOINTS), "{flows:?}");
        assert!(chi_square < BOUND, "{flavour:?}: {chi_square} of {flows:?}");
    }
}

/// Endpoints are replaced whole while packets choose among them, often enough that the room for
/// them is used several times over.
#[test]
fn a_change_of_a_thousand_endpoints_is_never_seen_torn() {
    const CHANGES: usize = 1500;
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = |numbers: std::ops::Range<u16>, port| {
        numbers.fold(Shop::new(flavour, 1).target_port(port), |shop, number| {
            shop.elsewhere(flavour.remote_pod(number))
        })
    };
    let states = [shop(0..1000, POD_PORT), shop(1000..1700, POD_PORT + 1)];
    let plans = states.each_ref().map(|shop| [shop.plan()]);
    let possible: BTreeSet<_> = plans
        .iter()
        .flat_map(|[(_, ports)]| &ports[0].range.endpoints)
        .map(|endpoint| endpoint.address.at(endpoint.port))
        .collect();
    let frontend = states[0].cluster_ip();
    world.datapath().apply(&plans[0]).unwrap();
    let hook = world.ingress_hook("pod1");
    let is_over = AtomicBool::new(false);

    thread::scope(|scope| {
        let packets = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            for number in 0_u32.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let port = 1024 + u16::try_from(number % 64_000).unwrap();
                let client = flavour.local_pod(1).at(port);
                let about = Context {
                    came_in_by: hook.ifindex(),
                    ..Context::default()
                };
                // Starts afresh if the port has been used before.
                let reset = tcp(client, frontend).rst();
                let _ = hook.run(&reset, about);
                let outcome = hook.run(&flavour.first(client, frontend), about);
                assert!(!outcome.is_dropped(), "{outcome:?}");
                let endpoint = outcome.destination();
                assert!(possible.contains(&endpoint), "{outcome:?}");
                seen.insert(endpoint.port());
            }
            seen
        });
        for change in 1..=CHANGES {
            world.datapath().apply(&plans[change % 2]).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        let seen = packets.join().unwrap();
        assert_eq!(seen.len(), 2, "packets saw one state only");
    });
}
