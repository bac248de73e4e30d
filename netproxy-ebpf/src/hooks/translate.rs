//! Carrying out a flow's translation on one packet, or on an ICMP error about one.

use aya_ebpf::bindings::BPF_F_INGRESS;
use aya_ebpf::helpers::bpf_redirect;
use netproxy_common::{Counter, Flow};

use super::Verdict;
use crate::family::Family;
use crate::icmp::Icmp;
use crate::icmp::about::About;
use crate::packet::{Headers, Packet as _, Parse, Piece, Skb};
use crate::{device, flow, fragment, nat, route};

/// What belongs to a flow.
pub(super) trait Translatable<F: Family, const L2: usize> {
    /// Takes note of it in the flow table.
    fn note(&self, flow: &mut Flow<F::Address>);
    /// Makes it carry what `to` holds.
    ///
    /// # Errors
    /// [`Counter::RewriteFailed`]; it may be half rewritten and must be dropped.
    fn rewrite(&self, packet: Skb<L2>, to: &Flow<F::Address>) -> Result<(), Counter>;
    /// How much a device must carry for it.
    fn bytes(&self, packet: Skb<L2>) -> u16;
}

/// A packet of the flow.
impl<F: Parse, const L2: usize> Translatable<F, L2> for Headers<F> {
    #[inline(always)]
    fn note(&self, flow: &mut Flow<F::Address>) {
        flow::note::<F>(&self.key, flow, self.tcp_flags);
    }

    #[inline(always)]
    fn rewrite(&self, packet: Skb<L2>, to: &Flow<F::Address>) -> Result<(), Counter> {
        match self.piece {
            Piece::Whole => {}
            Piece::First => fragment::remember(packet, self),
            Piece::Later => return nat::rewrite_data::<F, _>(packet, &self.key, to),
            Piece::Split => return Err(Counter::SplitHeader),
        }
        nat::rewrite(packet, self, to)
    }

    #[inline(always)]
    fn bytes(&self, packet: Skb<L2>) -> u16 {
        self.bytes(packet)
    }
}

/// An error about one of its packets.
impl<F: Icmp, const L2: usize> Translatable<F, L2> for About<'_, F> {
    /// Anybody can send one: it neither keeps a flow alive nor ends it.
    #[inline(always)]
    fn note(&self, _: &mut Flow<F::Address>) {}

    #[inline(always)]
    fn rewrite(&self, packet: Skb<L2>, to: &Flow<F::Address>) -> Result<(), Counter> {
        self.rewrite(packet, to)
    }

    #[inline(always)]
    fn bytes(&self, packet: Skb<L2>) -> u16 {
        self.error.bytes(packet)
    }
}

/// Rewrites a packet that enters the node; the stack goes on with it, and it leaves as it is.
#[inline(always)]
pub(super) fn entering<F: Family, const L2: usize>(
    packet: Skb<L2>,
    what: &impl Translatable<F, L2>,
    flow: &Flow<F::Address>,
) -> Result<Verdict, Counter> {
    packet.mark_translated();
    in_place(packet, what, flow)
}

/// Rewrites; the stack goes on with the packet.
#[inline(always)]
pub(super) fn in_place<F: Family, const L2: usize>(
    packet: Skb<L2>,
    what: &impl Translatable<F, L2>,
    flow: &Flow<F::Address>,
) -> Result<Verdict, Counter> {
    what.rewrite(packet, flow)?;
    Ok(Verdict::PASS)
}

/// Rewrites an answer to a client whose packets come in by another device than this one. The kernel has
/// routed it by the endpoint's address; where rules route by source, the frontend's may leave elsewhere.
#[inline(never)]
pub(super) fn by_frontend<F: Family, const L2: usize>(
    packet: Skb<L2>,
    what: &impl Translatable<F, L2>,
    flow: &Flow<F::Address>,
) -> Verdict {
    elsewhere(packet, what, flow).into()
}

#[inline(always)]
fn elsewhere<F: Family, const L2: usize>(
    packet: Skb<L2>,
    what: &impl Translatable<F, L2>,
    flow: &Flow<F::Address>,
) -> Result<Verdict, Counter> {
    // A bridge floods what it does not know to ports that lead nowhere.
    if !device::is_uplink(packet.ifindex()) || !device::is_uplink(flow.client_ifindex) {
        return in_place(packet, what, flow);
    }
    let bytes = what.bytes(packet);
    let route = match route::find::<F, _>(packet, &flow.source, &flow.destination, bytes) {
        Ok(route) if route.too_narrow != 0 => return Ok(Verdict::too_big(route.too_narrow)),
        Ok(route) if route.ifindex != packet.ifindex() => route,
        _ => return in_place(packet, what, flow),
    };
    what.rewrite(packet, flow)?;
    packet.mark_translated();
    Ok(Verdict::redirect(route.redirect(packet.is_from_host())))
}

/// Rewrites and sends the packet on past the stack, as a router would.
#[inline(never)]
pub(super) fn and_redirect<F: Family, const L2: usize>(
    packet: Skb<L2>,
    what: &impl Translatable<F, L2>,
    flow: &Flow<F::Address>,
) -> Verdict {
    redirect(packet, what, flow).into()
}

#[inline(always)]
fn redirect<F: Family, const L2: usize>(
    packet: Skb<L2>,
    what: &impl Translatable<F, L2>,
    flow: &Flow<F::Address>,
) -> Result<Verdict, Counter> {
    if nat::is_expired::<F, _>(packet) {
        return Ok(Verdict::drop(Counter::Expired));
    }
    let bytes = what.bytes(packet);
    let route = route::find::<F, _>(packet, &flow.source, &flow.destination, bytes)?;
    if route.too_narrow != 0 {
        return Ok(Verdict::too_big(route.too_narrow));
    }
    nat::decrement_ttl::<F, _>(packet)?;
    what.rewrite(packet, flow)?;
    packet.mark_translated();
    Ok(Verdict::redirect(route.redirect(packet.is_from_host())))
}

/// Rewrites an answer to a process of this node, and makes it arrive on the device by which the
/// process's packets leave: with the frontend as source, rp_filter admits it nowhere else
/// (__fib_validate_source in net/ipv4/fib_frontend.c).
#[inline(always)]
pub(super) fn to_host<F: Family, const L2: usize>(
    packet: Skb<L2>,
    what: &impl Translatable<F, L2>,
    flow: &Flow<F::Address>,
) -> Result<Verdict, Counter> {
    what.rewrite(packet, flow)?;
    if packet.ifindex() == flow.client_ifindex {
        return Ok(Verdict::PASS);
    }
    let Some(device) = device::find(flow.client_ifindex) else {
        return Ok(Verdict::PASS);
    };
    // Without a link layer on this side there is nothing that the other device could parse.
    if packet.set_destination_mac(device.mac).is_none() {
        return Ok(Verdict::PASS);
    }
    // SAFETY: no pointers.
    let action = unsafe { bpf_redirect(flow.client_ifindex, u64::from(BPF_F_INGRESS)) };
    Ok(Verdict::redirect(action as u32))
}
