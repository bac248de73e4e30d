//! Rewriting a packet: addresses, ports, checksums, hop limit.

use aya_ebpf::bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR};
use netproxy_common::address::Address as _;
use netproxy_common::protocol::{SCTP, UDP};
use netproxy_common::{Counter, Flow, FlowKey};

use crate::checksum::{complement, fold, fold_short, word};
use crate::crc32c;
use crate::family::Family;
use crate::packet::transport::checksum_offset;
use crate::packet::{Bytes, Headers, Packet};

/// Makes the packet carry the tuple that `to` holds instead of its own. A function of its own for
/// its stack.
///
/// # Errors
/// [`Counter::SctpFragment`]; [`Counter::RewriteFailed`]: the packet may be half rewritten and must be
/// dropped.
#[inline(never)]
pub(crate) fn rewrite<F: Family, P: Packet>(
    packet: P,
    headers: &Headers<F>,
    to: &Flow<F::Address>,
) -> Result<(), Counter> {
    let old = &headers.key;
    let keeps_ports =
        old.source_port == to.source_port && old.destination_port == to.destination_port;
    if old.protocol == SCTP && headers.piece.is_fragment() && !keeps_ports {
        return Err(Counter::SctpFragment);
    }
    write_addresses::<F, P>(packet, old, to)
        .and_then(|()| packet.write(headers.transport(), [to.source_port, to.destination_port]))
        .ok_or(Counter::RewriteFailed)?;
    let checksum = headers.transport() + checksum_offset(old.protocol);
    if old.protocol == SCTP {
        return crc32c::adjust(packet, checksum, headers.transport_bytes, old, to)
            .ok_or(Counter::RewriteFailed);
    }
    let addresses = fold(difference::<F>(old, to));
    let ports = fold(
        complement(old.source_port.bytes)
            + complement(old.destination_port.bytes)
            + word(to.source_port.bytes)
            + word(to.destination_port.bytes),
    );
    // A UDP checksum of zero means none, and stays so.
    let udp = if old.protocol == UDP {
        u64::from(BPF_F_MARK_MANGLED_0)
    } else {
        0
    };
    // Two calls: with CHECKSUM_PARTIAL the field holds the pseudo header's sum only, which ports
    // are no part of (inet_proto_csum_replace_by_diff in net/core/utils.c).
    let addresses_flags = udp | u64::from(BPF_F_PSEUDO_HDR) | F::checksum_flags();
    packet
        .adjust_checksum(checksum, addresses, addresses_flags)
        .and_then(|()| {
            if keeps_ports {
                return Ok(());
            }
            packet.adjust_checksum(checksum, ports, udp)
        })
        .map_err(|()| Counter::RewriteFailed)
}

/// As `rewrite`, of a fragment behind the transport header: that has the ports, and the checksum of the
/// whole datagram, which makes up for these addresses as well.
///
/// # Errors
/// [`Counter::RewriteFailed`]; the packet may be half rewritten and must be dropped.
#[inline(never)]
pub(crate) fn rewrite_data<F: Family, P: Packet>(
    packet: P,
    old: &FlowKey<F::Address>,
    to: &Flow<F::Address>,
) -> Result<(), Counter> {
    write_addresses::<F, P>(packet, old, to).ok_or(Counter::RewriteFailed)?;
    if !F::HAS_HEADER_CHECKSUM {
        packet.adjust_sum(fold(difference::<F>(old, to)));
    }
    Ok(())
}

/// Whether no hop is left to the packet: it must not be forwarded any further. What a process of this
/// node sends may go one hop, which it has not gone yet.
#[inline(always)]
pub(crate) fn is_expired<F: Family, P: Packet>(packet: P) -> bool {
    let ttl: Option<u8> = packet.read(P::IP + F::TTL_OFFSET);
    !packet.is_from_host() && ttl.is_none_or(|ttl| ttl <= 1)
}

/// Takes one from the TTL or hop limit, as a router does, of a packet that is not expired.
///
/// # Errors
/// [`Counter::RewriteFailed`].
#[inline(always)]
pub(crate) fn decrement_ttl<F: Family, P: Packet>(packet: P) -> Result<(), Counter> {
    if packet.is_from_host() {
        return Ok(());
    }
    take_hop::<F, P>(packet).ok_or(Counter::RewriteFailed)
}

#[inline(always)]
fn take_hop<F: Family, P: Packet>(packet: P) -> Option<()> {
    let at = P::IP + F::TTL_OFFSET;
    let ttl: u8 = packet.read(at)?;
    if F::HAS_HEADER_CHECKSUM {
        // The TTL is the first byte of its 16-bit word, whichever way the machine reads it.
        let difference = complement([ttl, 0]) + word([ttl.wrapping_sub(1), 0]);
        adjust_header_checksum(packet, difference)?;
    }
    packet.write(at, ttl.wrapping_sub(1))
}

#[inline(always)]
fn write_addresses<F: Family, P: Packet>(
    packet: P,
    old: &FlowKey<F::Address>,
    to: &Flow<F::Address>,
) -> Option<()> {
    if F::HAS_HEADER_CHECKSUM {
        adjust_header_checksum(packet, difference::<F>(old, to))?;
    }
    packet.write(
        P::IP + F::SOURCE_OFFSET,
        [to.source.to_wire(), to.destination.to_wire()],
    )
}

/// What the addresses of `to` instead of the `old` ones add to a sum over them.
#[inline(always)]
fn difference<F: Family>(old: &FlowKey<F::Address>, to: &Flow<F::Address>) -> u64 {
    F::complement_sum(&old.source)
        + F::complement_sum(&old.destination)
        + F::sum(&to.source)
        + F::sum(&to.destination)
}

/// Offset of the checksum in the IPv4 header.
const HEADER_CHECKSUM: usize = 10;

/// Adds `difference` to what the checksum of an IPv4 header covers.
#[inline(always)]
pub(crate) fn adjust_header_checksum<B: Bytes>(packet: B, difference: u64) -> Option<()> {
    let at = B::IP + HEADER_CHECKSUM;
    let old: u16 = packet.read(at)?;
    // RFC 1624, equation 3: HC' = ~(~HC + ~m + m').
    packet.write(at, !fold_short(u64::from(!old) + difference))
}
