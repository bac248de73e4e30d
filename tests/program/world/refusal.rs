//! What an ICMP error must look like that refuses a packet.

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpNumber, NetSlice, SlicedPacket, TransportSlice};

use super::checksums_hold;

const ETHERNET: usize = 14;
const ICMP: usize = 8;

/// What the sender of a packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    PortUnreachable,
    /// What the way carries at most.
    TooBig(u16),
    Expired,
}

impl Told {
    /// Type, code and the word after the checksum (RFC 792, RFC 1191; RFC 4443).
    fn message(self, is_v4: bool) -> (u8, u8, [u8; 4]) {
        let mtu = |mtu: u16| u32::from(mtu).to_be_bytes();
        match (self, is_v4) {
            (Self::PortUnreachable, true) => (3, 3, [0; 4]),
            (Self::PortUnreachable, false) => (1, 4, [0; 4]),
            (Self::TooBig(bytes), true) => (3, 4, mtu(bytes)),
            (Self::TooBig(bytes), false) => (2, 0, mtu(bytes)),
            (Self::Expired, true) => (11, 0, [0; 4]),
            (Self::Expired, false) => (3, 0, [0; 4]),
        }
    }
}

/// `output` tells the sender of `input` so, from the address it asked for.
#[track_caller]
pub(super) fn answers(input: &[u8], output: &[u8], has_link_layer: bool, told: Told) {
    quotes(input, output, has_link_layer, told);
    is_sound(output, has_link_layer);
}

/// The checksums of `output`, an ICMP error, are right.
#[track_caller]
pub(super) fn is_sound(output: &[u8], has_link_layer: bool) {
    let (header, transport) = checksums_hold(&output[link(has_link_layer)..]);
    assert!(
        header != Some(false) && transport == Some(true),
        "checksums are right"
    );
}

/// `output` is an error about `input`, cut to its headers, whatever its checksums are.
#[track_caller]
pub(super) fn quotes(input: &[u8], output: &[u8], has_link_layer: bool, told: Told) {
    if has_link_layer {
        assert_eq!(
            output[..6],
            input[6..12],
            "goes to whom the frame came from"
        );
        assert_eq!(
            output[6..12],
            input[..6],
            "comes from whom the frame was for"
        );
        assert_eq!(output[12..14], input[12..14], "the family stays");
    }
    let link = link(has_link_layer);
    let (input, output) = (&input[link..], &output[link..]);
    let asked = SlicedPacket::from_ip(input).unwrap();
    let error = SlicedPacket::from_ip(output).unwrap();
    match (asked.net.unwrap(), error.net.unwrap()) {
        (NetSlice::Ipv4(asked), NetSlice::Ipv4(error)) => {
            let (asked, error) = (asked.header(), error.header());
            assert_eq!(error.source_addr(), asked.destination_addr());
            assert_eq!(error.destination_addr(), asked.source_addr());
            assert_eq!(usize::from(error.total_len()), output.len());
        }
        (NetSlice::Ipv6(asked), NetSlice::Ipv6(error)) => {
            let (asked, error) = (asked.header(), error.header());
            assert_eq!(error.source_addr(), asked.destination_addr());
            assert_eq!(error.destination_addr(), asked.source_addr());
            assert_eq!(usize::from(error.payload_length()) + 40, output.len());
        }
        other => panic!("one family in, another out: {other:?}"),
    }
    let quote = match error.transport.unwrap() {
        TransportSlice::Icmpv4(icmp) => {
            let message = (icmp.type_u8(), icmp.code_u8(), icmp.bytes5to8());
            assert_eq!(message, told.message(true));
            icmp.payload()
        }
        TransportSlice::Icmpv6(icmp) => {
            let message = (icmp.type_u8(), icmp.code_u8(), icmp.bytes5to8());
            assert_eq!(message, told.message(false));
            icmp.payload()
        }
        other => panic!("no ICMP: {other:?}"),
    };
    assert_eq!(quote, &input[..Quoted::of(input).end()]);
}

/// `output` is a TCP segment that resets the connection of `input`, both with a link layer (RFC 9293, section
/// 3.10.7.1).
#[track_caller]
pub(super) fn resets(input: &[u8], output: &[u8]) {
    assert_eq!(
        output[..6],
        input[6..12],
        "goes to whom the frame came from"
    );
    assert_eq!(
        output[6..12],
        input[..6],
        "comes from whom the frame was for"
    );
    let asked = SlicedPacket::from_ethernet(input).unwrap();
    let reset = SlicedPacket::from_ethernet(output).unwrap();
    match (asked.net.unwrap(), reset.net.unwrap()) {
        (NetSlice::Ipv4(asked), NetSlice::Ipv4(reset)) => {
            let (asked, reset) = (asked.header(), reset.header());
            assert_eq!(reset.source_addr(), asked.destination_addr());
            assert_eq!(reset.destination_addr(), asked.source_addr());
            assert_eq!(usize::from(reset.total_len()) + ETHERNET, output.len());
        }
        (NetSlice::Ipv6(asked), NetSlice::Ipv6(reset)) => {
            let (asked, reset) = (asked.header(), reset.header());
            assert_eq!(reset.source_addr(), asked.destination_addr());
            assert_eq!(reset.destination_addr(), asked.source_addr());
            assert_eq!(
                usize::from(reset.payload_length()) + 40 + ETHERNET,
                output.len()
            );
        }
        other => panic!("one family in, another out: {other:?}"),
    }
    let (Some(TransportSlice::Tcp(asked)), Some(TransportSlice::Tcp(reset))) =
        (asked.transport, reset.transport)
    else {
        panic!("TCP in, TCP out");
    };
    assert_eq!(reset.source_port(), asked.destination_port());
    assert_eq!(reset.destination_port(), asked.source_port());
    assert_eq!(reset.sequence_number(), asked.acknowledgment_number());
    assert!(reset.rst() && !reset.ack() && !reset.syn() && !reset.fin());
    assert!(reset.payload().is_empty());
}

/// The TCP segment without options as it is on the wire once a device has filled in the checksum that was left
/// to it.
pub(super) fn fill_in_segment(frame: &mut [u8]) {
    let at = frame.len() - 20;
    let checksum = Sum16BitWords::new()
        .add_slice(&frame[at..])
        .ones_complement();
    frame[at + 16..at + 18].copy_from_slice(&checksum.to_ne_bytes());
}

/// The error as it is on the wire once a device has filled in the checksum that the quoted packet
/// left to it: over what there is of its transport, which includes the sum it was left with
/// (`skb_checksum_help` in net/core/dev.c).
pub(super) fn filled_in(output: &[u8], has_link_layer: bool) -> Vec<u8> {
    let error = SlicedPacket::from_ip(&output[link(has_link_layer)..]).unwrap();
    let quote_bytes = match error.transport.unwrap() {
        TransportSlice::Icmpv4(icmp) => icmp.payload().len(),
        TransportSlice::Icmpv6(icmp) => icmp.payload().len(),
        other => panic!("no ICMP: {other:?}"),
    };
    let start = output.len() - quote_bytes;
    let quoted = Quoted::of(&output[start..]);
    let transport = &output[start + quoted.headers..];
    let checksum = Sum16BitWords::new().add_slice(transport).ones_complement();
    let mut filled_in = output.to_vec();
    let field = start + quoted.headers + quoted.checksum();
    filled_in[field..][..2].copy_from_slice(&checksum.to_ne_bytes());
    filled_in
}

fn link(has_link_layer: bool) -> usize {
    if has_link_layer { ETHERNET } else { 0 }
}

/// What is quoted of a packet that starts with its IP header.
struct Quoted {
    /// Length of the IP header, with options and extension headers.
    headers: usize,
    protocol: IpNumber,
    /// How much there is from the transport header on.
    transport: usize,
}

impl Quoted {
    fn of(packet: &[u8]) -> Self {
        // Of a quote, less is there than its IP header says.
        let packet = etherparse::LaxSlicedPacket::from_ip(packet).unwrap();
        let net = packet.net.unwrap();
        let headers = match &net {
            etherparse::LaxNetSlice::Ipv4(ip) => ip.header().slice().len(),
            etherparse::LaxNetSlice::Ipv6(ip) => {
                ip.header().slice().len() + ip.extensions().slice().len()
            }
            etherparse::LaxNetSlice::Arp(_) => panic!("no IP"),
        };
        let payload = net.ip_payload_ref().unwrap();
        Self {
            headers,
            protocol: payload.ip_number,
            transport: payload.payload.len(),
        }
    }

    /// The end: after a TCP header without options, after the tag in an SCTP INIT, as far as there is
    /// such a thing, and after eight bytes of others (RFC 792).
    fn end(&self) -> usize {
        self.headers
            + match self.protocol {
                IpNumber::TCP => 20,
                IpNumber::SCTP if self.transport >= 20 => 20,
                IpNumber::SCTP => 12,
                _ => ICMP,
            }
    }

    /// Where the checksum is inside the transport.
    fn checksum(&self) -> usize {
        if self.protocol == IpNumber::TCP {
            16
        } else {
            6
        }
    }
}
