//! A TCP segment made the answer that ends its connection (RFC 9293, section 3.5.2): what a host says that
//! knows nothing of it.

use aya_ebpf::helpers::bpf_skb_change_tail;
use netproxy_common::Be16;
use netproxy_common::protocol::TCP;

use super::Icmp;
use crate::checksum::{fold_short, word};
use crate::packet::transport::checksum_offset;
use crate::packet::{Bytes as _, ETHERNET, Headers, Packet as _, RST, Skb};

/// A TCP header without options.
#[repr(C)]
#[derive(Clone, Copy)]
struct Reset {
    ports: [Be16; 2],
    sequence: [u16; 2],
    acknowledgement: [u16; 2],
    offset_flags: [u8; 2],
    window: u16,
    checksum: u16,
    urgent: u16,
}

const RESET_BYTES: u16 = size_of::<Reset>() as u16;
/// Header length, in its upper half in words.
const OFFSET: u8 = (RESET_BYTES as u8 / 4) << 4;
/// Where what the segment acknowledges stands.
const ACKNOWLEDGEMENT: usize = 8;

/// Makes the segment, which acknowledges something, the reset of its connection; None: it could not be, and
/// may be in pieces.
#[inline(always)]
pub(super) fn turn_into_reset<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
) -> Option<()> {
    let transport = L2 + F::HEADER_BYTES;
    if headers.transport() != transport {
        return None;
    }
    let key = &headers.key;
    let acknowledged: [u16; 2] = packet.read(transport + ACKNOWLEDGEMENT)?;
    let left_to_device = is_left_to_device::<F, L2>(packet, headers)?;
    let macs: Option<[[u16; 3]; 2]> = if L2 == ETHERNET {
        Some(packet.read(0)?)
    } else {
        None
    };
    let end = transport + size_of::<Reset>();
    // SAFETY: the hook's own context.
    if unsafe { bpf_skb_change_tail(packet.skb(), end as u32, 0) } != 0 {
        return None;
    }
    if let Some([to, from]) = macs {
        packet.write(0, [from, to])?;
    }
    let header = F::header(TCP, &key.destination, &key.source, RESET_BYTES);
    packet.write(L2, header)?;
    let mut reset = Reset {
        ports: [key.destination_port, key.source_port],
        sequence: acknowledged,
        acknowledgement: [0; 2],
        offset_flags: [OFFSET, RST],
        window: 0,
        checksum: 0,
        urgent: 0,
    };
    let pseudo_header = pseudo_header::<F>(headers, RESET_BYTES);
    reset.checksum = if left_to_device {
        // It is filled in over the header and this (skb_checksum_help in net/core/dev.c).
        fold_short(pseudo_header)
    } else {
        let [source, destination] = reset.ports;
        let sum = pseudo_header
            + word(source.bytes)
            + word(destination.bytes)
            + u64::from(acknowledged[0])
            + u64::from(acknowledged[1])
            + word(reset.offset_flags);
        !fold_short(sum)
    };
    packet.write(transport, reset)
}

/// Whether the sender left the checksum to the device: it holds the sum of the pseudo header then.
#[inline(always)]
fn is_left_to_device<F: Icmp, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
) -> Option<bool> {
    let checksum: u16 = packet.read(headers.transport() + checksum_offset(TCP))?;
    let bytes = if packet.are_segmented() {
        packet.length().wrapping_sub(headers.transport()) as u16
    } else {
        headers.transport_bytes
    };
    Some(checksum == fold_short(pseudo_header::<F>(headers, bytes)))
}

#[inline(always)]
fn pseudo_header<F: Icmp>(headers: &Headers<F>, bytes: u16) -> u64 {
    F::sum(&headers.key.source)
        + F::sum(&headers.key.destination)
        + word([0, TCP])
        + word(bytes.to_be_bytes())
}
