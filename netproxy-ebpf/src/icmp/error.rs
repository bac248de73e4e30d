//! Telling a sender what became of its packet: that nobody serves it (port unreachable, whatever the
//! protocol, as kube-proxy's `reject` does: nft_reject_inet_eval in net/netfilter/nft_reject_inet.c), or,
//! where packets go past the stack, what a router would say. A segment of a connection that nobody knows is
//! answered with a reset instead.
//!
//! The packet itself becomes the error: cut to its headers, with new ones put before it. It comes
//! from the address that the packet was sent to, the one that the sender knows, and no more of them are
//! sent than the limit allows.

use aya_ebpf::bindings::{BPF_F_INGRESS, bpf_adj_room_mode};
use aya_ebpf::helpers::{
    bpf_csum_diff, bpf_redirect, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_load_bytes,
    bpf_skb_store_bytes,
};
use netproxy_common::Counter;
use netproxy_common::address::Address as _;
use netproxy_common::protocol::{SCTP, TCP};

use super::limit::is_within_limit;
use super::reset::turn_into_reset;
use super::{HEADER_BYTES, Icmp};
use crate::checksum::{complement, fold_short, word};
use crate::count::count;
use crate::hooks::Verdict;
use crate::maps::{QUOTE_BYTES, QUOTES};
use crate::packet::transport::checksum_offset;
use crate::packet::{Bytes as _, ETHERNET, Headers, Packet as _, Skb};
use crate::separate::separate_packet;

/// What is quoted of a TCP header: up to its checksum, which a packet that leaves it to the device
/// must keep (`__bpf_skb_min_len` in net/core/filter.c). Of SCTP: for the same reason its header, and of an
/// INIT its tag, by which alone the sender knows it (`sctp_err_lookup` in net/sctp/input.c). Of others, what
/// RFC 792 asks for.
const TCP_QUOTED: usize = 20;
const INIT_QUOTED: usize = 20;
const SCTP_QUOTED: usize = 12;
const QUOTED: usize = 8;

/// Where the sender is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Sender {
    /// Where the packet came from.
    Outside,
    /// On this host, which the packet was about to leave.
    ThisHost,
}

/// Sends an error instead of the packet that `refusal` drops, if there may be one.
#[inline(always)]
pub(crate) fn tell_sender<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    refusal: Verdict,
    sender: Sender,
) -> Verdict {
    let refusal = Verdict::to_bits(Some(refusal));
    Verdict::from_bits(tell(packet, headers, refusal, sender as u32)).unwrap_or(Verdict::PASS)
}

separate_packet! {
    /// As `tell_sender`.
    fn tell(packet, ref headers; refusal, sender) = answer
        as tell_sender_v4, tell_sender_v6, tell_sender_v4_l3, tell_sender_v6_l3;
}

#[inline(always)]
fn answer<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    refusal: u32,
    sender: u32,
) -> u32 {
    let answered = Verdict::from_bits(refusal)
        .map(|refusal| error_or(packet, headers, refusal, sender == Sender::ThisHost as u32));
    Verdict::to_bits(answered)
}

/// The error, on its way, or `refusal`.
#[inline(always)]
fn error_or<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    refusal: Verdict,
    is_for_host: bool,
) -> Verdict {
    if !is_answerable(packet, headers) {
        // Errors are not answered, and what we do not know is left alone.
        return Verdict::PASS;
    }
    if !is_within_limit() {
        count(Counter::RefusalLimited);
        return refusal;
    }
    let turned = if refusal.is(Counter::ConnectionReset) {
        turn_into_reset(packet, headers)
    } else {
        turn_into_error(packet, headers, refusal)
    };
    if turned.is_none() {
        return refusal;
    }
    refusal.count();
    count(Counter::Refused);
    let flags = if is_for_host {
        u64::from(BPF_F_INGRESS)
    } else {
        0
    };
    // SAFETY: no pointers.
    Verdict::redirect(unsafe { bpf_redirect(packet.ifindex(), flags) } as u32)
}

/// Whether this packet may be refused: sent to one host, and not ICMP but for echo requests (RFC 1122,
/// section 3.2.2).
#[inline(always)]
fn is_answerable<F: Icmp, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> bool {
    if packet.is_to_many() || headers.key.source == F::Address::UNSPECIFIED {
        return false;
    }
    if headers.key.protocol != F::PROTOCOL {
        return true;
    }
    let Some([kind, _]) = packet.read::<[u8; 2]>(headers.transport()) else {
        return false;
    };
    kind == F::ECHO_REQUEST
}

/// Makes the packet an error about itself, addressed to its sender; None: it could not be, and may
/// be in pieces.
#[inline(always)]
fn turn_into_error<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    refusal: Verdict,
) -> Option<()> {
    let quoted = match headers.key.protocol {
        TCP => TCP_QUOTED,
        SCTP if usize::from(headers.transport_bytes) >= INIT_QUOTED => INIT_QUOTED,
        SCTP => SCTP_QUOTED,
        _ => QUOTED,
    };
    let end = headers.transport() + quoted;
    let sum = sum_of_quote::<F, L2>(packet, headers, end)?;
    let macs: Option<[[u16; 3]; 2]> = if L2 == ETHERNET {
        Some(packet.read(0)?)
    } else {
        None
    };
    let grown = F::HEADER_BYTES + HEADER_BYTES;
    // SAFETY: the hook's own context.
    unsafe {
        if bpf_skb_change_tail(packet.skb(), end as u32, 0) != 0
            || bpf_skb_adjust_room(
                packet.skb(),
                grown as i32,
                bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
                0,
            ) != 0
        {
            return None;
        }
    }
    if let Some([to, from]) = macs {
        packet.write(0, [from, to])?;
    }
    restore::<F, L2>(packet)?;
    let (source, destination) = (&headers.key.destination, &headers.key.source);
    let length = (HEADER_BYTES + end - L2) as u16;
    packet.write(L2, F::header(F::PROTOCOL, source, destination, length))?;
    let (kind, mtu) = message::<F>(refusal);
    let sum =
        sum + word(kind) + word(mtu.to_be_bytes()) + F::pseudo_header(source, destination, length);
    // Of IPv4 the MTU is the second half of the last word, of IPv6 the whole.
    let icmp = [u16::from_ne_bytes(kind), !fold_short(sum), 0, mtu.to_be()];
    packet.write(L2 + F::HEADER_BYTES, icmp)
}

/// Type and code of the error that tells of `refusal`, and the MTU that it names.
#[inline(always)]
fn message<F: Icmp>(refusal: Verdict) -> ([u8; 2], u16) {
    match refusal.too_big_for() {
        0 if refusal.is(Counter::Expired) => (F::EXPIRED, 0),
        0 => (F::PORT_UNREACHABLE, 0),
        mtu => (F::TOO_BIG, mtu),
    }
}

/// The sum of the headers from the IP header to before `end`.
///
/// A checksum that is left to the device is filled in, if ever, over what remains of the packet:
/// then all of it adds up to the complement of what the field holds now (skb_checksum_help in
/// net/core/dev.c). It holds the sum of the pseudo header, by which it is told. SCTP's is zero then, and quoted
/// so: who leaves it to a device is on a veth's other end, where nobody fills it in, or on this host.
#[inline(always)]
fn sum_of_quote<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    end: usize,
) -> Option<u64> {
    let key = &headers.key;
    // Of a fragment none is left to the device (ip_do_fragment in net/ipv4/ip_output.c).
    if headers.has_ports
        && key.protocol != SCTP
        && !headers.piece.is_fragment()
        && headers.leaves_checksum_to_device(packet)
    {
        let checksum: [u8; 2] = packet.read(headers.transport() + checksum_offset(key.protocol))?;
        let before = sum_of_bytes(packet, L2, headers.transport())?;
        return Some(before + complement(checksum));
    }
    sum_of_bytes(packet, L2, end)
}

/// The sum of the bytes from `start` to before `end`, a multiple of four apart, and not zero.
#[inline(never)]
fn sum_of_bytes<const L2: usize>(packet: Skb<L2>, start: usize, end: usize) -> Option<u64> {
    // From four to what there is room for, without a comparison: what follows from one with zero,
    // kernels before 6.8 do not see (`regs_refine_cond_op` in kernel/bpf/verifier.c).
    let length = (end.wrapping_sub(start + 4) & (QUOTE_BYTES - 4)) + 4;
    let quote = QUOTES.get_ptr_mut(0)?;
    // SAFETY: this CPU's room, which nothing else uses; the length is masked to fit it.
    unsafe {
        let bytes = (&raw mut (*quote).bytes).cast::<u32>();
        if bpf_skb_load_bytes(packet.context(), start as u32, bytes.cast(), length as u32) != 0 {
            return None;
        }
        let sum = bpf_csum_diff(core::ptr::null_mut(), 0, bytes, length as u32, 0);
        u64::try_from(sum).ok()
    }
}

/// Writes the quoted IP header back to where it stands now. The room was made behind what the
/// kernel takes for the link layer (bpf_skb_net_hdr_push in net/core/filter.c), which on devices
/// without one may be a part of this header.
#[inline(always)]
fn restore<F: Icmp, const L2: usize>(packet: Skb<L2>) -> Option<()> {
    let at = L2 + F::HEADER_BYTES + HEADER_BYTES;
    let quote = QUOTES.get_ptr(0)?;
    let length = const {
        assert!(F::HEADER_BYTES <= QUOTE_BYTES);
        F::HEADER_BYTES as u32
    };
    // SAFETY: the hook's own context; the length fits the room.
    let failed = unsafe { bpf_skb_store_bytes(packet.skb(), at as u32, quote.cast(), length, 0) };
    (failed == 0).then_some(())
}
