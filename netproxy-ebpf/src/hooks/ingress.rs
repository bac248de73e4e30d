//! Packets entering the node: clients' packets are translated here, and the answers of whole and
//! host flows are turned back.

use netproxy_common::flow::FlowFlags;
use netproxy_common::{AddressFlags, Flow, FlowKind};

use super::translate::{self, Translatable};
use super::{Verdict, open};
use crate::icmp::about::About;
use crate::icmp::{self, Icmp};
use crate::packet::{Headers, Packet as _, Skb};
use crate::separate::separate_packet;
use crate::{device, drops, events, flow, fragment, networks, prefixes, service, traffic};

#[inline(always)]
pub(super) fn packet<F: Icmp, const L2: usize>(packet: Skb<L2>) -> Verdict {
    // What is on its way to somebody else is told by its destination, without a look at the rest.
    let Some(destination) = Headers::<F>::destination(packet) else {
        return Verdict::PASS;
    };
    if !prefixes::may_hold::<F>(&destination) {
        return Verdict::PASS;
    }
    let address = service::address::<F>(&destination);
    if address.has(AddressFlags::LEFT_ALONE)
        || (address.bits == 0 && !networks::is_service::<F>(&destination))
    {
        return Verdict::PASS;
    }
    let mut headers = Headers::<F>::blank();
    if super::read_headers(packet, &mut headers) == 0 {
        return Verdict::PASS;
    }
    if address.bits == 0 {
        let verdict = open::at_unused_address(&headers);
        events::of_packet::<F>(&headers.key, verdict, verdict, packet.ifindex());
        return verdict;
    }
    let known = if headers.piece.is_fragment() && !fragment::complete(packet, &mut headers) {
        None
    } else if headers.has_ports {
        of_flow(packet, &headers)
    } else if let Some(verdict) = Verdict::from_bits(about_flow(packet, &headers)) {
        events::of_packet::<F>(&headers.key, verdict, verdict, packet.ifindex());
        return verdict;
    } else {
        None
    };
    let verdict = match known {
        Some(verdict) => verdict,
        // The stack knows what to do with a source that is no host's.
        None if !device::is_for_host(packet) || !F::is_of_host(&headers.key.source) => {
            Verdict::PASS
        }
        None if !headers.piece.has_header() => open::orphan(&headers, address),
        None => open::at_ingress::<F, L2>(packet, &headers, address),
    };
    let outcome = if verdict.is_refusal() && headers.piece.has_header() {
        icmp::tell_sender(packet, &headers, verdict, icmp::Sender::Outside)
    } else {
        verdict
    };
    traffic::of_opening::<F, L2>(packet, verdict);
    events::of_packet::<F>(&headers.key, verdict, outcome, packet.ifindex());
    outcome
}

/// What becomes of a packet with ports that belongs to a flow; None: it belongs to none.
#[inline(never)]
fn of_flow<F: Icmp, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> Option<Verdict> {
    let mut flow = flow::of_packet::<F>(headers)?;
    let verdict = translated(packet, headers, &mut flow);
    traffic::of_flow(packet, &flow, verdict);
    Some(drops::of_flow::<F>(&flow, verdict))
}

separate_packet! {
    /// What becomes of an ICMP error about a packet of a flow; zero: it is no such error.
    fn about_flow(packet, ref headers) = about
        as about_flow_at_ingress_v4, about_flow_at_ingress_v6,
        about_flow_at_ingress_v4_l3, about_flow_at_ingress_v6_l3;
}

#[inline(always)]
fn about<F: Icmp, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> u32 {
    let translated = About::read(packet, headers).and_then(|about| {
        let flow = about.flow()?;
        let verdict = translated(packet, &about, flow);
        Some(drops::of_service(flow.service, verdict))
    });
    Verdict::to_bits(translated)
}

/// What becomes of a packet of a flow, or of an error about one.
#[inline(always)]
fn translated<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    what: &impl Translatable<F, L2>,
    flow: &mut Flow<F::Address>,
) -> Verdict {
    let is_reply = flow.has(FlowFlags::REPLY);
    what.note(flow);
    let outcome = match (FlowKind::from_u8(flow.kind), is_reply) {
        (Some(FlowKind::Edge), false) if !flow.has(FlowFlags::SWITCHED) => {
            translate::entering(packet, what, flow)
        }
        (Some(FlowKind::Edge), false) | (Some(FlowKind::Whole), _) => {
            Ok(translate::and_redirect(packet, what, flow))
        }
        (Some(FlowKind::Host), true) => translate::to_host(packet, what, flow),
        // Nothing that crosses an ingress hook; somebody pretends.
        (Some(FlowKind::Edge), true) | (Some(FlowKind::Host), false) | (None, _) => {
            Ok(Verdict::PASS)
        }
        (Some(FlowKind::Foreign), _) => Ok(Verdict::PASS),
    };
    outcome.into()
}
