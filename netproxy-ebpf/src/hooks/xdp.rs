//! The XDP hook of uplinks: packets of whole flows that are known are translated and sent on before the kernel
//! has made anything of them. All else goes on to tc, untouched: what opens flows, what is fragmented, what has
//! to be answered, what has no way out from here.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::programs::XdpContext;
use netproxy_common::protocol::SCTP;
use netproxy_common::{AddressFlags, Counter, DeviceFlags, Flow, FlowKind};

use super::Verdict;
use crate::family::{Family, V4, V6};
use crate::packet::{ETH_P_IP, ETH_P_IPV6, Frame, Headers, Packet as _, Parse, Piece};
use crate::{device, drops, flow, nat, route, service, traffic};

#[inline(always)]
pub(crate) fn ingress(context: XdpContext) -> u32 {
    let frame = Frame::new(context.ctx);
    let verdict = match frame.protocol() {
        ETH_P_IP => packet::<V4>(frame),
        ETH_P_IPV6 => packet::<V6>(frame),
        _ => None,
    };
    let verdict = verdict.unwrap_or(Verdict::PASS);
    verdict.code(XDP_PASS as i32, XDP_DROP as i32) as u32
}

/// What becomes of a frame; None: tc decides.
#[inline(always)]
fn packet<F: Parse>(frame: Frame) -> Option<Verdict> {
    let mut headers = Headers::<F>::blank();
    if !headers.fill(frame) {
        return None;
    }
    // Of SCTP nothing tells here whether the checksum is left to a device.
    if !headers.has_ports || !matches!(headers.piece, Piece::Whole) || headers.key.protocol == SCTP
    {
        return None;
    }
    let address = service::address::<F>(&headers.key.destination);
    if address.bits == 0 || address.has(AddressFlags::LEFT_ALONE) {
        return None;
    }
    let mut flow = flow::of_packet::<F>(&headers)?;
    if flow.kind != FlowKind::Whole as u8
        || nat::is_expired::<F, _>(frame)
        || headers.leaves_checksum_to_device(frame)
    {
        return None;
    }
    let way =
        route::to_neighbour::<F>(frame, &flow.source, &flow.destination, headers.bytes(frame))?;
    let action = leave_by(frame, way.ifindex)?;
    // From here on the packet is ours.
    flow::note::<F>(&headers.key, &mut flow, headers.tcp_flags);
    let verdict = match rewrite(frame, &headers, &flow, way.macs) {
        Ok(()) => Verdict::redirect(action),
        Err(reason) => Verdict::drop(reason),
    };
    traffic::of_frame(frame, &flow, verdict);
    Some(drops::of_flow::<F>(&flow, verdict))
}

/// How a frame leaves by the device: back by the one that it came in by, or by another that sends frames of
/// others. The kernel drops, and tells nobody, what is sent to one that does not (`xdp_do_redirect`).
#[inline(always)]
fn leave_by(frame: Frame, ifindex: u32) -> Option<u32> {
    if ifindex == frame.ifindex() {
        return Some(XDP_TX);
    }
    if !device::find(ifindex).is_some_and(|device| device.flags & DeviceFlags::SENDS_FRAMES != 0) {
        return None;
    }
    // SAFETY: no pointers.
    Some(unsafe { bpf_redirect(ifindex, 0) } as u32)
}

#[inline(always)]
fn rewrite<F: Family>(
    frame: Frame,
    headers: &Headers<F>,
    to: &Flow<F::Address>,
    macs: [[u8; 6]; 2],
) -> Result<(), Counter> {
    nat::decrement_ttl::<F, _>(frame)?;
    nat::rewrite(frame, headers, to)?;
    frame.set_macs(macs).ok_or(Counter::RewriteFailed)
}
