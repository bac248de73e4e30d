//! Counting what services carry: a look into an array for each packet that is translated, on memory of this
//! CPU alone.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::bindings::__sk_buff;
use netproxy_common::flow::FlowFlags;
use netproxy_common::{Flow, FlowKind, Traffic};

use crate::family::Family;
use crate::hooks::Verdict;
use crate::maps::TRAFFIC;
use crate::packet::{Bytes as _, Frame, Packet as _, Skb};

/// What `count_packet` is told besides: the bytes before the IP header are in those below.
const ANSWERS: u32 = 1 << 8;
const OPENS: u32 = 1 << 9;

/// Counts a packet of `flow`, unless `verdict` drops it.
#[inline(always)]
pub(crate) fn of_flow<A: Copy, const L2: usize>(packet: Skb<L2>, flow: &Flow<A>, verdict: Verdict) {
    if verdict.reason().is_none() && flow.kind != FlowKind::Foreign as u8 {
        let answers = if flow.has(FlowFlags::REPLY) {
            ANSWERS
        } else {
            0
        };
        count_packet(packet.skb(), flow.service, L2 as u32 | answers);
    }
}

/// Counts a packet that opens a flow, if `verdict` says so.
#[inline(always)]
pub(crate) fn of_opening<F: Family, const L2: usize>(packet: Skb<L2>, verdict: Verdict) {
    if verdict.opens()
        && let Some(opening) = F::openings().get_ptr(0)
    {
        // SAFETY: this CPU's room, as its programs at tc hooks do not nest; who marked the verdict has filled it.
        let (service, kind) = unsafe { ((*opening).flow.service, (*opening).flow.kind) };
        if kind != FlowKind::Foreign as u8 {
            count_packet(packet.skb(), service, L2 as u32 | OPENS);
        }
    }
}

/// Counts a socket that was sent straight to an endpoint of `service`.
#[inline(always)]
pub(crate) fn of_socket(service: u32) {
    if let Some(traffic) = of_service(service) {
        // SAFETY: a live, aligned u64; atomic, as another process may come in between.
        unsafe {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*traffic).sockets, 1)
        };
    }
}

/// As `of_flow`, at XDP.
#[inline(always)]
pub(crate) fn of_frame<A: Copy>(frame: Frame, flow: &Flow<A>, verdict: Verdict) {
    if verdict.reason().is_none()
        && let Some(traffic) = of_service(flow.service)
    {
        // SAFETY: a live value of this CPU, where programs at tc and XDP hooks do not nest.
        let traffic = unsafe { &mut *traffic };
        let bytes = (frame.length() - Frame::IP) as u64;
        add(traffic, flow.has(FlowFlags::REPLY), 1, bytes);
    }
}

/// A function that the verifier walks once (see `separate.rs`).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_packet(skb: *mut __sk_buff, service: u32, what: u32) -> u32 {
    let Some(traffic) = of_service(service) else {
        return 0;
    };
    // SAFETY: the hook's context, and a live value of this CPU, where programs at tc hooks do not nest.
    let (length, segments, traffic) = unsafe { ((*skb).len, (*skb).gso_segs, &mut *traffic) };
    if what & OPENS != 0 {
        traffic.flows += 1;
    }
    let packets = u64::from(if segments == 0 { 1 } else { segments });
    let bytes = u64::from(length.wrapping_sub(what & 0xff));
    add(traffic, what & ANSWERS != 0, packets, bytes);
    0
}

#[inline(always)]
fn add(traffic: &mut Traffic, are_answers: bool, packets: u64, bytes: u64) {
    let volume = if are_answers {
        &mut traffic.to_clients
    } else {
        &mut traffic.to_endpoints
    };
    volume.packets += packets;
    volume.bytes += bytes;
}

#[inline(always)]
fn of_service(service: u32) -> Option<*mut Traffic> {
    TRAFFIC
        .get_ptr_mut(service)
        .or_else(|| TRAFFIC.get_ptr_mut(0))
}
