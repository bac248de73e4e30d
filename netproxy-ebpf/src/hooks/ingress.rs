//! Packets entering the node: clients' packets are translated here, and the answers of whole and
//! host flows are turned back.

use netproxy_common::flow::FlowFlags;
use netproxy_common::{AddressFlags, Counter, FlowKind};

use super::{Verdict, open, translate};
use crate::count::count;
use crate::packet::{Headers, Packet as _, Parse, Skb};
use crate::{device, flow, networks, service};

#[inline(always)]
pub(super) fn packet<F: Parse, const L2: usize>(packet: Skb<L2>) -> Verdict {
    packet.make_accessible(super::HEADER_BYTES);
    let mut headers = Headers::<F>::blank();
    if !headers.fill(packet) {
        return Verdict::PASS;
    }
    let address = service::address::<F>(&headers.key.destination);
    if address.bits == 0 {
        return unknown(&headers);
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
    match known::<F, L2>(packet, &headers) {
        Some(verdict) => verdict,
        None if !device::is_for_host(packet) => Verdict::PASS,
        None => open::at_ingress::<F, L2>(packet, &headers, address),
    }
}

/// A packet to an address that means nothing here, unless cluster IPs are taken from its network:
/// then it would go astray. A segment of a connection may be on its way through kube-proxy's rules.
#[inline(always)]
fn unknown<F: Parse>(headers: &Headers<F>) -> Verdict {
    if headers.opens() && networks::is_service::<F>(&headers.key.destination) {
        Verdict::drop(Counter::UnusedAddress)
    } else {
        Verdict::PASS
    }
}

/// What becomes of a packet that belongs to a flow; None: it belongs to none.
#[inline(never)]
fn known<F: Parse, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> Option<Verdict> {
    let mut flow = flow::find::<F>(&headers.key)?;
    let is_reply = flow.has(FlowFlags::REPLY);
    if flow::is_over(&flow, headers.key.protocol, headers.tcp_flags) {
        flow::forget::<F>(&headers.key, &flow);
        return None;
    }
    flow::note::<F>(&headers.key, &mut flow, headers.tcp_flags);
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
