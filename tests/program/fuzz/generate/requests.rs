//! Packets to frontends and between whatever addresses there are.

use std::net::IpAddr;

use netproxy::model::Protocol;

use super::Generator;
use crate::fuzz::model::{SHOPS, endpoint, frontends};
use crate::world::{At as _, Chunk, Flavour, Packet, sctp};

/// What an SCTP packet may carry first.
const CHUNKS: [Chunk; 8] = [
    Chunk::Data,
    Chunk::Init,
    Chunk::InitAck,
    Chunk::Sack,
    Chunk::Abort,
    Chunk::ShutdownAck,
    Chunk::CookieEcho,
    Chunk::ShutdownComplete,
];

impl Generator<'_> {
    /// A packet to a frontend, and where a client of its kind hands it in, or a liar.
    pub(super) fn request(&mut self) -> (usize, Packet) {
        let flavour = self.flavour();
        let number = self.rng.u8(1..=SHOPS);
        let frontend = frontends(flavour, number)[self.rng.usize(..4)];
        let gate = self.any_gate();
        let address = self.client(flavour, gate);
        // Few enough to meet again.
        let port = if self.rng.u8(..20) == 0 {
            self.rng.u16(..)
        } else {
            40_000 + self.rng.u16(..200)
        };
        let mut destination = frontend;
        if self.rng.u8(..16) == 0 {
            destination.set_port(self.rng.u16(..));
        }
        let packet = flavour.first(address.at(port), destination);
        let packet = if self.rng.u8(..8) == 0 {
            self.flagged(flavour, packet)
        } else {
            packet
        };
        (gate, self.sized(packet))
    }

    /// Whoever may send by this gate; one in eight lies.
    pub(super) fn client(&mut self, flavour: Flavour, gate: usize) -> IpAddr {
        let gate = &self.gates[gate];
        if self.rng.u8(..8) == 0 {
            return self.any_address(flavour);
        }
        match gate.pod {
            _ if !gate.is_ingress => flavour.node(),
            Some(4) => flavour.neighbour_of_pod3(),
            Some(number) => flavour.local_pod(number),
            None if self.rng.bool() => flavour.outside(),
            None => flavour.client(self.rng.u8(1..20)),
        }
    }

    /// Any address that means something, or cannot be anybody's.
    pub(super) fn any_address(&mut self, flavour: Flavour) -> IpAddr {
        let number = self.rng.u8(1..=SHOPS);
        let is_v4 = flavour.node().is_ipv4();
        let odd = |v4: &str, v6: &str| if is_v4 { v4 } else { v6 }.parse().unwrap();
        match self.rng.u8(..16) {
            0 => flavour.cluster_ip(number),
            1 => flavour.vip(number),
            2 => flavour.external_ip(number),
            3 => flavour.node(),
            4 => flavour.bridge(),
            5 => flavour.local_pod(self.rng.u8(1..4)),
            6..9 => endpoint(flavour, self.rng.u8(..)).ip(),
            9 => flavour.outside(),
            10 => flavour.client(number),
            11 => flavour.cluster_ip(99),
            12 => odd("127.0.0.1", "::1"),
            13 => odd("224.0.0.1", "ff02::1"),
            14 => odd("255.255.255.255", "fe80::1"),
            _ => flavour.unspecified(),
        }
    }

    /// Between any two addresses that mean something.
    pub(super) fn between_any(&mut self) -> (usize, Packet) {
        if self.rng.bool() {
            return self.request();
        }
        let flavour = self.flavour();
        let source = self.any_address(flavour).at(self.rng.u16(1..));
        let destination = self.any_address(flavour).at(80);
        (self.any_gate(), flavour.first(source, destination))
    }

    /// With flags of all kinds, where there are any.
    pub(super) fn flagged(&mut self, flavour: Flavour, mut packet: Packet) -> Packet {
        match flavour.protocol {
            Protocol::Udp => return packet,
            Protocol::Sctp => {
                let chunk = CHUNKS[self.rng.usize(..CHUNKS.len())];
                return sctp(chunk, packet.source(), packet.destination());
            }
            Protocol::Tcp => {}
        }
        for set in [Packet::syn, Packet::ack, Packet::fin, Packet::rst] {
            if self.rng.u8(..3) == 0 {
                packet = set(packet);
            }
        }
        packet
    }

    /// With some data, and hops to go.
    pub(super) fn sized(&mut self, packet: Packet) -> Packet {
        let bytes = match self.rng.u8(..20) {
            0 => self.any_bytes(1200..2600),
            1..4 => Vec::new(),
            _ => self.any_bytes(1..100),
        };
        let ttl = match self.rng.u8(..20) {
            0 => 0,
            1 => 1,
            2 => 2,
            _ => 64,
        };
        packet.payload(&bytes).ttl(ttl)
    }
}
