//! Where packets of a flow are translated, and how they leave.

use std::net::IpAddr;

use netproxy_common::FlowKind;

use super::bytes::{frame_stays, takes_hops};
use super::{Case, Fate, NEXT, REDIRECT};
use crate::fuzz::model::Half;

/// The device by which the kernel reaches who is outside.
const UPLINK: &str = "eth0";

/// Whether the kernel reaches it by `UPLINK`.
fn is_by_uplink(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(v4.octets(), [8, 0, ..] | [192, 0, 2, _]),
        IpAddr::V6(v6) => matches!(v6.segments(), [0x2001, 0xdb8, 0x86dd | 2, ..]),
    }
}

/// How a packet may leave a hook: with this code, and so many hops fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) code: i32,
    pub(super) hops: u8,
}

impl Way {
    const STACK: Self = Self::new(NEXT, 0);

    const fn new(code: i32, hops: u8) -> Self {
        Self { code, hops }
    }
}

/// The ways of packets of `half` at this hook; none: they cannot come here.
pub(super) fn ways(case: &Case<'_>, half: &Half) -> Vec<Way> {
    let gate = case.gate;
    match (half.kind, half.is_reply) {
        (FlowKind::Edge, false) if gate.is_ingress && half.is_switched => {
            vec![Way::STACK, Way::new(REDIRECT, 1)]
        }
        (FlowKind::Edge, false) if gate.is_ingress => vec![Way::STACK],
        (FlowKind::Edge, true) if !gate.is_ingress => {
            let is_here = gate.device == UPLINK && is_by_uplink(half.to.destination.ip());
            let may_leave_elsewhere = is_routed_again(case, half) && !is_here;
            if may_leave_elsewhere {
                vec![Way::STACK, Way::new(REDIRECT, 0)]
            } else {
                vec![Way::STACK]
            }
        }
        (FlowKind::Whole, _) if gate.is_ingress => vec![Way::new(REDIRECT, 1)],
        (FlowKind::Host, false) if !gate.is_ingress && case.is_from_host() => {
            vec![Way::new(REDIRECT, 0)]
        }
        (FlowKind::Host, true) if gate.is_ingress => {
            let is_there = gate.ifindex == half.client.ifindex || !gate.has_link_layer;
            match (is_there, half.client.may_have_moved && gate.has_link_layer) {
                (_, true) => vec![Way::STACK, Way::new(REDIRECT, 0)],
                (true, false) => vec![Way::STACK],
                (false, false) => vec![Way::new(REDIRECT, 0)],
            }
        }
        _ => Vec::new(),
    }
}

/// Whether it is an answer whose route is looked up again.
pub(super) fn is_routed_again(case: &Case<'_>, half: &Half) -> bool {
    let gate = case.gate;
    half.kind == FlowKind::Edge
        && half.is_reply
        && !gate.is_ingress
        && gate.is_outside()
        && (half.client.may_have_moved
            || (half.client.is_outside && gate.ifindex != half.client.ifindex))
}

/// Whether packets of `half` may be translated at this hook, and leave it so.
pub(super) fn of_half(
    case: &Case<'_>,
    half: &Half,
    code: i32,
    output: &[u8],
) -> Result<(), String> {
    let ways = ways(case, half);
    if ways.is_empty() {
        return Err(format!("translated where it cannot come: {half:?}"));
    }
    let way = ways
        .iter()
        .find(|way| way.code == code)
        .ok_or_else(|| format!("the program returned {code} for {half:?}"))?;
    let is_turned = half.kind == FlowKind::Host && half.is_reply && code == REDIRECT;
    frame_stays(case, is_turned, output)?;
    takes_hops(case, way.hops, output)
}

/// What has become of a packet of `half` that left so.
pub(super) fn fate(half: &Half, code: i32) -> Fate {
    match (half.kind, half.is_reply) {
        (FlowKind::Edge, false) if code == REDIRECT => Fate::Switched,
        (FlowKind::Edge, true) if code == REDIRECT => Fate::Rerouted,
        (kind, false) => Fate::Forward(kind),
        (kind, true) => Fate::Reply(kind),
    }
}

/// Whether this packet of `half` may be one that a bridge switches past netfilter.
pub(super) fn may_be_switched(case: &Case<'_>, half: &Half) -> bool {
    let gate = case.gate;
    half.kind == FlowKind::Edge
        && half.is_reply
        && !gate.is_ingress
        && gate.is_bridged()
        && case.came_in_by_bridge
}
