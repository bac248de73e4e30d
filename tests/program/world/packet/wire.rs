//! A packet as it stands on the wire. Lengths and checksums are computed anew each time.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    Ethernet2Header, IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options,
    Ipv6Extensions, Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions,
    PacketBuilder, PacketBuilderStep, TcpHeader,
};

use super::super::topology::PEER_MAC;
use super::{Extras, Fragment, Packet, Transport};

const SCTP: IpNumber = IpNumber::SCTP;

impl Packet {
    /// An ICMP echo request between the same addresses.
    pub(crate) fn echo_request(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = self.builder();
        let written = if self.source.is_ipv4() {
            builder
                .icmpv4_echo_request(7, 1)
                .write(&mut bytes, &self.payload)
        } else {
            builder
                .icmpv6_echo_request(7, 1)
                .write(&mut bytes, &self.payload)
        };
        written.unwrap();
        bytes
    }

    /// A packet of another protocol between the same addresses.
    pub(crate) fn carrying(&self, protocol: u8, bytes: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        self.builder()
            .write(&mut packet, IpNumber(protocol), bytes)
            .unwrap();
        packet
    }

    /// The packet as a process hands it to a device that fills in the transport checksum: there is
    /// the sum of the pseudo header.
    pub(crate) fn with_checksum_left_to_the_device(&self) -> Vec<u8> {
        let mut bytes = self.bytes();
        let (protocol, header, field) = match self.transport {
            Transport::Tcp(_) => (6, 20, 16),
            Transport::Udp { .. } => (17, 8, 6),
            Transport::Sctp(_) => panic!("it leaves no sum there, but zero"),
        };
        let length = header + self.payload.len();
        let transport = bytes.len() - length;
        let sum = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Sum16BitWords::new()
                .add_4bytes(source.octets())
                .add_4bytes(destination.octets()),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Sum16BitWords::new()
                .add_16bytes(source.octets())
                .add_16bytes(destination.octets()),
            mixed => panic!("no packet goes from {} to {}", mixed.0, mixed.1),
        };
        let sum = sum
            .add_2bytes([0, protocol])
            .add_2bytes(u16::try_from(length).unwrap().to_be_bytes());
        let field = transport + field;
        bytes[field..][..2].copy_from_slice(&(!sum.ones_complement()).to_ne_bytes());
        bytes
    }

    /// The packet from its IP header on, as a router that forwards it sees it.
    pub(crate) fn ip_bytes(&self) -> Vec<u8> {
        self.clone().without_link_layer().bytes()
    }

    fn builder(&self) -> PacketBuilderStep<IpHeaders> {
        let ip = self.ip_headers();
        match self.link {
            Some(mac) => PacketBuilder::ethernet2(PEER_MAC, mac).ip(ip),
            None => PacketBuilder::ip(ip),
        }
    }

    /// The packet as it stands on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if let Transport::Sctp(chunk) = self.transport {
            return self.carrying(SCTP.0, &self.association(chunk));
        }
        let mut bytes = Vec::new();
        let transport = self.tcp_header();
        let (source, destination) = (self.source.port(), self.destination.port());
        let builder = self.builder();
        match transport {
            Some(header) => builder
                .tcp_header(header)
                .write(&mut bytes, &self.payload)
                .unwrap(),
            None => builder
                .udp(source, destination)
                .write(&mut bytes, &self.payload)
                .unwrap(),
        }
        if self.is_unlimited {
            self.hide_length(&mut bytes);
        }
        if self.transport
            == (Transport::Udp {
                has_checksum: false,
            })
        {
            let checksum = bytes.len() - self.payload.len() - 2;
            bytes[checksum..][..2].fill(0);
        }
        bytes
    }

    /// Writes the length as zero, and the header checksum accordingly.
    fn hide_length(&self, bytes: &mut [u8]) {
        let ip = Ethernet2Header::LEN;
        if self.source.is_ipv6() {
            bytes[ip + 4..][..2].fill(0);
            return;
        }
        let (mut header, _) = Ipv4Header::from_slice(&bytes[ip..]).unwrap();
        header.total_len = 0;
        header.header_checksum = header.calc_header_checksum();
        bytes[ip..][..header.header_len()].copy_from_slice(&header.to_bytes());
    }

    fn tcp_header(&self) -> Option<TcpHeader> {
        let Transport::Tcp(header) = &self.transport else {
            return None;
        };
        Some(TcpHeader {
            source_port: self.source.port(),
            destination_port: self.destination.port(),
            ..header.clone()
        })
    }

    fn ip_headers(&self) -> IpHeaders {
        // Overwritten by the builder.
        let next = IpNumber::TCP;
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header =
                    Ipv4Header::new(0, self.ttl, next, source.octets(), destination.octets())
                        .unwrap();
                header.options = Ipv4Options::try_from(&self.extras.v4_options[..]).unwrap();
                header.identification = 0x4711;
                header.dont_fragment = !self.may_be_fragmented;
                if let Some(Fragment { offset, has_more }) = self.extras.fragment {
                    header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
                    header.more_fragments = has_more;
                }
                IpHeaders::Ipv4(header, Ipv4Extensions::default())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    hop_limit: self.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Default::default()
                };
                IpHeaders::Ipv6(header, self.extras.v6_extensions(next))
            }
            mixed => panic!("no packet goes from {} to {}", mixed.0, mixed.1),
        }
    }
}

impl Extras {
    fn v6_extensions(&self, next: IpNumber) -> Ipv6Extensions {
        // PadN over six bytes, and Pad1 over any number (RFC 8200, section 4.2).
        let short = Ipv6RawExtHeader::new_raw(next, &[1, 4, 0, 0, 0, 0]).unwrap();
        let long = |bytes| Ipv6RawExtHeader::new_raw(next, &vec![0; bytes - 2]).unwrap();
        Ipv6Extensions {
            hop_by_hop_options: self.hop_by_hop.then(|| short.clone()),
            destination_options: self.destination_options.map(long),
            routing: self.routing.map(|segments_left| Ipv6RoutingExtensions {
                // Type 253 is for experiments (RFC 4727).
                routing: Ipv6RawExtHeader::new_raw(next, &[253, segments_left, 0, 0, 0, 0])
                    .unwrap(),
                final_destination_options: None,
            }),
            fragment: self.fragment.map(|Fragment { offset, has_more }| {
                let offset = IpFragOffset::try_new(offset).unwrap();
                Ipv6FragmentHeader::new(next, offset, has_more, 0x4711_0815)
            }),
            ..Default::default()
        }
    }
}
