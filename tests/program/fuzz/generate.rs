//! Packets nobody sane sends, and some that are sane, so that there is something to get wrong.
//!
//! What a packet is like depends on its own random numbers and on the flows that there are, never on how
//! often something was drawn before: so the seed and its number bring it back.

mod flows;
mod requests;
mod twist;

use fastrand::Rng;

pub(super) use self::flows::beginnings;
pub(super) use self::twist::Twist;
use super::gate::Gate;
use super::model::Model;
use super::reading::{ETHERNET, Tuple, fill_in};
use crate::world::{At as _, Context, Flavour, Packet};

/// What a packet is meant to be, before it is twisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// One to a frontend.
    Request,
    /// One of a live flow.
    OfFlow,
    /// One that a flow is over for.
    Bait,
    /// One of a live flow, but for one field.
    NearMiss,
    /// An ICMP error about a packet of a live flow, or nearly.
    Error,
    /// An ICMP echo request.
    Echo,
    /// Between addresses of nobody.
    Stray,
    /// A part of a packet of the above.
    Fragment,
    /// Of a protocol that no service has.
    OtherProtocol,
    /// With VLAN tags among its bytes.
    Tagged,
    /// Anything.
    Random,
}

impl Class {
    pub(super) const ALL: [Self; 11] = [
        Self::Request,
        Self::OfFlow,
        Self::Bait,
        Self::NearMiss,
        Self::Error,
        Self::Echo,
        Self::Stray,
        Self::Fragment,
        Self::OtherProtocol,
        Self::Tagged,
        Self::Random,
    ];

    fn any(rng: &mut Rng) -> Self {
        match rng.u8(..100) {
            0..20 => Self::Request,
            20..45 => Self::OfFlow,
            45..48 => Self::Bait,
            48..60 => Self::NearMiss,
            60..77 => Self::Error,
            77..80 => Self::Echo,
            80..84 => Self::Stray,
            84..90 => Self::Fragment,
            90..95 => Self::OtherProtocol,
            95..97 => Self::Tagged,
            _ => Self::Random,
        }
    }
}

/// A packet to hand in.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) class: Class,
    pub(super) twist: Option<Twist>,
    /// Index of the gate.
    pub(super) gate: usize,
    pub(super) context: Context,
    pub(super) bytes: Vec<u8>,
}

/// What packets are made from.
pub(super) struct Generator<'a> {
    pub(super) gates: &'a [Gate],
    pub(super) model: &'a Model,
    pub(super) rng: Rng,
}

impl Generator<'_> {
    /// The packet of these random numbers.
    pub(super) fn packet(mut self) -> Handed {
        let class = Class::any(&mut self.rng);
        let (gate, bytes) = self.of_class(class);
        let mut handed = Handed {
            class,
            twist: None,
            gate,
            context: self.context(gate),
            bytes,
        };
        if self.rng.u8(..100) < 40 {
            let twist = Twist::any(&mut self.rng);
            handed.twist = Some(twist);
            self.twist(twist, &mut handed);
        }
        handed
    }

    fn of_class(&mut self, class: Class) -> (usize, Vec<u8>) {
        match class {
            Class::Request => {
                let (gate, packet) = self.request();
                self.on(gate, packet)
            }
            Class::OfFlow => self.of_flow(|_, tuple| tuple),
            Class::NearMiss => self.of_flow(Self::missed),
            Class::Bait => match self.pick(self.model.flows.bait()) {
                Some(tuple) => {
                    let gate = self.any_gate();
                    let packet = self.packet_of(tuple);
                    self.on(gate, packet)
                }
                None => self.of_class(Class::Request),
            },
            Class::Error => self.error(),
            Class::Echo => {
                let (gate, packet) = self.between_any();
                let packet = self.linked(gate, packet);
                (gate, packet.echo_request())
            }
            Class::Stray => {
                let flavour = self.flavour();
                let stray = |rng: &mut Rng| flavour.remote_pod(0x4000 | rng.u16(..0x3fff));
                let source = stray(&mut self.rng).at(self.rng.u16(..));
                let destination = stray(&mut self.rng).at(80);
                let gate = self.any_gate();
                self.on(gate, flavour.first(source, destination))
            }
            Class::Fragment => self.fragment(),
            Class::OtherProtocol => {
                let (gate, packet) = self.between_any();
                let packet = self.linked(gate, packet);
                // SCTP of no sense, ESP, AH, GRE, UDP-Lite, IPv6 in IP, ICMP of both families, and any.
                let protocol = match self.rng.u8(..10) {
                    0..3 => 132,
                    3 => 50,
                    4 => 51,
                    5 => 47,
                    6 => 136,
                    7 => 41,
                    8 => [1, 58][usize::from(self.rng.bool())],
                    _ => self.rng.u8(..),
                };
                let mut bytes = self.any_bytes(12..80);
                let ports = [packet.source().port(), 80].map(u16::to_be_bytes).concat();
                bytes[..4].copy_from_slice(&ports);
                // Of a protocol for experiments (RFC 3692) first: etherparse wants to write what
                // extension headers hold.
                let mut bytes = packet.carrying(253, &bytes);
                let ip = self.ip_at(gate);
                bytes[if packet.is_v4() { ip + 9 } else { ip + 6 }] = protocol;
                fill_in(&mut bytes, ip);
                (gate, bytes)
            }
            Class::Tagged => {
                let (gate, mut bytes) = self.of_class(Class::Request);
                if self.gates[gate].has_link_layer {
                    for _ in 0..self.rng.usize(1..3) {
                        let tag = if self.rng.bool() { 0x81 } else { 0x88 };
                        let rest = if tag == 0x81 { 0 } else { 0xa8 };
                        let tag = [tag, rest, self.rng.u8(..), self.rng.u8(..)];
                        bytes.splice(12..12, tag);
                    }
                }
                (gate, bytes)
            }
            Class::Random => {
                let gate = self.any_gate();
                let mut bytes = self.any_bytes(40..200);
                let is_v4 = self.rng.bool();
                let ethertype = if is_v4 { [8, 0] } else { [0x86, 0xdd] };
                bytes[12..14].copy_from_slice(&ethertype);
                let ip = self.ip_at(gate);
                let version = if is_v4 { 0x40 } else { 0x60 };
                bytes[ip] = version | (bytes[ip] & 0xf);
                (gate, bytes)
            }
        }
    }

    fn any_gate(&mut self) -> usize {
        self.rng.u16(..) as usize % self.gates.len()
    }

    fn flavour(&mut self) -> Flavour {
        Flavour::ALL[self.rng.usize(..Flavour::ALL.len())]
    }

    fn pick(&mut self, from: &[Tuple]) -> Option<Tuple> {
        let number = self.rng.u32(..) as usize;
        from.get(number.checked_rem(from.len())?).copied()
    }

    fn any_bytes(&mut self, length: std::ops::Range<usize>) -> Vec<u8> {
        let mut bytes = vec![0; self.rng.usize(length)];
        self.rng.fill(&mut bytes);
        bytes
    }

    fn context(&mut self, gate: usize) -> Context {
        let here = &self.gates[gate];
        let came_in_by = if here.is_ingress {
            here.ifindex
        } else if self.rng.u8(..3) == 0 {
            self.gates[self.rng.u16(..) as usize % self.gates.len()].ifindex
        } else {
            0
        };
        let gso_size = match self.rng.u8(..20) {
            0 => self.rng.u32(1..2000),
            _ => 0,
        };
        Context {
            came_in_by,
            gso_size,
        }
    }

    fn ip_at(&self, gate: usize) -> usize {
        if self.gates[gate].has_link_layer {
            ETHERNET
        } else {
            0
        }
    }

    fn linked(&self, gate: usize, packet: Packet) -> Packet {
        if self.gates[gate].has_link_layer {
            packet
        } else {
            packet.without_link_layer()
        }
    }

    fn on(&self, gate: usize, packet: Packet) -> (usize, Vec<u8>) {
        (gate, self.linked(gate, packet).bytes())
    }
}
