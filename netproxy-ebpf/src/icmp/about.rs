//! Errors of others about packets of a flow: they quote a packet as we sent it, and go to whom we sent it
//! for; the sender gets to see its own.
//!
//! What is changed is what netfilter changes (nf_nat_icmp_reply_translation in
//! net/netfilter/nf_nat_core.c): the quoted packet is turned back, and the error goes the way of the
//! flow's own packets. Hence it comes from the frontend, whichever router sent it.

use netproxy_common::address::Address as _;
use netproxy_common::protocol::{SCTP, UDP};
use netproxy_common::{Counter, Flow, FlowKey};

use super::Icmp;
use crate::checksum::{complement, fold_short, word};
use crate::count::count;
use crate::crc32c;
use crate::packet::transport::checksum_offset;
use crate::packet::{Bytes, Headers, Packet, Quoted};
use crate::{flow, nat};

/// What of a quoted transport header there is at least: the ports.
const LEAST_QUOTED: usize = 8;
/// Headers of an error and of what it quotes, as far as they are looked at.
const LOOKED_AT: usize = 192;
/// Offset of the checksum in an ICMP header.
const CHECKSUM: usize = 2;

/// An error about a packet with ports.
pub(crate) struct About<'a, F: Icmp> {
    /// The error's own headers.
    pub(crate) error: &'a Headers<F>,
    /// The quoted ones.
    quoted: Headers<F>,
}

impl<'a, F: Icmp> About<'a, F> {
    /// What the packet, if it is an error, is about; None: nothing that may be a flow's, or that can be
    /// told (which is counted).
    #[inline(always)]
    pub(crate) fn read<P: Packet>(packet: P, error: &'a Headers<F>) -> Option<Self> {
        // None is so long that it is cut in pieces.
        if error.key.protocol != F::PROTOCOL || error.piece.is_fragment() {
            return None;
        }
        let [kind, _]: [u8; 2] = packet.read(error.transport())?;
        if !F::is_error(kind) {
            return None;
        }
        packet.make_accessible(LOOKED_AT);
        let mut quoted = Headers::blank();
        // Behind options of its own it would be elsewhere.
        if error.transport() != P::IP + F::HEADER_BYTES || !quoted.fill(Quoted::<F, P>::by(packet))
        {
            count(Counter::IcmpUnread);
            return None;
        }
        let is_ours = quoted.has_ports
            // Of a first fragment, too: it may be what is quoted of a packet that left here whole.
            && quoted.piece.has_header()
            && quoted.transport() + LEAST_QUOTED <= end(error)
            // An error goes to whom the packet came from; netfilter asks for it as well
            // (nf_conntrack_inet_error in net/netfilter/nf_conntrack_proto_icmp.c).
            && quoted.key.source == error.key.destination;
        is_ours.then_some(Self { error, quoted })
    }

    /// The half that translates the answers to the packet that it is about.
    #[inline(always)]
    pub(crate) fn flow(&self) -> Option<&'static mut Flow<F::Address>> {
        flow::of_answer_to::<F>(&self.quoted.key)
    }

    /// Turns the quoted packet back, and sends the error where `to` sends the answers to it. A function of
    /// its own for its stack.
    ///
    /// # Errors
    /// [`Counter::RewriteFailed`]; the packet may be half rewritten and must be dropped.
    #[inline(never)]
    pub(crate) fn rewrite<P: Packet>(
        &self,
        packet: P,
        to: &Flow<F::Address>,
    ) -> Result<(), Counter> {
        write(packet, self, to).ok_or(Counter::RewriteFailed)?;
        count(Counter::IcmpTranslated);
        Ok(())
    }
}

/// Every change is made up for by a checksum of its own or by that of the error, which covers all that is
/// quoted; so the sum of the whole packet, which the kernel may know, stays.
#[inline(always)]
fn write<F: Icmp, P: Packet>(packet: P, about: &About<'_, F>, to: &Flow<F::Address>) -> Option<()> {
    let mut quoted = turn_back(packet, about, to)?;
    let mut addresses = 0;
    replace::<F, P>(
        packet,
        destination::<F>(P::IP),
        &to.destination,
        &mut addresses,
    )?;
    if is_source_translated(&about.quoted.key, to) {
        replace::<F, P>(packet, P::IP + F::SOURCE_OFFSET, &to.source, &mut addresses)?;
    }
    if F::HAS_HEADER_CHECKSUM {
        nat::adjust_header_checksum(packet, addresses)?;
    } else {
        // The pseudo header.
        quoted += addresses;
    }
    let at = about.error.transport() + CHECKSUM;
    let old: u16 = packet.read(at)?;
    packet.write(at, !fold_short(u64::from(!old) + quoted))
}

/// Makes the quoted packet one that packets with the tuple of `to` answer. Yields what this adds to a sum
/// over it.
#[inline(always)]
fn turn_back<F: Icmp, P: Packet>(
    packet: P,
    about: &About<'_, F>,
    to: &Flow<F::Address>,
) -> Option<u64> {
    let ip = Quoted::<F, P>::IP;
    let mut addresses = 0;
    replace::<F, P>(
        packet,
        ip + F::SOURCE_OFFSET,
        &to.destination,
        &mut addresses,
    )?;
    replace::<F, P>(packet, destination::<F>(ip), &to.source, &mut addresses)?;
    let header = if F::HAS_HEADER_CHECKSUM {
        nat::adjust_header_checksum(Quoted::<F, P>::by(packet), addresses)?;
        0
    } else {
        addresses
    };
    let key = &about.quoted.key;
    let ports = complement(key.source_port.bytes)
        + complement(key.destination_port.bytes)
        + word(to.destination_port.bytes)
        + word(to.source_port.bytes);
    packet.write(
        about.quoted.transport(),
        [to.destination_port, to.source_port],
    )?;
    let end = end(about.error);
    let mut sum = header + ports;
    if key.protocol == SCTP {
        adjust_crc32c(packet, &about.quoted, end, to, &mut sum)?;
    } else {
        sum += adjust_checksum(packet, &about.quoted, end, addresses + ports)?;
    }
    Some(sum)
}

/// Overwrites the address at `offset`, and adds to `difference` what this adds to a sum over it. A
/// function of its own for its stack.
#[inline(never)]
fn replace<F: Icmp, P: Packet>(
    packet: P,
    offset: usize,
    address: &F::Address,
    difference: &mut u64,
) -> Option<()> {
    let old = F::Address::from_wire(packet.read(offset)?);
    *difference += F::complement_sum(&old) + F::sum(address);
    packet.write(offset, address.to_wire())
}

/// Offset of the destination of the IP header at `ip`.
#[inline(always)]
const fn destination<F: Icmp>(ip: usize) -> usize {
    ip + F::SOURCE_OFFSET + size_of::<F::Address>()
}

/// Where an error ends, by its IP header.
#[inline(always)]
fn end<F: Icmp>(error: &Headers<F>) -> usize {
    error.transport() + usize::from(error.transport_bytes)
}

/// Whether `to` also changes the source of the packets that answer the `quoted` one.
#[inline(always)]
fn is_source_translated<A: PartialEq + Copy>(quoted: &FlowKey<A>, to: &Flow<A>) -> bool {
    quoted.destination != to.source || quoted.destination_port != to.source_port
}

/// Adds `difference` to what the transport checksum of the quoted packet covers, where there is one and
/// it is quoted. Yields what this adds to a sum over the checksum's field.
#[inline(always)]
fn adjust_checksum<F: Icmp, P: Packet>(
    packet: P,
    quoted: &Headers<F>,
    end: usize,
    difference: u64,
) -> Option<u64> {
    let field = quoted.transport() + checksum_offset(quoted.key.protocol);
    if field + 2 > end {
        return Some(0);
    }
    let old: [u8; 2] = packet.read(field)?;
    let is_udp = quoted.key.protocol == UDP;
    if is_udp && old == [0, 0] {
        return Some(0);
    }
    let new = match !fold_short(u64::from(!u16::from_ne_bytes(old)) + difference) {
        // Which would mean that there is none.
        0 if is_udp => u16::MAX,
        new => new,
    };
    packet.write(field, new)?;
    Some(complement(old) + u64::from(new))
}

/// Makes up for new ports in the CRC32c of a quoted SCTP packet, where that is quoted, and adds to `sum` what
/// this adds to a sum over it. It covers as much as there was of the packet, not of the quote. A function of
/// its own for its stack.
#[inline(never)]
fn adjust_crc32c<F: Icmp, P: Packet>(
    packet: P,
    quoted: &Headers<F>,
    end: usize,
    to: &Flow<F::Address>,
    sum: &mut u64,
) -> Option<()> {
    let field = quoted.transport() + checksum_offset(SCTP);
    if field + size_of::<crc32c::Field>() > end {
        return Some(());
    }
    let old: crc32c::Field = packet.read(field)?;
    if old == crc32c::NONE {
        return Some(());
    }
    let difference = crc32c::difference(
        [
            quoted.key.source_port.bytes,
            quoted.key.destination_port.bytes,
        ],
        [to.destination_port.bytes, to.source_port.bytes],
    );
    let new = crc32c::changed(old, difference, quoted.transport_bytes);
    for (old, new) in old.into_iter().zip(new) {
        *sum += u64::from(!old) + u64::from(new);
    }
    packet.write(field, new)
}
