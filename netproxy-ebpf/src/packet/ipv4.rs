//! IPv4 headers, RFC 791.

use netproxy_common::address::Address as _;
use netproxy_common::{FlowKey, Ipv4};

use super::piece::{Piece, Place};
use super::transport;
use super::{Bytes, Headers, MOST_HEADERS, Parse};
use crate::family::V4;

/// The header without options; 16-bit fields as they stand in memory.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    version_ihl: u8,
    tos: u8,
    total_length: u16,
    id: u16,
    fragment: u16,
    ttl: u8,
    protocol: u8,
    checksum: u16,
    source: [u16; 2],
    destination: [u16; 2],
}

const MORE_FRAGMENTS: u16 = 0x2000;
/// In units of eight bytes.
const OFFSET: u16 = 0x1fff;
/// Offset of the identification.
const ID: usize = 4;

impl Parse for V4 {
    #[inline(always)]
    fn parse<B: Bytes>(packet: B) -> Option<Headers<Self>> {
        let header: Header = packet.read(B::IP)?;
        let header_length = usize::from(header.version_ihl & 0x0f) * 4;
        if header.version_ihl >> 4 != 4 || header_length < size_of::<Header>() {
            return None;
        }
        let transport = B::IP + header_length;
        let end = transport::end(packet, B::IP, header.total_length);
        if end < transport {
            return None;
        }
        let fragment = u16::from_be(header.fragment);
        let place = Place {
            offset: (fragment & OFFSET) << 3,
            has_more: fragment & MORE_FRAGMENTS != 0,
        };
        let (piece, ports) = Piece::read(packet, &place, transport, end, header.protocol)?;
        Some(Headers {
            key: FlowKey {
                source: Ipv4::from_wire(header.source),
                destination: Ipv4::from_wire(header.destination),
                source_port: ports.source,
                destination_port: ports.destination,
                protocol: header.protocol,
                pad: [0; 3],
            },
            transport: (transport & MOST_HEADERS) as u16,
            transport_bytes: end.wrapping_sub(transport) as u16,
            tcp_flags: ports.tcp_flags,
            has_ports: ports.are_there,
            piece,
            pad: 0,
        })
    }

    #[inline(always)]
    fn identification<B: Bytes>(packet: B, _: &Headers<Self>) -> Option<u32> {
        let id: u16 = packet.read(B::IP + ID)?;
        Some(u32::from(id))
    }
}
