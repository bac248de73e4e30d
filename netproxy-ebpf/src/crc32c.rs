//! The checksum of SCTP: a CRC32c over its header and chunks, without a pseudo header. Addresses are no part
//! of it, and what new ports change is reckoned from them and the length alone.

use netproxy_common::crc32c;
use netproxy_common::{Flow, FlowKey};

use crate::packet::Packet;

/// The checksum as it is read and written: headers are aligned to two bytes.
pub(crate) type Field = [u16; 2];

/// What a checksum holds that is not computed yet.
pub(crate) const NONE: Field = [0; 2];

/// Makes up at `field` for the ports of `to` in the place of those of `old`, in a packet with `bytes` bytes
/// from the SCTP header on.
///
/// A local socket leaves the checksum zero for a device that computes it (`CHECKSUM_PARTIAL` with
/// `csum_not_inet`: `sctp_packet_pack` in net/sctp/output.c), and so it must stay: where a device does not,
/// the kernel does, over the field as it is (`skb_crc32c_csum_help` in net/core/dev.c); segments get one each
/// (`sctp_gso_segment` in net/sctp/offload.c). On veth nobody does, and the receiver does not look
/// (`skb_csum_unnecessary`).
#[inline(always)]
pub(crate) fn adjust<A: Copy, P: Packet>(
    packet: P,
    field: usize,
    bytes: u16,
    old: &FlowKey<A>,
    to: &Flow<A>,
) -> Option<()> {
    let difference = difference(
        [old.source_port.bytes, old.destination_port.bytes],
        [to.source_port.bytes, to.destination_port.bytes],
    );
    if difference == 0 {
        return Some(());
    }
    let checksum: Field = packet.read(field)?;
    if checksum == NONE && is_left_to_device(packet, field)? {
        return Some(());
    }
    packet.write(field, changed(checksum, difference, bytes))
}

/// What new ports make of `checksum` in a packet of `bytes` bytes.
#[inline(always)]
pub(crate) fn changed(checksum: Field, difference: u32, bytes: u16) -> Field {
    let change = change_of_crc32c(difference, u32::from(bytes));
    let [low, high] = [change as u16, (change >> 16) as u16];
    [checksum[0] ^ low, checksum[1] ^ high]
}

/// By what the first four bytes of an SCTP header change with its ports, as they stand in memory.
#[inline(always)]
pub(crate) fn difference(old: [[u8; 2]; 2], new: [[u8; 2]; 2]) -> u32 {
    let word = |[[a, b], [c, d]]: [[u8; 2]; 2]| u32::from_ne_bytes([a, b, c, d]);
    word(old) ^ word(new)
}

/// Whether the checksum at `field`, which is zero, is one that a device is to fill in, and not by chance: an
/// Internet checksum there would change by what is added to it, unless it were left to the device
/// (`inet_proto_csum_replace_by_diff` in net/core/utils.c). The kernel has no other way to tell.
#[inline(always)]
fn is_left_to_device<P: Packet>(packet: P, field: usize) -> Option<bool> {
    packet.adjust_checksum(field, 1, 0).ok()?;
    let checksum: Field = packet.read(field)?;
    Some(checksum == NONE)
}

/// As [`crc32c::change`], on numbers in the machine's order: a function of its own, which the verifier walks
/// once (see `separate.rs`).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn change_of_crc32c(difference: u32, bytes: u32) -> u32 {
    u32::from_ne_bytes(crc32c::change(difference.to_ne_bytes(), bytes as u16))
}
