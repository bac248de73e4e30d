//! TCP (RFC 9293), UDP (RFC 768) and SCTP headers, as far as translation needs them.

use netproxy_common::Be16;
use netproxy_common::protocol::{SCTP, TCP, UDP, has_ports};

use super::Bytes;
use super::sctp::{self, Sctp};
use crate::family::Family;

#[repr(C)]
#[derive(Clone, Copy)]
struct Tcp {
    source: Be16,
    destination: Be16,
    sequence: [u16; 2],
    acknowledgement: [u16; 2],
    offset: u8,
    flags: u8,
    window: u16,
    checksum: u16,
    urgent: u16,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Udp {
    source: Be16,
    destination: Be16,
    length: u16,
    checksum: u16,
}

/// What the transport header says.
pub(super) struct Ports {
    pub(super) source: Be16,
    pub(super) destination: Be16,
    /// As in [`super::Headers`].
    pub(super) tcp_flags: u8,
    /// Whether services balance this protocol.
    pub(super) are_there: bool,
}

impl Ports {
    /// For a packet whose transport header is not at hand, or has no ports.
    #[inline(always)]
    pub(super) fn none(protocol: u8) -> Self {
        Self {
            source: Be16::ZERO,
            destination: Be16::ZERO,
            tcp_flags: 0,
            are_there: has_ports(protocol),
        }
    }
}

/// Reads the header at `offset` in a packet that by its IP header ends at `end`; None: too short
/// (what follows is padding of the link layer).
#[inline(always)]
pub(super) fn parse<B: Bytes>(packet: B, offset: usize, end: usize, protocol: u8) -> Option<Ports> {
    match protocol {
        TCP | UDP | SCTP if B::ARE_QUOTED => {
            let [source, destination] = packet.read(offset)?;
            Some(Ports {
                source,
                destination,
                tcp_flags: 0,
                are_there: true,
            })
        }
        TCP if offset + size_of::<Tcp>() <= end => {
            let header: Tcp = packet.read(offset)?;
            Some(Ports {
                source: header.source,
                destination: header.destination,
                tcp_flags: header.flags,
                are_there: true,
            })
        }
        UDP if offset + size_of::<Udp>() <= end => {
            let header: Udp = packet.read(offset)?;
            Some(Ports {
                source: header.source,
                destination: header.destination,
                tcp_flags: 0,
                are_there: true,
            })
        }
        SCTP if offset + size_of::<Sctp>() <= end => {
            let header: Sctp = packet.read(offset)?;
            Some(Ports {
                source: header.source,
                destination: header.destination,
                tcp_flags: sctp::flags(packet, offset, end),
                are_there: true,
            })
        }
        TCP | UDP | SCTP => None,
        _ => Some(Ports::none(protocol)),
    }
}

/// The shortest header of a protocol.
#[inline(always)]
pub(super) const fn least_bytes(protocol: u8) -> usize {
    match protocol {
        TCP => size_of::<Tcp>(),
        SCTP => size_of::<Sctp>(),
        _ => size_of::<Udp>(),
    }
}

/// Length of the header at `offset`; of TCP with its options.
#[inline(always)]
pub(super) fn header_bytes<B: Bytes>(packet: B, offset: usize, protocol: u8) -> usize {
    if protocol != TCP {
        return size_of::<Udp>();
    }
    match packet.read::<Tcp>(offset) {
        Some(header) => usize::from(header.offset >> 4) * 4,
        None => size_of::<Tcp>(),
    }
}

/// Whether `packet` is one of TCP, in an IP header of `ip_bytes`, and all its headers are directly accessible.
#[inline(always)]
pub(super) fn is_tcp_accessible<F: Family, B: Bytes>(packet: B, ip_bytes: usize) -> bool {
    if packet.read::<u8>(B::IP + F::PROTOCOL_OFFSET) != Some(TCP) {
        return false;
    }
    let start = B::IP + ip_bytes;
    let Some(header) = packet.read::<Tcp>(start) else {
        return false;
    };
    let end = start + usize::from(header.offset >> 4) * 4;
    packet.read::<u8>(end.wrapping_sub(1) & 0xff).is_some()
}

/// Where a packet ends whose IP header says that `length` bytes follow `start`.
#[inline(always)]
pub(super) fn end<B: Bytes>(packet: B, start: usize, length: u16) -> usize {
    if length == 0 && packet.are_segmented() {
        usize::MAX
    } else {
        start + usize::from(u16::from_be(length))
    }
}

/// Offset of the checksum inside the transport header. That of SCTP is a CRC32c, of four bytes.
#[inline(always)]
pub(crate) const fn checksum_offset(protocol: u8) -> usize {
    match protocol {
        TCP => 16,
        SCTP => 8,
        _ => 6,
    }
}
