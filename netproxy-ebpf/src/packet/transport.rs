//! TCP (RFC 9293) and UDP (RFC 768) headers, as far as translation needs them.

use netproxy_common::Be16;
use netproxy_common::protocol::{TCP, UDP};

use super::Packet;

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
    pub(super) tcp_flags: u8,
}

impl Ports {
    /// For a packet whose transport header is not at hand; None: nothing that services balance.
    #[inline(always)]
    pub(super) fn none(protocol: u8) -> Option<Self> {
        (protocol == TCP || protocol == UDP).then_some(Self {
            source: Be16::ZERO,
            destination: Be16::ZERO,
            tcp_flags: 0,
        })
    }
}

/// Reads the header at `offset`; None: too short, or nothing that services balance.
#[inline(always)]
pub(super) fn parse<P: Packet>(packet: P, offset: usize, protocol: u8) -> Option<Ports> {
    match protocol {
        TCP => {
            let header: Tcp = packet.read(offset)?;
            Some(Ports {
                source: header.source,
                destination: header.destination,
                tcp_flags: header.flags,
            })
        }
        UDP => {
            let header: Udp = packet.read(offset)?;
            Some(Ports {
                source: header.source,
                destination: header.destination,
                tcp_flags: 0,
            })
        }
        _ => None,
    }
}

/// Offset of the checksum inside the transport header.
#[inline(always)]
pub(crate) const fn checksum_offset(protocol: u8) -> usize {
    if protocol == TCP { 16 } else { 6 }
}
