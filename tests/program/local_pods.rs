//! Who counts as a pod of this node under `externalTrafficPolicy: Local`, and may use endpoints
//! elsewhere: told by device and route, by network, by marked device, or nobody.

use std::net::IpAddr;

use netproxy_common::{Counter, LocalClients};

use crate::world::{Asker, At as _, Flavour, POD_PORT, Shop, World};

/// The pods behind `pod1`, and what is outside.
const POD_NETWORKS: [&str; 2] = ["10.244.1.0/24", "fd00:244:1::/64"];
const OUTSIDE_NETWORKS: [&str; 2] = ["8.0.0.0/16", "2001:db8:86dd::/48"];

/// Whether a client reaches the endpoint elsewhere of a service under policy Local, in every flavour.
#[track_caller]
fn is_local(world: &mut World, device: &'static str, asker: impl Fn(Flavour) -> IpAddr) -> bool {
    let served = Flavour::ALL.map(|flavour| {
        let endpoint = flavour.remote_pod(1).at(POD_PORT);
        let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip()).local_only();
        world.forget_flows();
        world.serve(&[&shop]);
        let request = flavour.first(asker(flavour).at(40_000), shop.vip());
        let outcome = world.ingress(device, &request);
        let is_served = !outcome.is_dropped();
        if is_served {
            assert_eq!(outcome.destination(), endpoint, "{outcome:?}");
        } else {
            outcome.drops(Counter::NoLocalEndpoint);
        }
        is_served
    });
    assert!(served.iter().all(|is| *is == served[0]), "{served:?}");
    served[0]
}

fn pod(number: u8) -> impl Fn(Flavour) -> IpAddr {
    move |flavour| flavour.local_pod(number)
}

fn outside(flavour: Flavour) -> IpAddr {
    Asker::Outside.address(flavour)
}

fn set_pod_cidrs(world: &mut World, networks: [&str; 2]) {
    let networks = networks.map(|network| network.parse().unwrap());
    world.datapath().set_pod_cidrs(&networks).unwrap();
}

#[test]
fn by_device_it_is_who_comes_from_a_pods_device_with_a_route_back() {
    let mut world = World::with_local_clients(LocalClients::Device);
    set_pod_cidrs(&mut world, OUTSIDE_NETWORKS);

    assert!(is_local(&mut world, "pod1", pod(1)));
    assert!(is_local(&mut world, "pod2", pod(2)));
    assert!(!is_local(&mut world, "pod1", pod(2)));
    assert!(!is_local(&mut world, "eth0", outside));
}

#[test]
fn by_network_it_is_who_has_such_an_address_wherever_it_comes_from() {
    let mut world = World::with_local_clients(LocalClients::Networks);
    assert!(!is_local(&mut world, "pod1", pod(1)));

    set_pod_cidrs(&mut world, POD_NETWORKS);
    assert!(is_local(&mut world, "pod1", pod(1)));
    assert!(is_local(&mut world, "eth0", pod(1)));
    assert!(!is_local(&mut world, "pod2", pod(2)));
    assert!(!is_local(&mut world, "eth0", outside));

    set_pod_cidrs(&mut world, OUTSIDE_NETWORKS);
    assert!(!is_local(&mut world, "pod1", pod(1)));
    assert!(is_local(&mut world, "eth0", outside));
}

#[test]
fn by_marked_device_it_is_who_comes_from_one() {
    let mut world = World::with_local_clients(LocalClients::MarkedDevices);
    set_pod_cidrs(&mut world, OUTSIDE_NETWORKS);

    assert!(is_local(&mut world, "pod1", pod(1)));
    assert!(is_local(&mut world, "pod1", outside));
    assert!(!is_local(&mut world, "pod2", pod(2)));
    assert!(!is_local(&mut world, "eth0", outside));
}

#[test]
fn it_may_be_nobody() {
    let mut world = World::with_local_clients(LocalClients::Nobody);
    set_pod_cidrs(&mut world, POD_NETWORKS);

    assert!(!is_local(&mut world, "pod1", pod(1)));
    assert!(!is_local(&mut world, "eth0", pod(1)));
}
