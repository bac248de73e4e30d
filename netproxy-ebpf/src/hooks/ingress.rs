//! Packets entering the node: clients' packets are translated here, and the answers of whole and
//! host flows are turned back.

use netproxy_common::flow::FlowFlags;
use netproxy_common::{AddressFlags, Counter, FlowKind};

use super::{Verdict, open, translate};
use crate::count::count;
use crate::family::Family;
use crate::packet::{Headers, Packet as _, Skb};
use crate::refuse::{self, Icmp};
use crate::{device, flow, service};

#[inline(always)]
pub(super) fn packet<F: Icmp, const L2: usize>(packet: Skb<L2>) -> Verdict {
    packet.make_accessible(super::HEADER_BYTES);
    let mut headers = Headers::<F>::blank();
    if !headers.fill(packet) {
        return Verdict::PASS;
    }
    let address = service::address::<F>(&headers.key.destination);
    if address.bits == 0 {
        return open::nowhere(&headers);
    }
    if address.has(AddressFlags::LEFT_ALONE) {
        return Verdict::PASS;
    }
    if headers.is_fragment {
        if address.has(AddressFlags::CLUSTER_IP | AddressFlags::VIP) {
            count(Counter::Fragment);
        }
        return Verdict::PASS;
    }
    if let Some(verdict) = known::<F, L2>(packet, &headers) {
        return verdict;
    }
    if !device::is_for_host(packet) {
        return Verdict::PASS;
    }
    let verdict = open::at_ingress::<F, L2>(packet, &headers, address);
    if verdict.is_refusal() {
        refuse::tell_sender(packet, &headers, verdict, refuse::Sender::Outside)
    } else {
        verdict
    }
}

/// What becomes of a packet that belongs to a flow; None: it belongs to none.
#[inline(never)]
fn known<F: Family, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> Option<Verdict> {
    let flow = flow::of_packet::<F>(headers)?;
    let is_reply = flow.has(FlowFlags::REPLY);
    flow::note::<F>(&headers.key, &flow, headers.tcp_flags);
    let outcome = match (FlowKind::from_u8(flow.kind), is_reply) {
        (Some(FlowKind::Edge), false) => translate::in_place::<F, L2>(packet, headers, &flow),
        (Some(FlowKind::Whole), _) => Ok(translate::and_redirect::<F, L2>(packet, headers, &flow)),
        (Some(FlowKind::Host), true) => translate::to_host::<F, L2>(packet, headers, &flow),
        // Nothing that crosses an ingress hook; somebody pretends.
        (Some(FlowKind::Edge), true) | (Some(FlowKind::Host), false) | (None, _) => {
            Ok(Verdict::PASS)
        }
    };
    Some(outcome.into())
}
