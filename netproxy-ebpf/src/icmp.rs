//! ICMP: the errors that tell a sender what became of its packet, our own and those of others.

pub(crate) mod about;
mod error;
mod limit;
mod reset;

use netproxy_common::address::Address as _;
use netproxy_common::{Ipv4, Ipv6};

pub(crate) use self::error::{Sender, tell_sender};
use crate::checksum::{fold_short, word};
use crate::family::{Family as _, V4, V6};
use crate::packet::Parse;

/// Length of the ICMP header of an error.
pub(crate) const HEADER_BYTES: usize = 8;

/// ICMP of a family.
pub(crate) trait Icmp: Parse {
    /// Its protocol number.
    const PROTOCOL: u8;
    /// Type and code of "port unreachable".
    const PORT_UNREACHABLE: [u8; 2];
    /// Type and code of "fragmentation needed", or "packet too big".
    const TOO_BIG: [u8; 2];
    /// Type and code of "time exceeded": no hop is left.
    const EXPIRED: [u8; 2];
    /// The type of an echo request.
    const ECHO_REQUEST: u8;
    /// The header of a packet that carries `length` bytes of a protocol.
    type Header: Copy;
    /// Whether messages of this type quote a packet that went astray; redirects, which do as well, are of
    /// one link only.
    fn is_error(kind: u8) -> bool;
    fn header(
        protocol: u8,
        source: &Self::Address,
        destination: &Self::Address,
        length: u16,
    ) -> Self::Header;
    /// What the pseudo header adds to the ICMP checksum.
    fn pseudo_header(source: &Self::Address, destination: &Self::Address, length: u16) -> u64;
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
    const TOO_BIG: [u8; 2] = [3, 4];
    const EXPIRED: [u8; 2] = [11, 0];
    const ECHO_REQUEST: u8 = 8;
    type Header = HeaderV4;

    /// Destination unreachable, time exceeded, parameter problem.
    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, 3 | 11 | 12)
    }

    #[inline(always)]
    fn header(protocol: u8, source: &Ipv4, destination: &Ipv4, length: u16) -> HeaderV4 {
        let tos = if protocol == Self::PROTOCOL { TOS } else { 0 };
        let total_length = length + size_of::<HeaderV4>() as u16;
        let sum = word([0x45, tos])
            + word(total_length.to_be_bytes())
            + word(DONT_FRAGMENT.to_be_bytes())
            + word([HOPS, protocol])
            + Self::sum(source)
            + Self::sum(destination);
        HeaderV4 {
            version_tos: [0x45, tos],
            total_length: total_length.to_be(),
            id: 0,
            dont_fragment: DONT_FRAGMENT.to_be(),
            ttl_protocol: [HOPS, protocol],
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
    const TOO_BIG: [u8; 2] = [2, 0];
    const EXPIRED: [u8; 2] = [3, 0];
    const ECHO_REQUEST: u8 = 128;
    type Header = HeaderV6;

    /// Destination unreachable, packet too big, time exceeded, parameter problem.
    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, 1..=4)
    }

    #[inline(always)]
    fn header(protocol: u8, source: &Ipv6, destination: &Ipv6, length: u16) -> HeaderV6 {
        HeaderV6 {
            version_class_flow: [0x6000_u16.to_be(), 0],
            payload_length: length.to_be(),
            next_header_hops: [protocol, HOPS],
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
