//! The lookup table of consistent balancing: which endpoint a slot stands for, on every node alike (Eisenbud and
//! others, "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4).
//!
//! Every endpoint has an order of its own in which it would like to have the slots. They take turns, each taking the
//! first one of its order that is still free, until none is. So no two have more than a slot in difference, and one
//! that goes leaves most slots of the others as they were.
//!
//! A table follows from the addresses and ports alone: not from the order in which they are given, which differs
//! from node to node as each has endpoints of its own.

use std::net::{IpAddr, SocketAddr};

use netproxy_common::maglev::SLOTS;
use siphasher::sip128::SipHasher13;

/// No endpoint yet.
const FREE: u16 = u16::MAX;

/// For each slot the place in `endpoints` of the one that it stands for. None: there are no endpoints, or more of
/// them than slots, of which some would never be chosen. No two of them may be equal.
#[must_use]
pub fn lookup_table(endpoints: &[SocketAddr]) -> Option<Vec<u16>> {
    if endpoints.is_empty() || endpoints.len() > SLOTS as usize {
        return None;
    }
    let mut turns: Vec<_> = (0_u16..)
        .zip(endpoints)
        .map(|(place, endpoint)| (endpoint, place, Order::of(endpoint)))
        .collect();
    turns.sort_unstable_by_key(|(endpoint, ..)| **endpoint);
    let mut slots = vec![FREE; SLOTS as usize];
    let mut free = slots.len();
    for turn in (0..turns.len()).cycle() {
        let (_, place, order) = &mut turns[turn];
        let mut slot = order.next();
        while slots[slot] != FREE {
            slot = order.next();
        }
        slots[slot] = *place;
        free -= 1;
        if free == 0 {
            break;
        }
    }
    Some(slots)
}

/// The order in which an endpoint would like to have the slots: all of them, as their number is prime.
struct Order {
    next: u32,
    step: u32,
}

impl Order {
    fn of(endpoint: &SocketAddr) -> Self {
        // The same on every node and in every release: without a key, and of bytes that are named here.
        let mut bytes = Vec::with_capacity(18);
        match endpoint.ip() {
            IpAddr::V4(ip) => bytes.extend(ip.octets()),
            IpAddr::V6(ip) => bytes.extend(ip.octets()),
        }
        bytes.extend(endpoint.port().to_be_bytes());
        let hash = SipHasher13::new().hash(&bytes);
        Self {
            next: remainder(hash.h1, SLOTS),
            step: remainder(hash.h2, SLOTS - 1) + 1,
        }
    }

    fn next(&mut self) -> usize {
        let slot = self.next;
        self.next += self.step;
        if self.next >= SLOTS {
            self.next -= SLOTS;
        }
        slot as usize
    }
}

fn remainder(number: u64, of: u32) -> u32 {
    // Less than `of`, hence of its size.
    u32::try_from(number % u64::from(of)).unwrap_or_default()
}
