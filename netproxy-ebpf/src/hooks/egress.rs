//! Packets leaving the node: the answers of edge flows get the frontend's address back, last of
//! all, and processes of this node that the socket hooks cannot see are served.

use netproxy_common::flow::FlowFlags;
use netproxy_common::{AddressFlags, FlowKind};

use super::{Verdict, open, translate};
use crate::family::Family;
use crate::packet::{Headers, Packet as _, Skb};
use crate::refuse::{self, Icmp};
use crate::{flow, service};

#[inline(always)]
pub(super) fn packet<F: Icmp, const L2: usize>(packet: Skb<L2>) -> Verdict {
    packet.make_accessible(super::HEADER_BYTES);
    let mut headers = Headers::<F>::blank();
    if !headers.fill(packet) {
        return Verdict::PASS;
    }
    if headers.is_fragment {
        return Verdict::PASS;
    }
    if let Some(verdict) = known::<F, L2>(packet, &headers) {
        return verdict;
    }
    if !packet.is_from_host() {
        return Verdict::PASS;
    }
    let address = service::address::<F>(&headers.key.destination);
    if address.bits == 0 {
        return open::nowhere(&headers);
    }
    if address.has(AddressFlags::NODE | AddressFlags::LEFT_ALONE)
        || !service::address::<F>(&headers.key.source).has(AddressFlags::NODE)
    {
        return Verdict::PASS;
    }
    let verdict = open::for_host::<F, L2>(packet, &headers, address);
    if verdict.is_refusal() {
        refuse::tell_sender(packet, &headers, verdict, refuse::Sender::ThisHost)
    } else {
        verdict
    }
}

/// As its namesake at ingress.
#[inline(never)]
fn known<F: Family, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> Option<Verdict> {
    let flow = flow::of_packet::<F>(headers)?;
    let is_reply = flow.has(FlowFlags::REPLY);
    let outcome = match (FlowKind::from_u8(flow.kind), is_reply) {
        (Some(FlowKind::Edge), true) => {
            flow::note::<F>(&headers.key, &flow, headers.tcp_flags);
            translate::in_place::<F, L2>(packet, headers, &flow)
        }
        (Some(FlowKind::Host), false) => {
            flow::note::<F>(&headers.key, &flow, headers.tcp_flags);
            Ok(translate::and_redirect::<F, L2>(packet, headers, &flow))
        }
        // Handled where these came in.
        (Some(FlowKind::Edge), false)
        | (Some(FlowKind::Host), true)
        | (Some(FlowKind::Whole), _)
        | (None, _) => Ok(Verdict::PASS),
    };
    Some(outcome.into())
}
