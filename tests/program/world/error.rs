//! ICMP errors of others.

use std::net::IpAddr;

use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options, Ipv6Extensions, Ipv6Header,
    Ipv6RawExtHeader, PacketBuilder,
};

use super::packet::Packet;
use super::topology::{NODE_MAC, PEER_MAC};

/// What an error says: type, code, and what follows the checksum.
pub(crate) type Message = (u8, u8, [u8; 4]);

/// An ICMP error about a packet.
#[derive(Clone, Debug)]
pub(crate) struct IcmpError {
    source: IpAddr,
    destination: IpAddr,
    message: Message,
    quote: Vec<u8>,
    ttl: u8,
    link: Option<[u8; 6]>,
    has_options: bool,
}

impl IcmpError {
    /// Errors that may come back from routers and hosts: destination unreachable in several ways, what
    /// is too big, time exceeded, parameter problem (RFC 792, RFC 4443).
    pub(crate) fn messages(is_v4: bool) -> &'static [Message] {
        const MTU: [u8; 4] = [0, 0, 0x05, 0x78];
        if is_v4 {
            &[
                (3, 0, [0; 4]),
                (3, 1, [0; 4]),
                (3, 3, [0; 4]),
                (3, 4, MTU),
                (11, 0, [0; 4]),
                (12, 0, [20, 0, 0, 0]),
            ]
        } else {
            &[
                (1, 0, [0; 4]),
                (1, 4, [0; 4]),
                (2, 0, MTU),
                (3, 0, [0; 4]),
                (4, 1, [0, 0, 0, 6]),
            ]
        }
    }

    /// One from `source` to `destination` about `packet`.
    pub(crate) fn new(
        source: IpAddr,
        destination: IpAddr,
        message: Message,
        packet: &Packet,
    ) -> Self {
        Self {
            source,
            destination,
            message,
            quote: packet.ip_bytes(),
            ttl: 64,
            link: Some(NODE_MAC),
            has_options: false,
        }
    }

    /// The same about this error.
    pub(crate) fn about(&self, error: &Self) -> Self {
        let quoted = error.clone().without_link_layer();
        Self {
            quote: quoted.bytes(),
            ..self.clone()
        }
    }

    /// It quotes so many bytes at most.
    pub(crate) fn quoting(mut self, bytes: usize) -> Self {
        self.quote.truncate(bytes);
        self
    }

    pub(crate) fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// With IPv4 options, or an IPv6 hop-by-hop header.
    pub(crate) fn with_options(mut self) -> Self {
        self.has_options = true;
        self
    }

    /// With another destination in the Ethernet header.
    pub(crate) fn with_mac(mut self, mac: [u8; 6]) -> Self {
        self.link = Some(mac);
        self
    }

    /// On a device without a link layer.
    pub(crate) fn without_link_layer(mut self) -> Self {
        self.link = None;
        self
    }

    fn ip_headers(&self) -> IpHeaders {
        // Overwritten by the builder.
        let next = IpNumber::ICMP;
        match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let (from, to) = (from.octets(), to.octets());
                let mut header = Ipv4Header::new(0, self.ttl, next, from, to).unwrap();
                if self.has_options {
                    // NOP (RFC 791).
                    header.options = Ipv4Options::from([1; 4]);
                }
                IpHeaders::Ipv4(header, Ipv4Extensions::default())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let header = Ipv6Header {
                    hop_limit: self.ttl,
                    source: from.octets(),
                    destination: to.octets(),
                    ..Default::default()
                };
                // PadN over six bytes (RFC 8200, section 4.2).
                let options = Ipv6RawExtHeader::new_raw(next, &[1, 4, 0, 0, 0, 0]).unwrap();
                let extensions = Ipv6Extensions {
                    hop_by_hop_options: self.has_options.then_some(options),
                    ..Default::default()
                };
                IpHeaders::Ipv6(header, extensions)
            }
            mixed => panic!("no error goes from {} to {}", mixed.0, mixed.1),
        }
    }
}

impl IcmpError {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = match self.link {
            Some(mac) => PacketBuilder::ethernet2(PEER_MAC, mac).ip(self.ip_headers()),
            None => PacketBuilder::ip(self.ip_headers()),
        };
        let (kind, code, rest) = self.message;
        let written = if self.source.is_ipv4() {
            builder
                .icmpv4_raw(kind, code, rest)
                .write(&mut bytes, &self.quote)
        } else {
            builder
                .icmpv6_raw(kind, code, rest)
                .write(&mut bytes, &self.quote)
        };
        written.unwrap();
        bytes
    }
}

impl From<&IcmpError> for Vec<u8> {
    fn from(error: &IcmpError) -> Self {
        error.bytes()
    }
}
