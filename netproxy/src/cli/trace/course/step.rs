//! Steps as they are told: what a program, or the stack, makes of a packet.

use netproxy::datapath::{Action, Direction, FlowEntry, Ran};
use netproxy::node::Way;
use netproxy_common::{Counter, FlowKind};
use nix::net::if_::if_indextoname;

use super::super::packet::{self, IcmpError, Seen};
use super::super::report::{At, Ends, Source, Step, Verdict, Which};
use super::super::words::{Meaning, errno};

/// The refusal that the packet has become.
pub(super) fn refusal(ran: &Ran, ends: Ends, meaning: &Meaning<'_>) -> Option<Verdict> {
    match packet::read(&ran.packet)? {
        Seen::Error(IcmpError::PortUnreachable) => {
            let reason = if meaning.frontend.is_some() {
                Counter::NoEndpoint
            } else {
                Counter::UnusedPort
            };
            Some(Verdict::refused("ICMP port unreachable", reason))
        }
        Seen::Error(IcmpError::TooBig) => Some(Verdict::refused(
            "ICMP packet too big",
            Counter::PacketTooBig,
        )),
        Seen::Error(IcmpError::TimeExceeded) => {
            Some(Verdict::refused("ICMP time exceeded", Counter::Expired))
        }
        Seen::Packet {
            source,
            is_reset: true,
            ..
        } if source == ends.destination => {
            Some(Verdict::refused("a TCP reset", Counter::ConnectionReset))
        }
        _ => None,
    }
}

pub(super) fn source(flow: &FlowEntry, is_near: bool, is_local: bool) -> Source {
    let is_hairpin = flow.client.ip() == flow.endpoint.ip();
    let (is_kept, why) = match flow.kind {
        FlowKind::Whole if is_hairpin => (
            false,
            "the client is the endpoint itself, and would not take its own address for an answer's",
        ),
        FlowKind::Whole if is_near || is_local => (
            false,
            "the service, or the agent's configuration, asks for it (masquerade)",
        ),
        FlowKind::Whole => (
            false,
            "client and endpoint are both elsewhere, and answers have to come back through this node",
        ),
        _ if flow.source.ip() != flow.client.ip() => (
            false,
            "it is the node's own, and the route to the endpoint has another source",
        ),
        _ if flow.source != flow.client => (
            true,
            "but for its port, as the endpoint answers another flow in that tuple",
        ),
        FlowKind::Host => (true, "it is the node's own"),
        _ if is_near => (
            true,
            "the client is on this node, so answers come back through it",
        ),
        _ => (
            true,
            "the endpoint is on this node, so answers come back through it",
        ),
    };
    Source { is_kept, why }
}

/// A step at a hook, of which no more is known than what the program did.
pub(super) fn step(
    (ifindex, direction): (u32, Direction),
    packet: Which,
    before: Ends,
    ran: &Ran,
) -> Step {
    let at = match direction {
        Direction::Ingress => At::Ingress,
        Direction::Egress => At::Egress,
    };
    let after = match packet::read(&ran.packet) {
        Some(Seen::Packet {
            source,
            destination,
            ..
        }) => Some(Ends {
            source,
            destination,
        }),
        _ => None,
    };
    let verdict = match ran.action {
        Action::Pass => Verdict::Passed,
        Action::Redirect => Verdict::Redirected {
            to_device: None,
            next_hop: None,
        },
        Action::Drop(reason) => Verdict::dropped(reason),
    };
    Step {
        device: Some(shown(ifindex)),
        after: after.filter(|_| !matches!(ran.action, Action::Drop(_))),
        verdict,
        ..plain(at, packet, before)
    }
}

pub(super) fn stack(packet: Which, before: Ends, way: Way) -> Step {
    let verdict = match way {
        Way::Device {
            ifindex, gateway, ..
        } => Verdict::Routed {
            to_device: Some(shown(ifindex)),
            next_hop: gateway,
        },
        Way::Here { .. } => Verdict::Delivered,
        Way::Nowhere(number) => Verdict::NoRoute {
            error: errno(number),
        },
    };
    Step {
        verdict,
        ..plain(At::Stack, packet, before)
    }
}

pub(super) fn plain(at: At, packet: Which, before: Ends) -> Step {
    Step {
        at,
        device: None,
        packet,
        asks_for: None,
        set: None,
        endpoint: None,
        flow: None,
        source: None,
        before,
        after: None,
        verdict: Verdict::Passed,
    }
}

pub(super) fn redirected(way: Way) -> Verdict {
    let (to_device, next_hop) = match way {
        Way::Device {
            ifindex, gateway, ..
        } => (Some(shown(ifindex)), gateway),
        Way::Here { .. } | Way::Nowhere(_) => (None, None),
    };
    Verdict::Redirected {
        to_device,
        next_hop,
    }
}

pub(super) fn kind(kind: FlowKind) -> &'static str {
    match kind {
        FlowKind::Edge => "edge",
        FlowKind::Whole => "whole",
        FlowKind::Host => "host",
        FlowKind::Foreign => "foreign",
    }
}

/// A device's name; its number where it is gone.
pub(super) fn shown(ifindex: u32) -> String {
    if_indextoname(ifindex)
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("#{ifindex}"))
}
