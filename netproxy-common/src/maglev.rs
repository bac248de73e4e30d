//! Consistent balancing (`MAGLEV`): which slot of a service's table a flow falls into, on every node alike.
//!
//! A slot names an endpoint by its place in the window that the table is over; the tables are made in user space.
//! Which slot it is must follow from what every node sees of the flow, and of that only: the client, and nothing of
//! the frontend but the protocol. The address of a NodePort is another one on each node, and numbers of services are
//! each node's own.

use crate::{Be16, plain_data};

/// How many slots there are: a prime, so that every step through them visits all. With 100 endpoints each has 163 or
/// 164 of them.
pub const SLOTS: u32 = 16_381;

/// Room for the slots: what 14 bits can tell apart, so that the verifier sees that no slot is outside.
pub const ROOM: usize = 1 << 14;

const _: () = assert!(SLOTS as usize <= ROOM);

/// Value of `MAGLEV`: the table of one service port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The endpoint of each slot, counted from the start of the window. What is behind the slots is zero.
    pub slots: [u16; ROOM],
}

plain_data! { Table => 2 * ROOM }

/// The slot of a client's flow. The address is given as 32-bit words in memory order, that of IPv4 as the first one.
#[must_use]
#[inline(always)]
pub const fn slot_of_flow(client: [u32; 4], port: Be16, protocol: u8) -> u32 {
    let ports = (port.get() as u64) << 8 | protocol as u64;
    slot(mix(hash_of(client), ports))
}

/// The slot of all flows of a client that is to stick to an endpoint.
#[must_use]
#[inline(always)]
pub const fn slot_of_client(client: [u32; 4]) -> u32 {
    slot(mix(hash_of(client), 0))
}

#[inline(always)]
const fn hash_of(client: [u32; 4]) -> u64 {
    let [a, b, c, d] = client;
    let first = mix(SEED, (a as u64) << 32 | b as u64);
    mix(first, (c as u64) << 32 | d as u64)
}

/// Any number but zero: the same on every node and in every release.
const SEED: u64 = 0x6e65_7470_726f_7879;
/// Odd, and its bits look random: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Adds a word to a hash. The product carries every bit upwards, the shift brings the upper half down again.
#[inline(always)]
const fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(FACTOR);
    product ^ (product >> 32)
}

#[inline(always)]
const fn slot(hash: u64) -> u32 {
    let upper = mix(hash, 0) >> 32;
    // Scaling instead of a remainder: no division.
    ((upper * SLOTS as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{TCP, UDP};

    /// Flows in each of as many equal parts.
    const FLOWS: u16 = 1000;
    const PARTS: u32 = 100;

    /// Chi square.
    fn spread(slots: impl Iterator<Item = u32>) -> f64 {
        let mut counts = [0.0; PARTS as usize];
        for slot in slots.take(usize::from(FLOWS) * PARTS as usize) {
            assert!(slot < SLOTS);
            counts[(slot * PARTS / SLOTS) as usize] += 1.0;
        }
        let expected = f64::from(FLOWS);
        let distances = counts.iter().map(|count: &f64| (count - expected).powi(2));
        distances.sum::<f64>() / expected
    }

    /// Exceeded by chance once in a billion.
    const BOUND: f64 = 210.0;

    const CLIENT: [u32; 4] = [u32::from_ne_bytes([192, 0, 2, 7]), 0, 0, 0];

    fn v4(number: u32) -> [u32; 4] {
        [
            u32::from_ne_bytes((0xc000_0200 + number).to_be_bytes()),
            0,
            0,
            0,
        ]
    }

    #[test]
    fn ports_of_a_client_spread_evenly() {
        let ports = || (0..=u16::MAX).map(Be16::new);
        let tcp = ports().map(|port| slot_of_flow(CLIENT, port, TCP));
        let udp = ports().map(|port| slot_of_flow(CLIENT, port, UDP));

        let chi_square = spread(tcp.chain(udp));

        assert!(chi_square < BOUND, "{chi_square}");
    }

    #[test]
    fn neighbours_spread_evenly() {
        let port = Be16::new(40_000);
        let v6 = |number: u32| [0xb80d_0120, 0, 0, number.to_be()];
        for (what, chi_square) in [
            (
                "IPv4",
                spread((0..).map(|it| slot_of_flow(v4(it), port, TCP))),
            ),
            (
                "IPv6",
                spread((0..).map(|it| slot_of_flow(v6(it), port, TCP))),
            ),
            ("clients", spread((0..).map(|it| slot_of_client(v4(it))))),
            (
                "networks",
                spread((0..).map(|it| slot_of_client(v4(it << 12)))),
            ),
        ] {
            assert!(chi_square < BOUND, "{what}: {chi_square}");
        }
    }

    /// What every release must do alike, or nodes would disagree while one replaces the other.
    #[test]
    fn a_flow_has_the_slot_of_every_release() {
        let slots = [
            slot_of_flow(CLIENT, Be16::new(40_000), TCP),
            slot_of_flow(CLIENT, Be16::new(40_001), TCP),
            slot_of_flow(CLIENT, Be16::new(40_000), UDP),
            slot_of_client(CLIENT),
        ];

        assert_eq!(slots, [5574, 3222, 3766, 1000]);
    }
}
