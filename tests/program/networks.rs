//! The networks that cluster IPs are taken from, as an agent writes them while packets pass.

use ipnet::IpNet;
use netproxy_common::Counter;

use crate::world::{At as _, Flavour, Shop, World};

/// What the cluster IPs of [`Flavour::cluster_ip`] are taken from.
const SERVICES: [&str; 2] = ["10.96.0.0/24", "fd00:96::/64"];

fn networks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Whether packets to an unallocated cluster IP are dropped, in IPv4 and IPv6, whatever they carry.
#[track_caller]
fn is_closed(world: &World) -> [bool; 2] {
    [Flavour::V4, Flavour::V6].map(|flavours| {
        let closed = flavours.map(|flavour| {
            let nobody = flavour.cluster_ip(99).at(80);
            let request = flavour.first(flavour.local_pod(1).at(40_000), nobody);
            world.ingress("pod1", &request).is_dropped()
        });
        assert_eq!(closed, [closed[0]; 3]);
        closed[0]
    })
}

#[test]
fn an_unallocated_cluster_ip_is_dropped_and_an_allocated_one_is_served() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let endpoint = flavour.local_pod(2);
        let shop = Shop::new(flavour, 1).here(endpoint);
        world.serve(&[&shop]);
        world
            .datapath()
            .set_service_cidrs(&networks(&SERVICES))
            .unwrap();
        let client = flavour.local_pod(1).at(40_000);

        let unallocated = flavour.first(client, flavour.cluster_ip(99).at(80));
        world
            .ingress("pod1", &unallocated)
            .drops(Counter::UnusedAddress);
        let allocated = flavour.first(client, shop.cluster_ip());
        assert_eq!(
            world.ingress("pod1", &allocated).destination().ip(),
            endpoint
        );
    }
}

#[test]
fn networks_come_change_and_go_in_each_family() {
    let mut world = World::new();
    for (wanted, v4, v6) in [
        (&["10.96.0.0/24"][..], true, false),
        (&SERVICES, true, true),
        (&["10.97.0.0/16", "fd00:96::/64"], false, true),
        (
            &["10.95.0.0/16", "10.97.0.0/16", "10.96.0.0/16"],
            true,
            false,
        ),
        (&["10.97.0.0/16", "10.96.0.0/16"], true, false),
        (&["10.96.0.0/16"], true, false),
        (&[], false, false),
        (&["10.96.0.99/8"], true, false),
    ] {
        world
            .datapath()
            .set_service_cidrs(&networks(wanted))
            .unwrap();

        assert_eq!(is_closed(&world), [v4, v6], "{wanted:?}");
    }
}

#[test]
fn of_too_many_networks_the_first_ones_count() {
    let mut world = World::new();
    let mut wanted: Vec<_> = (0..17).map(|n| format!("10.{}.0.0/16", 2 * n)).collect();
    wanted.push("10.96.0.0/16".to_owned());
    let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();

    world
        .datapath()
        .set_service_cidrs(&networks(&wanted))
        .unwrap();
    let beyond = is_closed(&world);
    world
        .datapath()
        .set_service_cidrs(&networks(&wanted[2..]))
        .unwrap();

    assert_eq!(
        beyond, [false; 2],
        "unallocated addresses beyond are left alone"
    );
    assert_eq!(is_closed(&world), [true, false]);
}

#[test]
fn adjacent_networks_take_one_place() {
    let mut world = World::new();
    let halves: Vec<_> = (0..256).map(|n| format!("10.96.{n}.0/24")).collect();
    let halves: Vec<_> = halves.iter().map(String::as_str).collect();

    world
        .datapath()
        .set_service_cidrs(&networks(&halves))
        .unwrap();

    assert_eq!(is_closed(&world), [true, false]);
}

#[test]
fn a_new_agent_keeps_the_networks_until_it_knows_better() {
    let mut world = World::new();
    world
        .datapath()
        .set_service_cidrs(&networks(&SERVICES))
        .unwrap();

    world.stop();
    world.start();
    let kept = is_closed(&world);
    world
        .datapath()
        .set_service_cidrs(&networks(&SERVICES[1..]))
        .unwrap();

    assert_eq!(kept, [true; 2]);
    assert_eq!(is_closed(&world), [false, true]);
}
