//! The tc hooks, by tcx or clsact. Both chains go on after us unless we drop or redirect.

use aya_ebpf::bindings::TC_ACT_SHOT;
use aya_ebpf::programs::TcContext;

use super::{Verdict, egress, ingress};
use crate::family::{V4, V6};
use crate::packet::{ETH_P_IP, ETH_P_IPV6, Skb};

/// `TCX_NEXT`, and `TC_ACT_UNSPEC` for clsact: the next program decides.
const NEXT: i32 = -1;

#[inline(always)]
pub(crate) fn ingress<const L2: usize>(context: TcContext) -> i32 {
    let packet = Skb::<L2>::new(context.skb.skb);
    // Another node's, by a pair of devices whose other end has no hook of ours.
    packet.take_mark();
    let verdict = match packet.protocol() {
        _ if packet.is_tagged() => Verdict::PASS,
        ETH_P_IP => ingress::packet::<V4, L2>(packet),
        ETH_P_IPV6 => ingress::packet::<V6, L2>(packet),
        _ => Verdict::PASS,
    };
    code(packet, verdict)
}

#[inline(always)]
pub(crate) fn egress<const L2: usize>(context: TcContext) -> i32 {
    let packet = Skb::<L2>::new(context.skb.skb);
    let verdict = match packet.protocol() {
        _ if packet.is_tagged() || packet.take_mark() => Verdict::PASS,
        ETH_P_IP => egress::packet::<V4, L2>(packet),
        ETH_P_IPV6 => egress::packet::<V6, L2>(packet),
        _ => Verdict::PASS,
    };
    code(packet, verdict)
}

/// The program's return code. Of a drop, the reason is left where `netproxy trace` finds it after a test run
/// (`convert_skb_to___skb` in net/bpf/test_run.c); nobody else sees the packet again.
#[inline(always)]
fn code<const L2: usize>(packet: Skb<L2>, verdict: Verdict) -> i32 {
    if let Some(reason) = verdict.reason() {
        packet.leave_note(reason);
    }
    verdict.code(NEXT, TC_ACT_SHOT)
}
