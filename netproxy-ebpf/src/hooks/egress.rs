//! Packets leaving the node: the answers of edge flows get the frontend's address back, last of
//! all, and processes of this node that the socket hooks cannot see are served.

use netproxy_common::flow::FlowFlags;
use netproxy_common::{AddressFlags, Flow, FlowKind};

use super::translate::{self, Translatable};
use super::{Verdict, open};
use crate::icmp::about::About;
use crate::icmp::{self, Icmp};
use crate::packet::{Headers, Packet as _, Skb};
use crate::separate::separate_packet;
use crate::{device, drops, events, flow, fragment, service, traffic};

#[inline(always)]
pub(super) fn packet<F: Icmp, const L2: usize>(packet: Skb<L2>) -> Verdict {
    if !packet.is_from_host() && !flow::edges::may_exist::<F>() {
        return Verdict::PASS;
    }
    let mut headers = Headers::<F>::blank();
    if super::read_headers(packet, &mut headers) == 0 {
        return Verdict::PASS;
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
        None if !packet.is_from_host() => Verdict::PASS,
        None => sent_by_host(packet, &headers),
    };
    let outcome = if verdict.is_refusal() && headers.piece.has_header() {
        icmp::tell_sender(packet, &headers, verdict, icmp::Sender::ThisHost)
    } else {
        verdict
    };
    traffic::of_opening::<F, L2>(packet, verdict);
    events::of_packet::<F>(&headers.key, verdict, outcome, packet.ifindex());
    outcome
}

/// What becomes of a packet of a process of this node that belongs to no flow.
#[inline(always)]
fn sent_by_host<F: Icmp, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> Verdict {
    let address = service::address::<F>(&headers.key.destination);
    if address.bits == 0 {
        return open::nowhere(headers);
    }
    if address.has(AddressFlags::NODE | AddressFlags::LEFT_ALONE)
        || !service::address::<F>(&headers.key.source).has(AddressFlags::NODE)
    {
        return Verdict::PASS;
    }
    if !headers.piece.has_header() {
        return open::orphan(headers, address);
    }
    open::for_host::<F, L2>(packet, headers, address)
}

/// As its namesake at ingress.
#[inline(never)]
fn of_flow<F: Icmp, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> Option<Verdict> {
    let mut flow = flow::of_packet::<F>(headers)?;
    if flow::may_be_switched(&flow) && device::is_switched_unseen::<F, _>(packet) {
        flow.flags |= FlowFlags::SWITCHED;
    }
    let verdict = translated(packet, headers, &mut flow);
    traffic::of_flow(packet, &flow, verdict);
    Some(drops::of_flow::<F>(&flow, verdict))
}

separate_packet! {
    /// What becomes of an ICMP error about a packet of a flow; zero: it is no such error.
    fn about_flow(packet, ref headers) = about
        as about_flow_at_egress_v4, about_flow_at_egress_v6,
        about_flow_at_egress_v4_l3, about_flow_at_egress_v6_l3;
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
    let outcome = match (FlowKind::from_u8(flow.kind), is_reply) {
        (Some(FlowKind::Edge), true) => {
            what.note(flow);
            if flow.client_ifindex == packet.ifindex() {
                translate::in_place(packet, what, flow)
            } else {
                Ok(translate::by_frontend(packet, what, flow))
            }
        }
        (Some(FlowKind::Host), false) if packet.is_from_host() => {
            what.note(flow);
            Ok(translate::and_redirect(packet, what, flow))
        }
        // Handled where these came in; or somebody pretends to be this host.
        (Some(FlowKind::Edge), false)
        | (Some(FlowKind::Host | FlowKind::Whole | FlowKind::Foreign), _)
        | (None, _) => Ok(Verdict::PASS),
    };
    outcome.into()
}
