//! A new agent on the pins of an old one: nothing in force changes until it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;

use aya::maps::{Map, MapData};
use netproxy::datapath::{DatapathError, ServiceEntry, View};
use netproxy_common::Counter;

use crate::world::{At as _, Context, Flavour, POD_PORT, Shop, World};

#[test]
fn packets_are_served_while_no_agent_runs() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(2).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(endpoint.ip());
        world.serve(&[&shop]);
        let hook = world.ingress_hook("pod1");
        let request = flavour.first(flavour.local_pod(1).at(40_000), shop.cluster_ip());

        world.stop();
        let about = Context {
            came_in_by: hook.ifindex(),
            ..Default::default()
        };
        let outcome = hook.run(&request, about);

        outcome.passes_as(&request.to(endpoint));
        world.start();
    }
}

#[test]
fn what_a_build_without_prefixes_has_written_is_looked_at() {
    let mut world = World::new();
    let network = "10.97.0.0/16".parse().unwrap();
    world.datapath().set_service_cidrs(&[network]).unwrap();
    let flavour = Flavour::TCP[0];
    let endpoint = flavour.local_pod(2).at(POD_PORT);
    let shop = Shop::new(flavour, 1).here(endpoint.ip());
    world.serve(&[&shop]);
    let client = flavour.local_pod(1);

    world.stop();
    fs::remove_file(world.pins().map("PREFIXES")).unwrap();
    world.start();

    let request = flavour.first(client.at(40_000), shop.cluster_ip());
    let served = world.ingress("pod1", &request);
    served.passes_as(&request.clone().to(endpoint));
    let unused: IpAddr = "10.97.0.9".parse().unwrap();
    let lost = flavour.first(client.at(40_001), unused.at(80));
    let outcome = world.ingress("pod1", &lost);
    outcome.drops(Counter::UnusedAddress);
}

#[test]
fn endpoints_far_into_their_map_are_served_and_adopted() {
    // 32 768 of IPv4 are mapped into the agent's memory at a time.
    const MANY: u16 = 20_000;
    let mut world = World::new();
    for flavour in [Flavour::TCP[0], Flavour::TCP[1]] {
        let crowd: Vec<_> = (1..=MANY).map(|it| flavour.remote_pod(it)).collect();
        let large = |number| {
            crowd
                .iter()
                .copied()
                .fold(Shop::new(flavour, number), Shop::elsewhere)
        };
        let (first, second) = (large(1), large(2));
        let endpoint = flavour.local_pod(2).at(POD_PORT);
        let last = Shop::new(flavour, 3).here(endpoint.ip());
        world.serve(&[&first, &second, &last]);
        let request = flavour.first(flavour.local_pod(1).at(40_000), last.cluster_ip());
        let served = world.ingress("pod1", &request);
        served.passes_as(&request.clone().to(endpoint));
        let before = View::open(world.pins()).unwrap().services().unwrap();
        assert!(before.values().any(|it| it.range.base > 32_768));

        world.stop();
        world.start();
        world.serve(&[&first, &second, &last]);

        let after = View::open(world.pins()).unwrap().services().unwrap();
        let generations = |services: &BTreeMap<u32, ServiceEntry>| {
            let all = services.values();
            all.map(|it| (it.key.clone(), it.generation))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            generations(&after),
            generations(&before),
            "nothing has changed"
        );
        world.serve(&[]);
        world.forget_flows();
    }
}

#[test]
fn a_new_agent_keeps_services_frontends_and_flows() {
    let mut world = World::new();
    let mut open = Vec::new();
    for flavour in Flavour::ALL {
        let shop = (1..=20).fold(Shop::new(flavour, 1), |shop, number| {
            shop.elsewhere(flavour.remote_pod(number))
        });
        world.serve(&[&shop]);
        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, shop.cluster_ip());
        let endpoint = world.ingress("pod1", &request).destination();
        open.push((shop, request, endpoint));
    }
    let view = |world: &World| {
        let view = View::open(world.pins()).unwrap();
        let services: Vec<_> = view
            .services()
            .unwrap()
            .into_values()
            .map(|service| (service.id, service.key, service.generation, service.range))
            .collect();
        (services, view.frontends().unwrap(), view.devices().unwrap())
    };
    let before = view(&world);
    let flows = world.flows();

    world.stop();
    world.start();

    assert_eq!(view(&world), before);
    let known: Vec<_> = world
        .flows()
        .into_iter()
        .map(|flow| (flow.client, flow.frontend, flow.endpoint))
        .collect();
    let expected: Vec<_> = flows
        .into_iter()
        .map(|flow| (flow.client, flow.frontend, flow.endpoint))
        .collect();
    assert_eq!(known, expected);
    for (shop, request, endpoint) in open {
        let outcome = world.ingress("pod1", &request);
        outcome.passes_as(&request.to(endpoint));
        let applied = world.datapath().apply(&[shop.plan()]).unwrap();
        assert_eq!((applied.written, applied.unchanged), (0, 1), "{applied:?}");
    }
    assert_eq!(view(&world), before);
}

#[test]
fn a_new_agent_finds_what_is_no_longer_wanted_and_removes_it() {
    let mut world = World::new();
    let mut shops = Vec::new();
    for flavour in Flavour::ALL {
        for number in [1, 2] {
            shops.push(Shop::new(flavour, number).here(flavour.local_pod(2)));
        }
    }
    world.serve(&shops.iter().collect::<Vec<_>>());
    let names: BTreeSet<_> = shops.iter().map(Shop::name).collect();

    world.stop();
    world.start();
    assert_eq!(world.datapath().service_names(), names);
    let removals: Vec<_> = names
        .iter()
        .map(|name| (name.clone(), Vec::new()))
        .collect();
    let applied = world.datapath().apply(&removals).unwrap();

    assert_eq!(applied.removed, shops.len());
    let view = View::open(world.pins()).unwrap();
    assert!(view.services().unwrap().is_empty());
    assert_eq!(view.frontends().unwrap(), []);
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        let request = flavour.first(flavour.local_pod(1).at(40_000), shop.cluster_ip());
        world
            .ingress("pod1", &request)
            .passes_untouched()
            .counts_nothing();
    }
}

/// Else a flow of the old service would count as one of the new.
#[test]
fn an_id_that_flows_carry_is_not_given_to_another_service() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let old = Shop::new(flavour, 1).here(flavour.local_pod(2));
    world.serve(&[&old]);
    let request = flavour.first(flavour.local_pod(1).at(40_000), old.cluster_ip());
    let _ = world.ingress("pod1", &request);
    let carried = world.flow().service;
    world.datapath().apply(&[(old.name(), Vec::new())]).unwrap();

    world.stop();
    world.start();
    let new = Shop::new(flavour, 2).here(flavour.local_pod(2));
    world.serve(&[&new]);

    let services = View::open(world.pins()).unwrap().services().unwrap();
    assert_eq!(services.len(), 1);
    assert!(!services.contains_key(&carried), "{services:?}");
}

#[test]
fn a_pinned_map_of_another_shape_is_refused() {
    let mut world = World::new();
    world.stop();
    let pin = world.pins().map("FRONTENDS_V4");
    fs::remove_file(&pin).unwrap();
    let other = MapData::from_pin(world.pins().map("ADDRESSES_V6")).unwrap();
    let other: aya::maps::HashMap<_, [u8; 16], u32> = Map::HashMap(other).try_into().unwrap();
    other.pin(&pin).unwrap();

    let error = world.try_start().unwrap_err();

    assert!(matches!(error, DatapathError::Layout { .. }), "{error:?}");
    let text = error.to_string();
    for part in [
        pin.to_str().unwrap(),
        "16-byte keys and 4-byte values",
        "8-byte keys and 8-byte values",
        "netproxy cleanup",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn a_device_that_is_not_wanted_any_more_is_let_go() {
    let mut world = World::new();
    let links = |world: &World| fs::read_dir(world.pins().links()).unwrap().count();
    let all = links(&world);

    world.stop();
    world.start();
    assert_eq!(links(&world), all);
    world.datapath().set_devices(&[]).unwrap();

    assert_eq!(links(&world), 0);
    let view = View::open(world.pins()).unwrap();
    assert!(view.devices().unwrap().is_empty());
}
