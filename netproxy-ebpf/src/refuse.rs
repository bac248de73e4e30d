//! Telling a sender that nobody serves it: ICMP port unreachable, whatever the protocol, as
//! kube-proxy's `reject` does (nft_reject_inet_eval in net/netfilter/nft_reject_inet.c).
//!
//! The packet itself becomes the error: cut to its headers, with new ones put before it. It comes
//! from the address that was asked for, and no more of them are sent than the limit allows.

use aya_ebpf::bindings::{BPF_F_INGRESS, bpf_adj_room_mode};
use aya_ebpf::helpers::{
    bpf_csum_diff, bpf_ktime_get_coarse_ns, bpf_redirect, bpf_skb_adjust_room, bpf_skb_change_tail,
    bpf_skb_load_bytes, bpf_skb_store_bytes,
};
use netproxy_common::address::Address as _;
use netproxy_common::protocol::{SCTP, TCP};
use netproxy_common::{Counter, Ipv4, Ipv6};

use crate::checksum::{complement, fold_short, word};
use crate::count::count;
use crate::family::{Family, V4, V6};
use crate::hooks::Verdict;
use crate::maps::{QUOTE_BYTES, QUOTES, REFUSALS};
use crate::packet::transport::checksum_offset;
use crate::packet::{ETHERNET, Headers, Packet as _, Parse, Skb};

/// One error a millisecond on each CPU, and as many at once as come together in a burst; the kernel
/// sends as many (`icmp_msgs_per_sec`, `icmp_msgs_burst`).
const INTERVAL_NS: u64 = 1_000_000;
const BURST: u64 = 50;

/// Length of the ICMP header of an error.
const ICMP_BYTES: usize = 8;
/// What is quoted of a TCP header: up to its checksum, which a packet that leaves it to the device
/// must keep (`__bpf_skb_min_len` in net/core/filter.c); of others, what RFC 792 asks for.
const TCP_QUOTED: usize = 20;
const QUOTED: usize = 8;

/// Where the sender is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Where the packet came from.
    Outside,
    /// On this host, which the packet was about to leave.
    ThisHost,
}

/// ICMP of a family.
pub(crate) trait Icmp: Parse {
    /// Its protocol number.
    const PROTOCOL: u8;
    /// Type and code of "port unreachable".
    const PORT_UNREACHABLE: [u8; 2];
    /// The type of an echo request.
    const ECHO_REQUEST: u8;
    /// Length of an IP header without options.
    const HEADER_BYTES: usize;
    /// The header of a packet that carries `length` bytes of ICMP.
    type Header: Copy;
    fn header(source: &Self::Address, destination: &Self::Address, length: u16) -> Self::Header;
    /// What the pseudo header adds to the ICMP checksum.
    fn pseudo_header(source: &Self::Address, destination: &Self::Address, length: u16) -> u64;
}

/// Sends an error instead of the packet that `refusal` drops, if there may be one.
#[inline(never)]
pub(crate) fn tell_sender<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    refusal: Verdict,
    sender: Sender,
) -> Verdict {
    if !is_answerable(packet, headers) {
        // Errors are not answered, and what we do not know is left alone.
        return Verdict::PASS;
    }
    if !is_within_limit() {
        count(Counter::RefusalLimited);
        return refusal;
    }
    if turn_into_error(packet, headers).is_none() {
        return refusal;
    }
    refusal.count();
    count(Counter::Refused);
    let flags = match sender {
        Sender::Outside => 0,
        Sender::ThisHost => u64::from(BPF_F_INGRESS),
    };
    // SAFETY: no pointers.
    Verdict::redirect(unsafe { bpf_redirect(packet.ifindex(), flags) } as u32)
}

/// Whether this packet may be refused: sent to one host, and not ICMP but for echo requests (RFC 1122,
/// section 3.2.2), and not SCTP, which others may serve.
#[inline(always)]
fn is_answerable<F: Icmp, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> bool {
    if packet.is_to_many()
        || headers.key.source == F::Address::UNSPECIFIED
        || headers.key.protocol == SCTP
    {
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

/// A leaky bucket: each error moves the time at which the bucket is empty on by one interval.
#[inline(always)]
fn is_within_limit() -> bool {
    let Some(empty_ns) = REFUSALS.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: no arguments; a live word of this CPU.
    unsafe {
        let now_ns = bpf_ktime_get_coarse_ns();
        let start_ns = if *empty_ns > now_ns {
            *empty_ns
        } else {
            now_ns
        };
        if start_ns > now_ns + BURST * INTERVAL_NS {
            return false;
        }
        *empty_ns = start_ns + INTERVAL_NS;
    }
    true
}

/// Makes the packet an error about itself, addressed to its sender; None: it could not be, and may
/// be in pieces.
#[inline(always)]
fn turn_into_error<F: Icmp, const L2: usize>(packet: Skb<L2>, headers: &Headers<F>) -> Option<()> {
    let quoted = if headers.key.protocol == TCP {
        TCP_QUOTED
    } else {
        QUOTED
    };
    let end = headers.transport() + quoted;
    let sum = sum_of_quote::<F, L2>(packet, headers, end)?;
    let macs: Option<[[u16; 3]; 2]> = if L2 == ETHERNET {
        Some(packet.read(0)?)
    } else {
        None
    };
    let grown = F::HEADER_BYTES + ICMP_BYTES;
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
    let length = (ICMP_BYTES + end - L2) as u16;
    packet.write(L2, F::header(source, destination, length))?;
    let sum = sum + word(F::PORT_UNREACHABLE) + F::pseudo_header(source, destination, length);
    let [kind, code] = F::PORT_UNREACHABLE;
    let icmp = [u16::from_ne_bytes([kind, code]), !fold_short(sum), 0, 0];
    packet.write(L2 + F::HEADER_BYTES, icmp)
}

/// The sum of the headers from the IP header to before `end`.
///
/// A checksum that is left to the device is filled in, if ever, over what remains of the packet:
/// then all of it adds up to the complement of what the field holds now (skb_checksum_help in
/// net/core/dev.c). It holds the sum of the pseudo header, by which it is told.
#[inline(always)]
fn sum_of_quote<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    end: usize,
) -> Option<u64> {
    let key = &headers.key;
    if headers.has_ports {
        let at = headers.transport() + checksum_offset(key.protocol);
        let checksum: [u8; 2] = packet.read(at)?;
        let pseudo_header = F::sum(&key.source)
            + F::sum(&key.destination)
            + word([0, key.protocol])
            + word(headers.transport_bytes.to_be_bytes());
        if u16::from_ne_bytes(checksum) == fold_short(pseudo_header) {
            let before = sum_of_bytes(packet, L2, headers.transport())?;
            return Some(before + complement(checksum));
        }
    }
    sum_of_bytes(packet, L2, end)
}

/// The sum of the bytes from `start` to before `end`, a multiple of four apart.
#[inline(never)]
fn sum_of_bytes<const L2: usize>(packet: Skb<L2>, start: usize, end: usize) -> Option<u64> {
    if end <= start {
        return None;
    }
    // Before 6.8 the verifier learns no lower bound from "not zero".
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
    let at = L2 + F::HEADER_BYTES + ICMP_BYTES;
    let quote = QUOTES.get_ptr(0)?;
    let length = const {
        assert!(F::HEADER_BYTES <= QUOTE_BYTES);
        F::HEADER_BYTES as u32
    };
    // SAFETY: the hook's own context; the length fits the room.
    let failed = unsafe { bpf_skb_store_bytes(packet.skb(), at as u32, quote.cast(), length, 0) };
    (failed == 0).then_some(())
}

/// 16-bit fields as they stand in memory.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct HeaderV4 {
    version_tos: [u8; 2],
    total_length: u16,
    id: u16,
    dont_fragment: u16,
    ttl_protocol: [u8; 2],
    checksum: u16,
    source: [u16; 2],
    destination: [u16; 2],
}

const HOPS: u8 = 64;
/// Internetwork control, as the kernel marks its errors (RFC 1812, section 4.3.2.5).
const TOS: u8 = 0xc0;
const DONT_FRAGMENT: u16 = 0x4000;

impl Icmp for V4 {
    const PROTOCOL: u8 = 1;
    const PORT_UNREACHABLE: [u8; 2] = [3, 3];
    const ECHO_REQUEST: u8 = 8;
    const HEADER_BYTES: usize = size_of::<HeaderV4>();
    type Header = HeaderV4;

    #[inline(always)]
    fn header(source: &Ipv4, destination: &Ipv4, length: u16) -> HeaderV4 {
        let total_length = length + size_of::<HeaderV4>() as u16;
        let sum = word([0x45, TOS])
            + word(total_length.to_be_bytes())
            + word(DONT_FRAGMENT.to_be_bytes())
            + word([HOPS, Self::PROTOCOL])
            + Self::sum(source)
            + Self::sum(destination);
        HeaderV4 {
            version_tos: [0x45, TOS],
            total_length: total_length.to_be(),
            id: 0,
            dont_fragment: DONT_FRAGMENT.to_be(),
            ttl_protocol: [HOPS, Self::PROTOCOL],
            checksum: !fold_short(sum),
            source: source.to_wire(),
            destination: destination.to_wire(),
        }
    }

    #[inline(always)]
    fn pseudo_header(_: &Ipv4, _: &Ipv4, _: u16) -> u64 {
        0
    }
}

/// As `HeaderV4`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct HeaderV6 {
    version_class_flow: [u16; 2],
    payload_length: u16,
    next_header_hops: [u8; 2],
    source: [u16; 8],
    destination: [u16; 8],
}

impl Icmp for V6 {
    const PROTOCOL: u8 = 58;
    const PORT_UNREACHABLE: [u8; 2] = [1, 4];
    const ECHO_REQUEST: u8 = 128;
    const HEADER_BYTES: usize = size_of::<HeaderV6>();
    type Header = HeaderV6;

    #[inline(always)]
    fn header(source: &Ipv6, destination: &Ipv6, length: u16) -> HeaderV6 {
        HeaderV6 {
            version_class_flow: [0x6000_u16.to_be(), 0],
            payload_length: length.to_be(),
            next_header_hops: [Self::PROTOCOL, HOPS],
            source: source.to_wire(),
            destination: destination.to_wire(),
        }
    }

    #[inline(always)]
    fn pseudo_header(source: &Ipv6, destination: &Ipv6, length: u16) -> u64 {
        Self::sum(source)
            + Self::sum(destination)
            + word(length.to_be_bytes())
            + word([0, Self::PROTOCOL])
    }
}
