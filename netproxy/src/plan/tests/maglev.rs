//! The table of consistent balancing: evenly spread, the same on every node, and steady.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netproxy_common::maglev::SLOTS;
use proptest::prelude::*;

use crate::plan::lookup_table;

/// As many as balance and disruption are promised for.
const MANY: usize = 100;

/// Numbers that look random: a strategy for each of hundreds of endpoints would take longer than all else.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    (1_u64..).map(move |step| {
        let mixed =
            (seed ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 31)
    })
}

/// So many different ones, in any order: of one subnet, as pods mostly are, or from anywhere.
fn endpoints(count: impl Strategy<Value = usize>) -> impl Strategy<Value = Vec<SocketAddr>> {
    (count, any::<u64>(), any::<u32>(), any::<bool>()).prop_map(
        |(count, seed, first, is_subnet)| {
            let ports = [8080, 8443, 53];
            let endpoint = |(place, number): (u32, u64)| {
                let [a, b, ..] = number.to_be_bytes();
                let neighbour = IpAddr::from(first.wrapping_add(place).to_be_bytes());
                match number % 3 {
                    _ if is_subnet => SocketAddr::new(neighbour, 8080),
                    0 => SocketAddr::new(neighbour, u16::from_be_bytes([a, b])),
                    1 => {
                        SocketAddr::new(IpAddr::from((u128::from(number) << 64).to_be_bytes()), 53)
                    }
                    _ => SocketAddr::new(neighbour, ports[usize::from(a % 3)]),
                }
            };
            let mut endpoints: Vec<_> =
                (0..).zip(numbers(seed)).map(endpoint).take(count).collect();
            shuffle(&mut endpoints, seed);
            endpoints
        },
    )
}

fn shuffle(endpoints: &mut Vec<SocketAddr>, seed: u64) {
    let mut keyed: Vec<_> = numbers(!seed).zip(endpoints.drain(..)).collect();
    keyed.sort_unstable();
    endpoints.extend(keyed.into_iter().map(|(_, endpoint)| endpoint));
}

/// How many slots each place has.
fn shares(slots: &[u16], places: usize) -> Vec<u32> {
    let mut shares = vec![0; places];
    for place in slots {
        shares[usize::from(*place)] += 1;
    }
    shares
}

/// The endpoint of each slot.
fn owners(endpoints: &[SocketAddr]) -> Vec<SocketAddr> {
    let slots = lookup_table(endpoints).unwrap();
    slots
        .iter()
        .map(|place| endpoints[usize::from(*place)])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_hundred_endpoints_differ_by_less_than_one_percent(endpoints in endpoints(Just(MANY))) {
        let slots = lookup_table(&endpoints).unwrap();

        let shares = shares(&slots, MANY);
        let (least, most) = (*shares.iter().min().unwrap(), *shares.iter().max().unwrap());
        prop_assert!(f64::from(most) <= 1.01 * f64::from(least), "{least} to {most} slots");
    }

    #[test]
    fn one_that_goes_takes_few_flows_of_others_along(
        endpoints in endpoints(Just(MANY)),
        gone in 0..MANY,
    ) {
        let before = owners(&endpoints);
        let mut left = endpoints.clone();
        let gone = left.remove(gone);

        let after = owners(&left);

        let pairs = before.iter().zip(&after);
        let moved = pairs.filter(|(before, after)| **before != gone && before != after).count();
        prop_assert!(moved * 100 < 2 * SLOTS as usize, "{moved} slots");
    }

    #[test]
    fn every_node_has_the_same_table_whatever_the_order_there(
        endpoints in endpoints(1..300_usize),
        seed in any::<u64>(),
    ) {
        let mut elsewhere = endpoints.clone();
        shuffle(&mut elsewhere, seed);

        prop_assert!(owners(&endpoints) == owners(&elsewhere));
    }

    #[test]
    fn all_slots_are_taken_and_turns_are_fair(
        endpoints in endpoints(1..2000_usize),
    ) {
        let slots = lookup_table(&endpoints).unwrap();

        prop_assert_eq!(slots.len(), SLOTS as usize);
        let shares = shares(&slots, endpoints.len());
        let (least, most) = (*shares.iter().min().unwrap(), *shares.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{} to {} slots", least, most);
    }
}

/// `count` neighbours.
fn crowd(count: u32) -> Vec<SocketAddr> {
    let address = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
    (0..count)
        .map(|it| SocketAddr::new(address(it), 8080))
        .collect()
}

#[test]
fn a_single_endpoint_has_every_slot() {
    assert_eq!(lookup_table(&crowd(1)), Some(vec![0; SLOTS as usize]));
}

#[test]
fn as_many_endpoints_as_slots_have_one_each() {
    let slots = lookup_table(&crowd(SLOTS)).unwrap();

    let places: BTreeSet<_> = slots.iter().collect();
    assert_eq!(places.len(), SLOTS as usize);
}

#[test]
fn there_is_no_table_of_nothing_and_none_that_would_leave_some_out() {
    assert_eq!(lookup_table(&[]), None);
    assert_eq!(lookup_table(&crowd(SLOTS + 1)), None);
}

/// What every release must do alike, or nodes would disagree while one replaces the other.
#[test]
fn the_table_is_the_one_of_every_release() {
    let endpoints = ["10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"];
    let endpoints = endpoints.map(|it| it.parse().unwrap());

    let slots = lookup_table(&endpoints).unwrap();

    assert_eq!(
        slots[..16],
        [1, 0, 2, 2, 1, 1, 0, 0, 2, 1, 2, 0, 2, 0, 1, 2]
    );
}
