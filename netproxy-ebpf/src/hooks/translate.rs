//! Carrying out a flow's translation on one packet.

use aya_ebpf::bindings::BPF_F_INGRESS;
use aya_ebpf::helpers::bpf_redirect;
use netproxy_common::{Counter, Flow};

use super::Verdict;
use crate::family::Family;
use crate::packet::{Headers, Packet as _, Skb};
use crate::{device, nat, route};

/// Rewrites; the stack goes on with the packet.
#[inline(always)]
pub(super) fn in_place<F: Family, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    flow: &Flow<F::Address>,
) -> Result<Verdict, Counter> {
    nat::rewrite(packet, headers, flow)?;
    Ok(Verdict::PASS)
}

/// Rewrites and sends the packet on past the stack, as a router would.
#[inline(never)]
pub(super) fn and_redirect<F: Family, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    flow: &Flow<F::Address>,
) -> Verdict {
    redirect(packet, headers, flow).into()
}

#[inline(always)]
fn redirect<F: Family, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    flow: &Flow<F::Address>,
) -> Result<Verdict, Counter> {
    let route = route::find::<F, _>(packet, &flow.source, &flow.destination)?;
    // An expired packet is the stack's to answer.
    if nat::decrement_ttl::<F, _>(packet).is_err() {
        return Ok(Verdict::PASS);
    }
    nat::rewrite(packet, headers, flow)?;
    Ok(Verdict::redirect(route.redirect(packet.is_from_host())))
}

/// Rewrites an answer to a process of this node, and makes it arrive on the device by which the
/// process's packets leave: with the frontend as source, rp_filter admits it nowhere else
/// (__fib_validate_source in net/ipv4/fib_frontend.c).
#[inline(always)]
pub(super) fn to_host<F: Family, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    flow: &Flow<F::Address>,
) -> Result<Verdict, Counter> {
    nat::rewrite(packet, headers, flow)?;
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
