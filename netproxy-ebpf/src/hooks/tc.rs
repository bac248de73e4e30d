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
    let verdict = match packet.protocol() {
        _ if packet.is_tagged() => Verdict::PASS,
        ETH_P_IP => ingress::packet::<V4, L2>(packet),
        ETH_P_IPV6 => ingress::packet::<V6, L2>(packet),
        _ => Verdict::PASS,
    };
    verdict.code(NEXT, TC_ACT_SHOT)
}

#[inline(always)]
pub(crate) fn egress<const L2: usize>(context: TcContext) -> i32 {
    let packet = Skb::<L2>::new(context.skb.skb);
    let verdict = match packet.protocol() {
        _ if packet.is_tagged() => Verdict::PASS,
        ETH_P_IP => egress::packet::<V4, L2>(packet),
        ETH_P_IPV6 => egress::packet::<V6, L2>(packet),
        _ => Verdict::PASS,
    };
    verdict.code(NEXT, TC_ACT_SHOT)
}
