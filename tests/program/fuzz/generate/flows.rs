//! Packets of live flows, and nearly.

use std::net::SocketAddr;

use netproxy_common::FlowKind;

use super::{Class, Generator};
use crate::fuzz::model::{Half, frontends, protocol};
use crate::fuzz::reading::{SCTP, TCP, Tuple, UDP, fill_in};
use crate::world::{At as _, Flavour, Fragment, IcmpError, Packet};

/// How many of the first flows have most of the fragments: so those of a datagram meet.
const IN_PIECES: usize = 240;

impl Generator<'_> {
    /// A packet of a live flow, after `change`, mostly where such packets come.
    pub(super) fn of_flow(
        &mut self,
        change: impl FnOnce(&mut Self, Tuple) -> Tuple,
    ) -> (usize, Vec<u8>) {
        let Some((tuple, half)) = self.any_half() else {
            return self.of_class(Class::Request);
        };
        let gate = self.gate_of(&half);
        let tuple = change(self, tuple);
        let packet = self.packet_of(tuple);
        self.on(gate, packet)
    }

    fn sound_of_flow(&mut self) -> (usize, Packet) {
        let half = self.any_half();
        self.packet_of_half(half)
    }

    fn packet_of_half(&mut self, half: Option<(Tuple, Half)>) -> (usize, Packet) {
        let Some((tuple, half)) = half else {
            return self.request();
        };
        let gate = self.gate_of(&half);
        (gate, self.packet_of(tuple))
    }

    fn any_half(&mut self) -> Option<(Tuple, Half)> {
        let key = self.pick(self.model.flows.began())?;
        self.half_of(key)
    }

    /// Either half of the flow that began with `key`.
    fn half_of(&mut self, key: Tuple) -> Option<(Tuple, Half)> {
        let forward = self.model.flows.half(key)?;
        let reply = forward.to.reversed();
        let key = if self.rng.bool() { key } else { reply };
        Some((key, self.model.flows.half(key)?.clone()))
    }

    /// The same but for one field.
    pub(super) fn missed(&mut self, mut tuple: Tuple) -> Tuple {
        let flavour = flavour_of(tuple);
        match self.rng.u8(..6) {
            0 => tuple.source.set_ip(self.any_address(flavour)),
            1 => tuple.destination.set_ip(self.any_address(flavour)),
            2 => tuple
                .source
                .set_port(tuple.source.port() ^ (1 << self.rng.u8(..16))),
            3 => tuple
                .destination
                .set_port(tuple.destination.port() ^ (1 << self.rng.u8(..16))),
            4 => {
                tuple.protocol = match tuple.protocol {
                    TCP => UDP,
                    UDP => SCTP,
                    _ => TCP,
                }
            }
            _ => tuple = tuple.reversed(),
        }
        tuple
    }

    pub(super) fn packet_of(&mut self, tuple: Tuple) -> Packet {
        let flavour = flavour_of(tuple);
        let packet = flavour.later(tuple.source, tuple.destination);
        let packet = if self.rng.u8(..12) == 0 {
            self.flagged(flavour, packet)
        } else {
            packet
        };
        self.sized(packet)
    }

    /// An ICMP error about what the node made of a packet of a flow.
    pub(super) fn error(&mut self) -> (usize, Vec<u8>) {
        let Some((_, half)) = self.any_half() else {
            return self.of_class(Class::Request);
        };
        let mut told = half.to;
        if self.rng.u8(..6) == 0 {
            told = self.missed(told);
        }
        let flavour = flavour_of(told);
        // Where answers to it come.
        let gate = match self.model.flows.half(half.to.reversed()) {
            Some(answering) => {
                let answering = answering.clone();
                self.gate_of(&answering)
            }
            None => self.any_gate(),
        };
        let quoted = self.packet_of(told);
        let is_v4 = told.source.is_ipv4();
        let messages = IcmpError::messages(is_v4);
        let message = messages[self.rng.usize(..messages.len())];
        let source = if self.rng.bool() {
            told.destination.ip()
        } else {
            self.client(flavour, gate)
        };
        let destination = if self.rng.u8(..10) == 0 {
            self.any_address(flavour)
        } else {
            told.source.ip()
        };
        if source.is_ipv4() != is_v4 {
            return self.of_class(Class::Request);
        }
        let mut error = IcmpError::new(source, destination, message, &quoted);
        match self.rng.u8(..4) {
            0 => error = error.quoting(self.rng.usize(..80)),
            1 => error = error.quoting(28 + self.rng.usize(..40)),
            _ => error = error.quoting(1200),
        }
        if self.rng.u8(..20) == 0 {
            error = error.with_options();
        }
        if self.rng.u8(..10) == 0 {
            error = error.ttl(self.rng.u8(..3));
        }
        if self.rng.u8(..20) == 0 {
            // An error about an error.
            error = error.about(&error);
        }
        if !self.gates[gate].has_link_layer {
            error = error.without_link_layer();
        }
        (gate, Vec::from(&error))
    }

    /// Mostly one where packets of the half are translated.
    fn gate_of(&mut self, half: &Half) -> usize {
        let any = self.any_gate();
        if self.rng.u8(..5) == 0 {
            return any;
        }
        let wants_ingress = match half.kind {
            FlowKind::Edge => !half.is_reply,
            FlowKind::Whole => true,
            FlowKind::Host | FlowKind::Foreign => half.is_reply,
        };
        let gates: Vec<_> = (0..self.gates.len())
            .filter(|index| self.gates[*index].is_ingress == wants_ingress)
            .collect();
        gates[any % gates.len()]
    }

    /// A fragment, with or without a transport header.
    pub(super) fn fragment(&mut self) -> (usize, Vec<u8>) {
        let (gate, packet) = match self.rng.u8(..8) {
            0 => self.request(),
            1 => self.sound_of_flow(),
            _ => self.of_early_flow(),
        };
        let offset = match self.rng.u8(..8) {
            0..4 => 0,
            4 => self.rng.u16(1..4),
            _ => self.rng.u16(4..0x1fff),
        };
        let has_more = offset == 0 || self.rng.bool();
        let is_v4 = packet.is_v4();
        let (gate, mut bytes) = self.on(gate, packet.fragment(Fragment { offset, has_more }));
        if self.rng.u8(..6) == 0 {
            // Of another datagram.
            let ip = self.ip_at(gate);
            bytes[if is_v4 { ip + 5 } else { ip + 47 }] ^= 1;
            fill_in(&mut bytes, ip);
        }
        (gate, bytes)
    }

    fn of_early_flow(&mut self) -> (usize, Packet) {
        let began = self.model.flows.began();
        let early = &began[..began.len().min(IN_PIECES)];
        let half = self.pick(early).and_then(|key| self.half_of(key));
        self.packet_of_half(half)
    }
}

/// The flavour that a tuple is of.
fn flavour_of(tuple: Tuple) -> Flavour {
    let has = |flavour: &&Flavour| {
        flavour.node().is_ipv4() == tuple.destination.is_ipv4()
            && protocol(**flavour) == tuple.protocol
    };
    *Flavour::ALL.iter().find(has).unwrap()
}

/// A first packet of a flow of each kind, and the answer's client: what rounds begin with.
pub(in crate::fuzz) fn beginnings(
    flavour: Flavour,
    round: u16,
) -> Vec<(&'static str, bool, SocketAddr, SocketAddr)> {
    let port = 50_000 + round;
    let to = |number: u8, place: usize| frontends(flavour, number)[place];
    vec![
        ("pod1", true, flavour.local_pod(1).at(port), to(1, 0)),
        ("pod3", true, flavour.local_pod(3).at(port), to(3, 0)),
        ("pod2", true, flavour.local_pod(2).at(port), to(5, 0)),
        ("eth0", true, flavour.outside().at(port), to(1, 1)),
        ("eth0", true, flavour.outside().at(port), to(3, 2)),
        ("eth0", true, flavour.client(1).at(port), to(6, 2)),
        ("tun0", true, flavour.outside().at(port), to(8, 3)),
        ("tun0", true, flavour.client(2).at(port), to(3, 3)),
        ("eth0", false, flavour.node().at(port), to(3, 2)),
        ("eth0", false, flavour.node().at(port), to(1, 0)),
    ]
}
