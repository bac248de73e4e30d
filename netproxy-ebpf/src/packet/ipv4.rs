//! IPv4 headers, RFC 791.

use netproxy_common::address::Address as _;
use netproxy_common::{FlowKey, Ipv4};

use super::transport::{self, Ports};
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

const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
const OFFSET: u16 = 0x1fff;

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
        // A first fragment, which has the ports, may be what is quoted of a packet that left here whole.
        let fragment = if B::ARE_QUOTED {
            OFFSET
        } else {
            MORE_FRAGMENTS_AND_OFFSET
        };
        let is_fragment = u16::from_be(header.fragment) & fragment != 0;
        let ports = if is_fragment {
            Ports::none(header.protocol)
        } else {
            transport::parse(packet, transport, end, header.protocol)?
        };
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
            is_fragment,
            pad: 0,
        })
    }
}
