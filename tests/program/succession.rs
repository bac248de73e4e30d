//! A new agent that wants maps of other sizes than those that are pinned: it makes new ones, and all that was in the old
//! ones goes on in them. (Other layouts take another build, which is in the lab.)

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use aya::maps::{MapData, MapInfo};
use netproxy::datapath::{DatapathError, View};
use netproxy_common::Counter;

use crate::world::{At as _, Context, Flavour, Packet, Shop, World};

/// Of maps that agents fill, that programs fill, and of one of the two tiers of flows.
const OTHER: &[&str] = &[
    "ADDRESSES_V4=1000",
    "FRONTENDS_V6=1000",
    "SERVICES=2000",
    "RANGES=3000",
    "MAGLEV=20",
    "ENDPOINTS_V4=4000",
    "ENDPOINTS_V6=600000",
    "SOURCE_RANGES_V4=100",
    "NAMES=2000",
    "DEVICES=100",
    "FLOWS_V4=5000",
    "FLOWS_V6=600000",
    "PENDING_V4=70000",
    "AFFINITY_V4=2000",
    "PORTS_V6=2000",
    "DROPS=500",
    "TRAFFIC=5000",
];

fn entries(world: &World, map: &str) -> u32 {
    MapInfo::from_pin(world.pins().map(map))
        .unwrap()
        .max_entries()
}

/// What tools see.
fn everything(world: &World) -> String {
    let view = View::open(world.pins()).unwrap();
    let services = view.services().unwrap();
    let endpoints: Vec<_> = services.values().map(|it| view.endpoints(it)).collect();
    let traffic = view.traffic(services.keys().copied()).unwrap();
    format!(
        "{:#?}",
        (
            &services,
            endpoints,
            view.frontends().unwrap(),
            view.source_ranges().unwrap(),
            view.devices().unwrap(),
            view.drops().unwrap(),
            traffic,
            view.counters().unwrap().get(Counter::NewFlow).unwrap(),
        )
    )
}

/// A service of each flavour, and a flow to each: its first packet, and as what that leaves.
fn open_flows(world: &mut World) -> Vec<(&'static str, Packet, Packet)> {
    let mut open = Vec::new();
    for flavour in Flavour::ALL {
        let shop = (1..=20).fold(Shop::new(flavour, 1), |shop, number| {
            shop.elsewhere(flavour.remote_pod(number))
        });
        world.serve(&[&shop]);
        let request = flavour.first(flavour.local_pod(1).at(40_000), shop.cluster_ip());
        let endpoint = world.ingress("pod1", &request).destination();
        open.push(("pod1", request.clone(), request.to(endpoint)));
    }
    open
}

#[test]
fn services_and_flows_go_on_in_maps_of_other_sizes() {
    let mut world = World::new();
    let open = open_flows(&mut world);
    let (before, flows) = (everything(&world), world.flow_table());

    world.stop();
    world.set_map_sizes(OTHER);
    world.start();

    for size in OTHER {
        let (map, wanted) = size.split_once('=').unwrap();
        assert_eq!(entries(&world, map).to_string(), wanted, "{map}");
    }
    assert_eq!(everything(&world), before);
    assert_eq!(world.flow_table(), flows);
    for (device, request, translated) in &open {
        let _ = world.ingress(device, request).passes_as(translated);
    }

    // And back.
    world.stop();
    world.set_map_sizes(&[]);
    world.start();

    assert_eq!(entries(&world, "SERVICES"), 65_536);
    for (device, request, translated) in &open {
        let _ = world.ingress(device, request).passes_as(translated);
    }
    let names: BTreeSet<_> = directory(&world, "").into_iter().collect();
    assert_eq!(names, BTreeSet::from(["v1".to_owned()]));
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_changes() {
    for tight in ["ENDPOINTS_V4=10", "FRONTENDS_V4=2", "FLOWS_V4=2"] {
        let mut world = World::new();
        let open = open_flows(&mut world);
        world.assure_all();
        let before = everything(&world);
        let map = tight.split_once('=').unwrap().0;
        let size = entries(&world, map);

        world.stop();
        world.set_map_sizes(&[tight]);
        let error = world.try_start().unwrap_err();

        assert!(matches!(error, DatapathError::TooSmall { .. }), "{error:?}");
        let text = error.to_string();
        let option = if map == "FLOWS_V4" {
            "--flows-max"
        } else {
            "--map-size"
        };
        for part in [map, option, "stays so"] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        assert_eq!(entries(&world, map), size);
        assert_eq!(directory(&world, ""), ["v1"]);
        world.set_map_sizes(&[]);
        world.start();
        assert_eq!(everything(&world), before);
        for (device, request, translated) in &open {
            let _ = world.ingress(device, request).passes_as(translated);
        }
    }
}

#[test]
fn while_the_flow_table_is_copied_no_flow_is_opened_and_open_ones_go_on() {
    let mut world = World::new();
    let open = open_flows(&mut world);
    for flavour in Flavour::ALL {
        let shop = Shop::new(flavour, 1);
        let late = flavour.first(flavour.local_pod(1).at(40_001), shop.cluster_ip());

        world.pause(u64::MAX);
        let outcome = world.ingress("pod1", &late);

        let _ = outcome.drops(Counter::HandingOn);
        for (device, request, translated) in &open {
            let _ = world.ingress(device, request).passes_as(translated);
        }
        // It passes by itself.
        world.pause(1);
        let _ = world.ingress("pod1", &late).counts(Counter::NewFlow);
    }
}

/// The pins of a directory below the one of everything.
fn directory(world: &World, name: &str) -> Vec<String> {
    let root = world.pins().directory().parent().unwrap().join(name);
    let entries = fs::read_dir(root).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The state of a process that died when the new maps were the truth, and not yet in their place: what its predecessor's
/// programs have opened since is in the old maps alone.
#[test]
fn a_start_goes_on_where_another_died_while_it_took_over() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = Shop::new(flavour, 1).elsewhere(flavour.remote_pod(1));
    world.serve(&[&shop]);
    let first = |port| flavour.first(flavour.local_pod(1).at(port), shop.cluster_ip());
    let _ = world.ingress("pod1", &first(40_000));
    let root = world.pins().directory().parent().unwrap().to_owned();
    let (old, next) = (root.join("old"), root.join("next"));
    fs::create_dir(&old).unwrap();
    let maps: Vec<_> = directory(&world, "v1")
        .into_iter()
        .filter(|name| !world.pins().map(name).is_dir())
        .collect();
    for name in &maps {
        let map = MapData::from_pin(world.pins().map(name)).unwrap();
        map.pin(old.join(name)).unwrap();
    }
    let hook = world.ingress_hook("pod1");
    world.stop();
    world.set_map_sizes(&["FLOWS_V4=5000", "PENDING_V4=70000"]);
    world.start();
    let _ = world.ingress("pod1", &first(40_001));
    world.stop();
    fs::create_dir(&next).unwrap();
    for name in ["FLOWS_V4", "PENDING_V4", "PAUSE", "LAYOUTS"] {
        let pin: PathBuf = world.pins().map(name);
        fs::rename(&pin, next.join(name)).unwrap();
        fs::rename(old.join(name), pin).unwrap();
    }
    fs::remove_dir_all(&old).unwrap();
    world.pause(0);
    let about = Context {
        came_in_by: hook.ifindex(),
        ..Default::default()
    };
    let _ = hook.run(&first(40_002), about).counts(Counter::NewFlow);

    world.start();

    let ports: BTreeSet<_> = world
        .flows()
        .iter()
        .map(|flow| flow.client.port())
        .collect();
    assert_eq!(ports, BTreeSet::from([40_000, 40_001, 40_002]));
    assert_eq!(entries(&world, "FLOWS_V4"), 5000);
    assert_eq!(directory(&world, ""), ["v1"]);
    // What was paused, as hooks had programs of either build, goes on.
    let _ = world
        .ingress("pod1", &first(40_003))
        .counts(Counter::NewFlow);
}

#[test]
fn what_another_died_preparing_is_thrown_away() {
    let mut world = World::new();
    let open = open_flows(&mut world);
    world.stop();
    let preparing = world.pins().directory().parent().unwrap().join("preparing");
    fs::create_dir(&preparing).unwrap();
    let map = MapData::from_pin(world.pins().map("FLOWS_V4")).unwrap();
    map.pin(preparing.join("PENDING_V4")).unwrap();

    world.set_map_sizes(OTHER);
    world.start();

    assert_eq!(directory(&world, ""), ["v1"]);
    for (device, request, translated) in &open {
        let _ = world.ingress(device, request).passes_as(translated);
    }
}
