//! IPv6 headers and the extension headers that may stand before the transport, RFC 8200.

use netproxy_common::address::Address as _;
use netproxy_common::{FlowKey, Ipv6};

use super::piece::{Piece, Place};
use super::transport;
use super::{Bytes, Headers, MOST_HEADERS, Parse};
use crate::family::V6;

/// 16-bit fields as they stand in memory.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    version_class: u8,
    class_flow: u8,
    flow: u16,
    payload_length: u16,
    next_header: u8,
    hop_limit: u8,
    source: [u16; 8],
    destination: [u16; 8],
}

/// The common start of hop-by-hop, routing and destination options, which are 8 bytes at least.
#[repr(C)]
#[derive(Clone, Copy)]
struct Extension {
    next_header: u8,
    /// In units of 8 bytes, not counting the first.
    length: u8,
    /// Of a fragment header the first byte of its offset.
    kind: u8,
    /// Of a routing header; of a fragment header the rest of its offset, and three bits of flags.
    segments_left: u8,
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Of the field in a fragment header, the offset in bytes, and the flag.
const OFFSET: u16 = !7;
const MORE_FRAGMENTS: u16 = 1;
/// Length of a fragment header, and of the identification at its end.
const FRAGMENT_BYTES: usize = 8;
const ID_BYTES: usize = 4;

/// More extension headers than this are nobody's service traffic.
const MOST_EXTENSIONS: usize = 4;

impl Parse for V6 {
    #[inline(always)]
    fn parse<B: Bytes>(packet: B) -> Option<Headers<Self>> {
        let header: Header = packet.read(B::IP)?;
        if header.version_class >> 4 != 6 {
            return None;
        }
        let mut transport = B::IP + size_of::<Header>();
        let end = transport::end(packet, transport, header.payload_length);
        let mut protocol = header.next_header;
        let mut place = Place::WHOLE;
        for _ in 0..MOST_EXTENSIONS {
            match protocol {
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                    let extension: Extension = packet.read(transport)?;
                    // Its destination is not where it ends up, and not what the checksum counts
                    // (RFC 8200, section 8.1).
                    if protocol == ROUTING && extension.segments_left != 0 {
                        return None;
                    }
                    protocol = extension.next_header;
                    transport += (usize::from(extension.length) + 1) * 8;
                }
                FRAGMENT => {
                    let extension: Extension = packet.read(transport)?;
                    protocol = extension.next_header;
                    transport += FRAGMENT_BYTES;
                    let field = u16::from_be_bytes([extension.kind, extension.segments_left]);
                    place = Place {
                        offset: field & OFFSET,
                        has_more: field & MORE_FRAGMENTS != 0,
                    };
                    // What is behind this header may be data; extension headers there are nobody's
                    // service traffic.
                    break;
                }
                _ => break,
            }
        }
        // Nobody's service traffic either; what follows would be taken for elsewhere, or the next extension
        // for what is carried, and an ICMP error behind it be answered.
        if transport > MOST_HEADERS
            || matches!(
                protocol,
                HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS
            )
        {
            return None;
        }
        let (piece, ports) = Piece::read(packet, &place, transport, end, protocol)?;
        Some(Headers {
            key: FlowKey {
                source: Ipv6::from_wire(header.source),
                destination: Ipv6::from_wire(header.destination),
                source_port: ports.source,
                destination_port: ports.destination,
                protocol,
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

    /// The fragment header is the last before what is taken for the transport header.
    #[inline(always)]
    fn identification<B: Bytes>(packet: B, fragment: &Headers<Self>) -> Option<u32> {
        let at = fragment.transport().wrapping_sub(ID_BYTES) & MOST_HEADERS;
        let [high, low]: [u16; 2] = packet.read(at)?;
        Some(u32::from(high) | u32::from(low) << 16)
    }
}
