//! The agent's side of deadlines: a full table is walked in slices, each of which takes little time.

use std::time::{Duration, Instant};

use netproxy::datapath::Seen;
use netproxy::model::Protocol;
use nix::time::{ClockId, clock_gettime};

use crate::world::{At as _, Flavour, POD_PORT, Shop, World};

/// Halves in the table, all past their deadline or none.
const HALVES: usize = 200_000;
/// As the agent asks for, and what the test's build may make of it, of a CPU: a busy machine adds none.
const SLICE: Duration = Duration::from_millis(5);
const LONGEST_SLICE: Duration = Duration::from_millis(500);

/// Lets connections that last fill the table.
fn fill(world: &World, flavour: Flavour) {
    for address in 1..=HALVES.div_ceil(50_000) {
        let endpoint = flavour.remote_pod(address.try_into().unwrap());
        let ports = 1..=50_000;
        world.occupy(
            flavour.protocol,
            endpoint.at(POD_PORT),
            flavour.node(),
            ports,
        );
    }
}

/// How much of a CPU this thread has used.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

/// Walks the whole table once; yields how many slices that took, and how many halves were removed.
fn walk(world: &mut World) -> (usize, usize) {
    let begin = Instant::now();
    let (mut slices, mut removed) = (0, 0);
    loop {
        let before = cpu_time();
        let expired = world.datapath().expire_some(SLICE).unwrap();
        let took = cpu_time().saturating_sub(before);
        assert!(took < LONGEST_SLICE, "{took:?}");
        slices += 1;
        removed += expired.halves;
        if let Some(Seen { fills, .. }) = expired.seen {
            println!(
                "{slices} slices, {removed} removed in {:?}: {fills:?}",
                begin.elapsed()
            );
            return (slices, removed);
        }
    }
}

#[test]
fn a_full_table_is_walked_in_slices_and_loses_what_is_past_its_deadline_only() {
    let mut world = World::new();
    let flavour = Flavour::TCP[0];
    fill(&world, flavour);

    let (slices, removed) = walk(&mut world);
    assert!(slices > 1);
    assert_eq!(removed, 0);
    world.outlive(crate::world::Half::Reply);
    let (slices, removed) = walk(&mut world);

    assert!(slices > 1);
    assert_eq!(removed, HALVES);
    assert_eq!(world.flows(), []);
}

/// Packets go on while the agent walks: what a flow refers to may be opened behind the walk's back.
#[test]
fn a_service_that_goes_during_a_walk_keeps_its_id_and_address_until_the_next() {
    let mut world = World::new();
    let flavour = Flavour::TCP[0];
    let shop = Shop::new(flavour, 1).elsewhere(flavour.remote_pod(1));
    world.serve(&[&shop]);
    fill(&world, flavour);
    let expired = world.datapath().expire_some(Duration::ZERO).unwrap();
    assert_eq!(expired.seen, None);

    world
        .datapath()
        .apply(&[(shop.name(), Vec::new())])
        .unwrap();
    let _ = walk(&mut world);

    assert!(world.meaning_of(shop.cluster_ip().ip()).is_some());
    let _ = walk(&mut world);
    assert_eq!(world.meaning_of(shop.cluster_ip().ip()), None);
}

#[test]
fn an_endpoint_without_a_free_port_is_named_once_for_each_look() {
    let mut world = World::new();
    let flavour = Flavour::TCP[1];
    let endpoint = flavour.remote_pod(1).at(POD_PORT);
    let shop = Shop::new(flavour, 1).elsewhere(endpoint.ip());
    world.serve(&[&shop]);
    world.occupy(Protocol::Tcp, endpoint, flavour.node(), 1..=u16::MAX);

    for number in 0..3 {
        let request = flavour.first(flavour.outside().at(40_000 + number), shop.node_port());
        assert!(world.ingress("eth0", &request).is_dropped());
    }
    let told = world.datapath().exhausted_ports().unwrap();
    let told_again = world.datapath().exhausted_ports().unwrap();

    assert_eq!(told.len(), 1, "{told:?}");
    let (ports, refused) = told[0];
    assert_eq!((ports.endpoint, ports.protocol), (endpoint, Protocol::Tcp));
    assert_eq!(refused, 3);
    assert_eq!(told_again, []);
}
